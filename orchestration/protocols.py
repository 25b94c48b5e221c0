"""What test users are asked, in words; the proof that no model has read the answers, as an asset check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from ml.bridge.leakage import Leak

NOTHING_LEAKS = "nothing_leaks"
NOTHING_LEAKS_SPEC = dg.AssetCheckSpec(
    NOTHING_LEAKS,
    asset="bridge",
    blocking=True,
    description="Exchanging all that is hidden from models changes nothing of what they are shown.",
)
_SHOWN = 10


def protocol_lines(selection: Mapping[str, Any]) -> list[str]:
    """A paragraph for each question that a training asked, by its selection: what was hidden, what was asked.

    By what it was trained with, not by what is configured now; trainings older than the key asked by time.
    """
    from ml.bridge.protocols import protocols_of

    return [each.words for each in protocols_of(selection["train_settings"].get("protocol", "time"))]


def leak_check(found: Sequence[Leak]) -> dg.AssetCheckResult:
    """The check's result on `bridge`; it names what leaked."""
    lines = [f"- {leak}" for leak in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"- and {len(found) - _SHOWN} more")
    return dg.AssetCheckResult(
        check_name=NOTHING_LEAKS,
        passed=not found,
        description=str(found[0]) if found else "no step reads anything of what it must not know",
        metadata={"leaks": dg.MetadataValue.md("\n".join(lines) or "none")},
    )


def refuse(found: Sequence[Leak], target: str) -> None:
    """Raise dg.Failure where something leaks: what was trained on it could not be measured."""
    if found:
        raise dg.Failure(
            f"nothing was trained for {target}: what its test users are asked would be known. {found[0]}"
            f"{f' (and {len(found) - 1} more)' if len(found) > 1 else ''}. All of it is in the check "
            f"{NOTHING_LEAKS}; where rows of the snapshot are named, materialise training_snapshot again",
            allow_retries=False,
        )
