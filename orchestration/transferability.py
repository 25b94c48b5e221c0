"""Transferability on disk and in tables: one file a target and as-of, read by training, cards and pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.config import Home
from orchestration.files import replaced_file
from orchestration.pages import Section, Table
from orchestration.review.peers import interval, short

if TYPE_CHECKING:
    from ml.bridge.protocol import Protocol
    from ml.bridge.select.transfer_matrix import Cell, Transferability

HEADER = (
    "source",
    "cohort",
    "estimated lift",
    "users",
    "known to it",
    "without it",
    "measured lift",
    "users",
)


def transferability_path(home: Home, as_of: str, target: str) -> Path:
    """Where one target's sources are described."""
    return home.transferability / as_of / f"{target}.json"


def write_transferability(home: Home, as_of: str, found: Transferability) -> None:
    """Write a target's file, whole or not at all."""
    with replaced_file(transferability_path(home, as_of, found.target)) as path:
        path.write_text(found.to_json())


def read_transferability(home: Home, as_of: str, target: str, digest: str) -> Transferability | None:
    """What was found on the snapshot with this digest; None where nothing was, or on another snapshot."""
    from ml.bridge.select.transfer_matrix import Transferability

    path = transferability_path(home, as_of, target)
    if not path.is_file():
        return None
    found = Transferability.from_json(path.read_text())
    return found if found.data_digest == digest else None


def matrix(home: Home, as_of: str, targets: Sequence[str], digest: str) -> list[Transferability]:
    """Every target's column of one as-of, as far as they exist."""
    found = (read_transferability(home, as_of, target, digest) for target in targets)
    return [column for column in found if column is not None]


def fewer_sources(
    home: Home, as_of: str, target: str, protocol: Protocol, say: Callable[[str], None]
) -> dict[str, list[tuple[str, ...]]]:
    """Scenario -> sets of fewer sources that training tries beside all; none where nothing was estimated, or
    where the users asked may be among those that this protocol measures."""
    found = read_transferability(home, as_of, target, protocol.snapshot.digest)
    if found is None:
        say(f"{target}: transferability was not estimated on this snapshot; all sources are tried together")
        return {}
    if not asks_by(found, protocol):
        say(
            f"{target}: transferability was estimated under another `evaluation`, by users who may be "
            "measured now; all sources are tried together until it is materialised again"
        )
        return {}
    return found.subsets()


def asks_by(found: Transferability, protocol: Protocol) -> bool:
    """Whether what was found was found by the protocol's own validation users."""
    return dict(found.rules) == protocol.rules


def ladder_lines(selection: Mapping[str, Any]) -> list[str]:
    """What serves each cohort and what would if that failed; nothing for trainings older than ladders."""
    from ml.bridge.select.ladder import in_words

    return [in_words(cohort, rungs) for cohort, rungs in selection.get("ladder", {}).items()]


def card_sections(
    columns: Sequence[Transferability], target: str, selection: Mapping[str, Any]
) -> list[Section]:
    """The ladder, and the matrix with this target's column in figures; what is not known is left out."""
    from orchestration.review.transfer_heat_map import heat_map

    found = []
    if ladder := ladder_lines(selection):
        found.append(Section("What serves whom", ladder))
    mine = next((column for column in columns if column.target == target), None)
    if mine is not None and mine.ground:
        common = [
            f"{name}: {of.shared_users:,} shared users"
            + (f", nearest text at cosine {of.text_overlap:.2f}" if of.text_overlap is not None else "")
            for name, of in mine.ground.items()
        ]
        lines = [
            "recall that each source alone adds or takes; * where the 95 % interval excludes 0",
            in_short(mine),
            *([agreement(mine)] if mine.measured else []),
            *common,
        ]
        found.append(Section("Which source helps", lines, transfer_table(mine), heat_map(columns)))
    return found


def transfer_table(column: Transferability) -> Table:
    """One target: a row for each source and cohort; a * marks an interval that excludes 0."""
    measured = {(cell.source, cell.cohort): cell for cell in column.measured}
    rows = []
    for cell in column.estimated:
        after = measured.get((cell.source, cell.cohort))
        rows.append(
            [
                cell.source,
                cell.cohort,
                lift(cell),
                f"{cell.users:,}",
                f"{cell.reached:,}",
                short(cell.base) if cell.users else "–",
                lift(after) if after else "–",
                f"{after.users:,}" if after else "–",
            ]
        )
    return Table(HEADER, rows)


def ground_table(column: Transferability) -> Table:
    """One target: what there is to cross on."""
    rows = [
        [
            source,
            f"{found.shared_users:,}",
            "–" if found.text_overlap is None else f"{found.text_overlap:.2f}",
        ]
        for source, found in column.ground.items()
    ]
    return Table(["source", "shared users", "nearest text (cosine)"], rows)


def lift(cell: Cell) -> str:
    """`+.0113 [+.0060, +.0166] *`."""
    if not cell.users:
        return "–"
    mark = "\u00a0*" if cell.certain else ""
    return f"{short(cell.mean, '+')} {interval(cell.low, cell.high, '+')}{mark}"


def in_short(column: Transferability) -> str:
    """One line: the sources that certainly help, and those that certainly harm, with the cohorts."""
    certain = [c for c in column.estimated if c.certain]
    parts = []
    for word, mine in (
        ("helped by", [c for c in certain if c.low > 0]),
        ("harmed by", [c for c in certain if c.high < 0]),
    ):
        if mine:
            parts.append(f"{word} {', '.join(f'{c.source} ({c.cohort})' for c in mine)}")
    return "; ".join(parts) or "no source is certain to help or to harm"


def agreement(column: Transferability) -> str:
    """How the estimates fared: of those that were certain, how many test users confirm in direction."""
    measured = {(cell.source, cell.cohort): cell for cell in column.measured if cell.users}
    pairs = [
        (cell, measured[cell.source, cell.cohort])
        for cell in column.estimated
        if cell.certain and (cell.source, cell.cohort) in measured
    ]
    if not pairs:
        return "no estimate was certain: nothing to confirm"
    same = sum((before.mean > 0) == (after.mean > 0) for before, after in pairs)
    return f"{same} of {len(pairs)} certain estimates have the same direction on test users"
