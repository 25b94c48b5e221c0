"""What is known of every source of a target before training and after it, and what selection makes of it.

One `Transferability` is a target's column of the matrix source x target; a file of JSON holds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ml.metrics.cohorts import COHORTS_OF

SCENARIOS = ("cold", "time")


@dataclass(frozen=True)
class Cell:
    """One source, one cohort of the target's users: the lift of recall@k with its 95 % interval.

    users: how many were asked. reached: how many of them the source knows; the others' lists cannot change.
    base: recall@k without the source. share: what the source has in the mixture.
    """

    source: str
    cohort: str
    mean: float
    low: float
    high: float
    users: int
    reached: int
    base: float
    share: float

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Ground:
    """What there is to cross on. shared_users: users of both domains. text_overlap: mean cosine of a target
    item's text to the nearest text of the source, None where one of them has no text."""

    shared_users: int
    text_overlap: float | None


@dataclass(frozen=True)
class Transferability:
    """One target's sources. data_digest: of the snapshot it was found on. ground: source -> what is common.

    estimated: of validation users, before training. measured: of test users, after it; selection does not
    read it. rules: `Protocol.rules` by which these users were drawn; others may be the test users of another
    evaluation.
    """

    target: str
    data_digest: str
    k: int
    ground: Mapping[str, Ground]
    estimated: Sequence[Cell]
    measured: Sequence[Cell] = field(default_factory=tuple)
    rules: Mapping[str, Any] = field(default_factory=dict)

    def subsets(self) -> dict[str, list[tuple[str, ...]]]:
        """What `subsets` makes of the estimates."""
        return subsets(self.estimated, list(self.ground))

    def checked(self, measured: Sequence[Cell]) -> Transferability:
        """The same with what test users say."""
        return replace(self, measured=tuple(measured))

    def to_json(self) -> str:
        """JSON that `from_json` reads; cells without users have null for what cannot be known."""
        document = asdict(self)
        for name in ("estimated", "measured"):
            document[name] = [_without_nan(cell) for cell in document[name]]
        return json.dumps(document, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Transferability:
        """Undo `to_json`."""
        document = json.loads(text)
        ground = {source: Ground(**facts) for source, facts in document.pop("ground").items()}
        estimated, measured = (
            tuple(Cell(**_with_nan(cell)) for cell in document.pop(name))
            for name in ("estimated", "measured")
        )
        return cls(ground=ground, estimated=estimated, measured=measured, **document)


def subsets(cells: Iterable[Cell], sources: Sequence[str]) -> dict[str, list[tuple[str, ...]]]:
    """Scenario -> sets of fewer sources that are worth a try beside all: those that certainly help one of the
    scenario's cohorts, and the best single one where it helps on average."""
    found: dict[str, list[tuple[str, ...]]] = {}
    known = [c for c in cells if c.source in sources]
    for scenario in SCENARIOS:
        mine = [c for c in known if c.cohort in COHORTS_OF[scenario] and c.users]
        helpful = tuple(sorted({c.source for c in mine if c.low > 0}))
        best = max(mine, key=lambda c: c.mean, default=None)
        single = (best.source,) if best is not None and best.mean > 0 else ()
        fewer = [s for s in (helpful, single) if 0 < len(s) < len(sources)]
        found[scenario] = list(dict.fromkeys(fewer))
    return found


def _without_nan(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if value != value else value for key, value in cell.items()}


def _with_nan(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float("nan") if value is None else value for key, value in cell.items()}
