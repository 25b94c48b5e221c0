"""Figures by cohort and candidate, as tables and as the card's pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestration.pages import Table
from orchestration.review.certainty import certain_side
from orchestration.review.interval_bars import Bar, Panel
from orchestration.review.peers import interval, peer_name, peer_rows, short

if TYPE_CHECKING:
    from ml.metrics.peers import PeerLift
    from ml.metrics.report import CohortRow, LiftRow

CANDIDATES = ("popularity", "twin", "bridge")
CHAMPION = "champion"  # what users get today, measured on the same users
COHORTS = ("cold", "sparse", "warm", "all")
# Cohorts that stand in tables of their own: users after their first events, and items without a past.
NEW_USERS = {f"new_{n}": f"{n} event{'s' * (n > 1)}" for n in (1, 2, 3, 5)}
COLD_ITEMS = "cold_items"
METRICS = ("recall", "precision", "ndcg")


def metric_table(
    rows: Iterable[CohortRow],
    lifts: Iterable[LiftRow],
    metric: str,
    cohorts: Sequence[str] = COHORTS,
    comparisons: Iterable[LiftRow] = (),
) -> Table:
    """One metric: cohort by candidate with 95 % intervals, the lift of the bridge over its twin and, from
    `comparisons`, those of one candidate alone, its lift over the champion.
    """
    over = {r.cohort: r for r in comparisons if (r.metric, r.over) == (metric, CHAMPION) and r.users}
    asked = [over[cohort] for cohort in cohorts if cohort in over]
    cells = {(r.cohort, r.candidate): r for r in rows if r.metric == metric}
    paired = {lift.cohort: lift for lift in lifts if lift.metric == metric}
    names = [*CANDIDATES, *([CHAMPION] if any((c, CHAMPION) in cells for c in cohorts) else [])]
    body = []
    for cohort in cohorts:
        found = [cells[cohort, name] for name in names if (cohort, name) in cells]
        if not found:
            continue
        figures = [figure(cells.get((cohort, name))) for name in names]
        facts = [NEW_USERS.get(cohort, cohort.replace("_", " ")), f"{found[0].users:,}", *figures]
        differences = [paired.get(cohort), *([over.get(cohort)] if asked else [])]
        body.append([*facts, *(figure(row, sign="+") for row in differences)])
    further = [f"{'lift' if row.of == 'bridge' else row.of} over champion" for row in asked[:1]]
    return Table(["cohort", "users", *names, "lift over twin", *further], body)


def figure(row: CohortRow | LiftRow | None, sign: str = "") -> str:
    """A mean with its interval; – where nothing was measured."""
    if row is None or row.mean != row.mean:
        return "–"
    return f"{short(row.mean, sign)} {interval(row.low, row.high, sign)}"


def peer_table(rows: Iterable[CohortRow], peers: Sequence[PeerLift], metric: str = "recall") -> Table:
    """Every candidate by cohort, the classical peers below popularity, twin and bridge, the best marked."""
    return Table(*peer_rows(rows, peers, metric, CANDIDATES, figure))


def recall_panels(rows: Iterable[CohortRow], peers: Sequence[PeerLift], serve: str) -> list[Panel]:
    """Recall of the candidates, of the champion and of the best peer, a panel for each cohort."""
    cells = {(r.cohort, r.candidate): r for r in rows if r.metric == "recall" and r.users}
    best = {lift.cohort: lift.peer for lift in peers}
    panels = []
    for cohort in COHORTS:
        names = {name: name for name in (*reversed(CANDIDATES), CHAMPION)}
        peer = best.get(cohort)
        if peer is not None and peer not in names:  # the best peer may be popularity, which is drawn anyway
            names[peer] = "peer"
        found = [(cells[cohort, name], look) for name, look in names.items() if (cohort, name) in cells]
        bars = [
            Bar(
                f"{peer_name(r.candidate)}", r.mean, r.low, r.high, look, look != "peer", r.candidate == serve
            )
            for r, look in found
        ]
        users = f"{found[0][0].users:,} users" if found else ""
        panels.append(Panel(_users(cohort), users, bars))
    return panels


def lift_panels(lifts: Iterable[LiftRow], serve: str) -> list[Panel]:
    """What is served over what is simpler and over the champion, paired by user, a panel for each pair.

    A filled mark is a difference that is certain; the interval of a hollow one holds 0.
    """
    panels = []
    found = [r for r in lifts if r.metric == "recall" and r.of == serve and r.users]
    for over in dict.fromkeys(r.over for r in found):
        mine = {r.cohort: r for r in found if r.over == over}
        bars = [_lift_bar(mine[cohort], serve) for cohort in COHORTS if cohort in mine]
        panels.append(Panel(f"{serve} over {over}", "recall, paired by user", bars))
    return panels


def _lift_bar(row: LiftRow, serve: str) -> Bar:
    certain = certain_side(row) != 0
    label = f"{row.cohort} ({row.users:,})"
    return Bar(label, row.mean, row.low, row.high, serve, certain, row.cohort == "all", "+")


def _users(cohort: str) -> str:
    return "all users" if cohort == "all" else f"{cohort} users"
