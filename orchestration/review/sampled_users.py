"""Some measured users to look at: what was known of them, what they were listed, and what they then took.

Users are drawn from those that were measured, whatever came of it, so that hits are as frequent as the
figures say. The lists are those that were measured; models that had not seen the hidden part of these users'
histories made them. A reason is what the served model says of the same item and the same known history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from orchestration.pages import Section, Table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from ml.bridge import Recommender
    from ml.data import Snapshot

USERS_OF_A_COHORT = 4
NEW_ITEM_USERS, NEW_ITEMS_SHOWN = 6, 3
SHOWN_HISTORY = 6  # items of a domain, the latest
HIT = "✓ took: "
SCENARIO_OF = {"cold": "cold", "sparse": "time", "warm": "time"}
NONE = ("", "")
Pair = tuple[Mapping[str, Any], Mapping[str, Any]]  # one user's row of either side


@dataclass(frozen=True)
class Side:
    """One of two lists. name: what readers call it. candidate: its name in the measured lists. model: who
    gives the reasons, None where nobody can.
    """

    name: str
    candidate: str
    model: Recommender | None


@dataclass(frozen=True)
class Measured:
    """A training's measured lists (LISTS_SCHEMA) with what they are about. cut: microseconds, from when on
    every domain was hidden from the lists of sparse and warm users, None where their own past alone was.
    """

    snapshot: Snapshot
    target: str
    sources: Sequence[str]
    lists: pa.Table
    cut: int | None
    seed: int = 0


def cut_of(selection: Mapping[str, Any]) -> int | None:
    """`Measured.cut` of a training, from its selection.json."""
    settings = selection["train_settings"]
    whole_sources = settings.get("history", "time") != "time"
    return None if whole_sources else selection["as_of"] - settings["horizon"]


def sampled_sections(measured: Measured, mine: Side, other: Side) -> list[Section]:
    """The sampled users, a section within for each; or nothing where none was measured."""
    cohorts = [pairs for cohort in SCENARIO_OF if (pairs := _both(measured, cohort, mine, other))]
    drawn = [pair for pairs in cohorts for pair in pairs]
    if not drawn:
        return []
    parts = [part for pairs in cohorts for part in _cohort(measured, pairs, mine, other)]
    lines = (
        _in_short(drawn, mine, other),
        "drawn at random from the measured users of each cohort, whatever came of their lists; "
        f"“{HIT.strip()}” marks what a user then took",
        "the lists are the measured ones; reasons are what the served models, fitted again on everything "
        "before as-of, say of the same items",
    )
    return [Section(f"{len(parts)} sampled users", lines, parts=parts, folded=True)]


def new_item_sections(measured: Measured, mine: Side) -> list[Section]:
    """Items that nobody had touched, and to whom they were listed; or nothing where that was not measured."""
    rows = _rows(measured.lists, "cold_items", "cold_items", mine)
    users = _drawn(sorted(user for user in rows if rows[user]["relevant"]), NEW_ITEM_USERS, measured.seed)
    if not users:
        return []
    known, titles = known_of(measured, [rows[user] for user in users]), _titles(measured, measured.target)
    body = []
    for row in (rows[user] for user in users):
        listed = [_marked(item, row, titles) for item in row["items"][:NEW_ITEMS_SHOWN]]
        taken = _some([titles[item] for item in row["relevant"]])
        past = (
            f"{domain}: {_some(found)}" for domain, found in _latest(measured, known, row).items() if found
        )
        body.append([row["user_id"], " · ".join(listed), taken, "; ".join(past)])
    line = "some of the measured users who took items that nobody had touched before; such items ranked alone"
    header = ["user", f"first {NEW_ITEMS_SHOWN} new items listed", "new items taken", "known before"]
    return [Section("Cold items: examples", (line,), Table(header, body), folded=True)]


def known_of(measured: Measured, rows: Sequence[Mapping[str, Any]]) -> Snapshot:
    """The snapshot without what the lists of these rows' users did not know of them; rows of one scenario."""
    import numpy as np

    whole, target = measured.snapshot, measured.snapshot.interactions[measured.target]
    cold = rows[0]["scenario"] == "cold"
    places = np.searchsorted(whole.users, [row["user_id"] for row in rows])
    hidden = [
        place * target.n_items + np.array(row["relevant"]) for place, row in zip(places, rows, strict=True)
    ]
    kept = {}
    for domain, log in whole.interactions.items():
        theirs, gone = np.isin(log.users, places), np.zeros(len(log), dtype=bool)
        if not cold and measured.cut is not None:
            gone |= log.times >= measured.cut
        if domain == measured.target:
            pairs = log.users.astype(np.int64) * log.n_items + log.items
            gone |= cold | np.isin(pairs, np.concatenate(hidden))
        kept[domain] = log.select(~(theirs & gone))
    return replace(whole, interactions=kept)


def _in_short(drawn: Sequence[Pair], mine: Side, other: Side) -> str:
    """How far the two lists of the drawn users are apart, and what both hit."""
    long = max(len(row["items"]) for pair in drawn for row in pair)
    apart = sum(len({*first["items"]}.difference(second["items"])) for first, second in drawn) / len(drawn)
    hits = (
        sum(len({*pair[0]["relevant"]}.intersection(pair[side]["items"])) for pair in drawn)
        for side in (0, 1)
    )
    said = ", ".join(f"{side.name} {n}" for side, n in zip((mine, other), hits, strict=True))
    few = f"{len(drawn)} user{'s' * (len(drawn) > 1)}: too few to compare, look at them as examples"
    return f"of {long} items {apart:.1f} differ on average; hits: {said} ({few})"


def _both(measured: Measured, cohort: str, mine: Side, other: Side) -> list[Pair]:
    """The rows of a cohort's sampled users, of those whom both sides made a list for."""
    first, second = (_rows(measured.lists, SCENARIO_OF[cohort], cohort, side) for side in (mine, other))
    able = sorted(user for user in first.keys() & second.keys() if first[user]["relevant"])
    return [(first[user], second[user]) for user in _drawn(able, USERS_OF_A_COHORT, measured.seed)]


def _cohort(measured: Measured, pairs: Sequence[Pair], mine: Side, other: Side) -> list[Section]:
    """A section for each sampled user of a cohort."""
    known = known_of(measured, [first for first, _ in pairs])
    # Moved once for all users of the cohort: their other past, and everybody else, is as it was.
    sides = [replace(side, model=side.model and side.model.at(known)) for side in (mine, other)]
    return [
        _user(measured, known, pair[0], [(side, row["items"]) for side, row in zip(sides, pair, strict=True)])
        for pair in pairs
    ]


def _rows(lists: pa.Table, scenario: str, cohort: str, side: Side) -> dict[str, dict[str, Any]]:
    """user -> row of the side's measured lists."""
    import pyarrow.compute as pc

    wanted = {"scenario": scenario, "cohort": cohort, "candidate": side.candidate}
    for column, value in wanted.items():
        lists = lists.filter(pc.equal(lists[column], value))
    return {row["user_id"]: row for row in lists.to_pylist()}


def _drawn(users: Sequence[str], most: int, seed: int) -> list[str]:
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(users))[:most]
    return [users[place] for place in sorted(chosen.tolist())]


def _user(
    measured: Measured, known: Snapshot, row: Mapping[str, Any], sides: Sequence[tuple[Side, Sequence[int]]]
) -> Section:
    titles = _titles(measured, measured.target)
    columns = [
        zip([_marked(i, row, titles) for i in items], _reasons(measured, row, side, items), strict=True)
        for side, items in sides
    ]
    body = [
        [str(rank), *chain(*cells)] for rank, cells in enumerate(zip_longest(*columns, fillvalue=NONE), 1)
    ]
    hits = ", ".join(f"{side.name} {len({*row['relevant']}.intersection(items))}" for side, items in sides)
    past = _latest(measured, known, row)
    if row["scenario"] == "cold":
        past[measured.target] = ["hidden from the lists, all of it"]
    lines = [
        *(f"{domain}: {_some(found) or 'nothing'}" for domain, found in past.items()),
        f"took afterwards in {measured.target}: {_some([titles[item] for item in row['relevant']])}",
        f"hits of {len(row['relevant'])}: {hits}",
    ]
    header = ["rank", *chain(*((side.name, "why") for side, _ in sides))]
    return Section(f"{row['cohort']} user {row['user_id']}".capitalize(), lines, Table(header, body))


def _latest(measured: Measured, known: Snapshot, row: Mapping[str, Any]) -> dict[str, list[str]]:
    """domain -> titles of what was known of the user there, the latest first."""
    import numpy as np

    place, found = np.searchsorted(known.users, row["user_id"]), {}
    for domain in (measured.target, *measured.sources):
        log, titles = known.interactions[domain], _titles(measured, domain)
        mine = np.flatnonzero(log.users == place)
        found[domain] = [
            titles[item] for item in log.items[mine[np.lexsort((log.items[mine], -log.times[mine]))]]
        ]
    return found


def _some(titles: Sequence[str]) -> str:
    more = len(titles) - SHOWN_HISTORY
    # Titles hold commas of their own.
    return " · ".join(titles[:SHOWN_HISTORY]) + (f" and {more} more" if more > 0 else "")


def _marked(item: int, row: Mapping[str, Any], titles: np.ndarray) -> str:
    return f"{HIT if item in row['relevant'] else ''}{titles[item]}"


def _reasons(measured: Measured, row: Mapping[str, Any], side: Side, items: Sequence[int]) -> list[str]:
    """Why the side's model, moved to what was known, would list each item to the user."""
    import numpy as np

    from ml.bridge.histories import histories
    from ml.bridge.serve.reasons import because

    model = side.model
    if model is None or not items:
        return ["–"] * len(items)
    past = histories(model.logs, np.searchsorted(model.user_ids, [row["user_id"]]))
    ids = measured.snapshot.catalogues[measured.target].item_ids[np.array(items)]
    place, mine = np.searchsorted(model.item_ids[measured.target], ids), model.item_ids[measured.target]
    there = mine[place.clip(max=len(mine) - 1)] == ids
    cohort = row["cohort"] if model.cohorts(past)[1][0] else "popularity"
    support = model.support(past, cohort, place[there])
    said = iter([because(support, j, model.title, model.verbs) for j in range(int(there.sum()))])
    return [next(said) if is_there else "an item it does not know" for is_there in there]


def _titles(measured: Measured, domain: str) -> np.ndarray:
    """(n,) how readers call an item: its title, else its id."""
    import numpy as np

    catalogue = measured.snapshot.catalogues[domain]
    return np.where(catalogue.titles.astype(bool), catalogue.titles, catalogue.item_ids.astype(object))
