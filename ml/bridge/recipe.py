"""A recipe: which scorers serve whom and in what shares, without their fits, to be followed on other data.

A registered model has seen the users that a later version is measured on, so their figures cannot be
compared. Its recipe can: fitted again on the splits the later version was measured on, it lists for the same
users, having seen no more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c
from ml.bridge.blocks.switches import Blocks
from ml.bridge.contract import Task
from ml.bridge.measure import asked_of, measured, scorers_of
from ml.bridge.select.blend import Blend
from ml.bridge.select.ladder import POPULARITY
from ml.bridge.train import CANDIDATES, TrainSettings, protocol_of
from ml.data import Snapshot
from ml.metrics.cohorts import COLD_ITEMS, SPARSE, USER_COHORTS, WARM
from ml.metrics.report import CHAMPION

_USERS = ("scenario", c.COHORT, c.USER_ID)
_WHO_IS_ASKED = ("seed", "cold_user_fraction", "protocol")  # what decides which users validate, and how


class NotComparableError(Exception):
    """A recipe that cannot be followed here; the message says why, as a clause."""


@dataclass(frozen=True)
class Recipe:
    """blends: cohort -> scorer -> share, of the users' cohorts and of cold items where the recipe has any.

    settings: those it was trained with; they say which scorers there are to name.
    """

    candidate: str
    sources: tuple[str, ...]
    blends: Mapping[str, Mapping[str, float]]
    settings: TrainSettings

    @classmethod
    def of(cls, selection: Mapping[str, Any], candidate: str) -> Recipe:
        """From what a training left in `selection.json`, or a recommender in its settings."""
        chosen = selection["cohorts"] if candidate != "popularity" else {}
        found = {cohort: dict(facts[candidate]) for cohort, facts in chosen.items()}
        if WARM in found:  # as in `measure.blends_of`
            found.setdefault(SPARSE, found[WARM])
        blends = {cohort: found.get(cohort, dict(POPULARITY.weights)) for cohort in USER_COHORTS}
        if COLD_ITEMS in found:
            blends[COLD_ITEMS] = found[COLD_ITEMS]
        settings = settings_of(selection["train_settings"])
        return cls(candidate, tuple(selection["sources"]), blends, settings)

    @property
    def reads(self) -> tuple[Any, ...]:
        """All that decides what it lists on a given split."""
        held = self.settings.blocks, _plain(self.settings.subsets), _plain(self.settings.found)
        alone = all(name == "popularity" for blend in self.blends.values() for name in blend)
        return (self.blends,) if alone else (self.blends, self.sources, *held)


def settings_of(found: Mapping[str, Any]) -> TrainSettings:
    """Training's settings from their JSON; what an older training did not know of has its default.

    How lists are re-ranked is left out: comparisons are of lists as they are scored.
    """
    known = {field.name for field in fields(TrainSettings)} - {"rerank"}
    given = {name: value for name, value in found.items() if name in known}
    blocks = Blocks(**{**given.pop("blocks", {})})
    subsets = {s: [tuple(names) for names in sets] for s, sets in given.pop("subsets", {}).items()}
    tried = {s: [(name, values) for name, values in many] for s, many in given.pop("found", {}).items()}
    blocks = replace(blocks, sensitive=tuple(blocks.sensitive))
    return TrainSettings(**given, blocks=blocks, subsets=subsets, found=tried)


def follow(
    recipe: Recipe, load: Callable[[], Snapshot], selection: Mapping[str, Any], lists: pa.Table
) -> tuple[pa.Table, str]:
    """The recipe's lists for the users of a training's `lists`, as candidate CHAMPION, and how that was done.

    load: the snapshot that the training read, with its vectors; called where something has to be fitted.
    selection: the training's. The splits are the training's own, whatever is configured by now. Raises
    NotComparableError.
    """
    for candidate in reversed(CANDIDATES):
        if Recipe.of(selection, candidate).reads == recipe.reads:
            same = lists.filter(pc.equal(lists["candidate"], candidate))
            return _named(same), f"its recipe is that of this version's {candidate}"
    snapshot = load()
    if selection["data_digest"] != snapshot.digest:
        raise NotComparableError("the snapshot changed since this bridge was trained")
    missing = sorted({selection["target"], *recipe.sources} - snapshot.interactions.keys())
    if missing:
        raise NotComparableError(f"there is no domain {', '.join(missing)} any more")
    found = pa.concat_tables(_measured(recipe, snapshot, selection, lists))
    how = "its recipe, fitted again on this version's splits"
    return _of_the_same(found, lists), how + _chosen_elsewhere(recipe.settings, selection)


def _chosen_elsewhere(theirs: TrainSettings, selection: Mapping[str, Any]) -> str:
    """What has to be said where other users validated the recipe: some of them may be test users here."""
    mine = settings_of(selection["train_settings"])
    other = [name for name in _WHO_IS_ASKED if getattr(theirs, name) != getattr(mine, name)]
    if not other:
        return ""
    return f", and chosen with another {' and '.join(other)}: perhaps on users measured here, in its favour"


def _measured(
    recipe: Recipe, snapshot: Snapshot, selection: Mapping[str, Any], lists: pa.Table
) -> list[pa.Table]:
    mine = settings_of(selection["train_settings"])
    settings = replace(
        mine, blocks=recipe.settings.blocks, subsets=recipe.settings.subsets, found=recipe.settings.found
    )
    protocol, _ = protocol_of(snapshot, selection["target"], recipe.sources, settings)
    blends = {CHAMPION: {cohort: Blend(shares) for cohort, shares in recipe.blends.items()}}
    both = COLD_ITEMS in recipe.blends and COLD_ITEMS in lists[c.COHORT].unique().to_pylist()
    questions = asked_of(protocol, both).values()
    for asked in questions:
        _check_known(recipe, asked[0].split.task)
    return [plain for asked in questions for plain, _ in measured(asked, blends, settings.k)]


def _check_known(recipe: Recipe, task: Task) -> None:
    named = {name for blend in recipe.blends.values() for name in blend}
    missing = sorted(named - scorers_of(task).keys())
    if missing:
        raise NotComparableError(
            f"nothing is called {', '.join(missing)} in this version of the code or on this data"
        )


def _of_the_same(found: pa.Table, lists: pa.Table) -> pa.Table:
    """The lists of cohorts that were asked about the same users; those of all users must be."""
    first = lists.filter(pc.equal(lists["candidate"], CANDIDATES[0]))
    kept = []
    for cohort in first[c.COHORT].unique().to_pylist():
        part, theirs = (table.filter(pc.equal(table[c.COHORT], cohort)) for table in (found, first))
        if _asked(part).equals(_asked(theirs)):
            kept.append(part)
        elif cohort in USER_COHORTS:
            raise NotComparableError(f"its sources ask about other {cohort} users")
    return pa.concat_tables(kept) if kept else found.slice(0, 0)


def _asked(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in _USERS]).select([*_USERS, "relevant"])


def _named(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("candidate")
    return table.set_column(place, table.schema.field(place), pa.array([CHAMPION] * len(table), pa.string()))


def _plain(found: Mapping[str, Any]) -> dict[str, list]:
    return {scenario: sorted(map(repr, values)) for scenario, values in found.items() if values}
