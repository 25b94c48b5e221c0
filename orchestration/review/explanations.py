"""The review card's pages on reasons: how much of the lists crossed from where, and lists to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.pages import Section, Table

if TYPE_CHECKING:
    from ml.bridge import Recommender
    from ml.bridge.serve.crossing import Crossing

SAMPLED_USERS = 20  # of each cohort
SHOWN_ITEMS = 5
ASKED_AS = {
    "cold": "the target's history hidden",
    "sparse": "the first two events of the target shown",
    "warm": "the whole history shown",
}


def explained_sections(bridge: Recommender, k: int, seed: int) -> list[Section]:
    """What the bridge's reasons look like: shares by cohort and domain, then a list for each cohort."""
    from ml.bridge.serve.crossing import crossing

    found = crossing(bridge, SAMPLED_USERS, k, seed)
    if not found:
        return []
    lines = (
        "the bridge's lists of sampled users: the mean share, by domain, of what speaks for a listed item "
        "(docs/ALGORITHM.md); the rest is the same for every user",
        *(f"{row.cohort}: {ASKED_AS[row.cohort]}" for row in found),
    )
    samples = [_sample_list(bridge, row.cohort, seed) for row in found]
    return [Section("What crossed", lines, crossing_table(found, bridge.target)), *samples]


def crossing_table(found: Sequence[Crossing], target: str) -> Table:
    """Cohort by domain, sources first, with what crossed in all and what is the same for every user."""
    domains = dict.fromkeys(domain for row in found for domain in row.shares)
    sources = [domain for domain in domains if domain != target]
    header = ["cohort", "users", *sources, f"{target} (own)", "the same for all", "crossed"]
    body = []
    for row in found:
        own = row.shares.get(target, 0.0)
        shares = [row.shares.get(source, 0.0) for source in sources]
        figures = [*shares, own, 1 - own - sum(shares), sum(shares)]
        body.append([row.cohort, f"{row.users:,}", *(f"{max(share, 0.0):.0%}" for share in figures)])
    return Table(header, body)


def _sample_list(bridge: Recommender, cohort: str, seed: int) -> Section:
    """The list of one sampled user of the cohort, each item with its reason."""
    from ml.bridge.serve.crossing import sampled

    shown, users = sampled(bridge, cohort, 1, seed)
    user = str(bridge.user_ids[users[0]])
    titles = dict(zip(bridge.item_ids[bridge.target].tolist(), bridge.titles[bridge.target], strict=True))
    rows = shown.recommend([user], SHOWN_ITEMS, explain=True).to_pylist()
    body = [
        [str(row["rank"]), titles[row["item_id"]] or row["item_id"], row["reason"], f"{row['crossed']:.0%}"]
        for row in rows
    ]
    title = f"A {cohort} user's list with its reasons ({user})"
    return Section(title, (), Table(["rank", "item", "reason", "crossed"], body))
