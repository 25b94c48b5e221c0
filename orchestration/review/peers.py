"""The classical peers in words: how they are called, which is the best of a cohort, how the bridge stands.

Pure functions from figures to text, for the review card, the evaluation's page and the end of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.metrics.peers import PeerLift
    from ml.metrics.report import CohortRow

BEST = "★"
NAMES = {
    "als": "ALS",
    "ease": "EASE",
    "item_knn": "item-kNN",
    "joint_svd": "joint SVD",
    "emcdr_linear": "EMCDR, linear map",
    "emcdr_mlp": "EMCDR, MLP",
}


def peer_name(candidate: str) -> str:
    """A candidate's name for readers: `ease_union` is "EASE (union)"."""
    peer = candidate.removesuffix("_union")
    name = NAMES.get(peer, peer.replace("_", " "))
    return f"{name} (union)" if candidate != peer else name


def short(value: float, sign: str = "") -> str:
    """Four decimals without the leading zero: .0754, +.0012."""
    return f"{value:{sign}.4f}".replace("0.", ".", 1)


def interval(low: float, high: float, sign: str = "") -> str:
    """`[+.0060, +.0166]`, in a cell that breaks before it and not within."""
    return f"[{short(low, sign)},\u00a0{short(high, sign)}]"


def standing(lift: PeerLift) -> str:
    """One cohort: `cold EASE (union) .0396, bridge +.0113 [+.0060, +.0166]`."""
    gain = f"bridge {short(lift.mean, '+')} [{short(lift.low, '+')}, {short(lift.high, '+')}]"
    return f"{lift.cohort} {peer_name(lift.peer)} {short(lift.recall)}, {gain}"


def best_peer_line(lifts: Sequence[PeerLift]) -> str:
    """The best peer of every cohort and the bridge's lift over it, in one line; empty where none was
    measured. "all" is left out: it follows from the others.
    """
    found = [standing(lift) for lift in lifts if lift.cohort != "all"]
    return f"best peer: {'; '.join(found)}" if found else ""


def peer_rows(
    rows: Iterable[CohortRow],
    lifts: Sequence[PeerLift],
    metric: str,
    first: Sequence[str],
    figure: Callable[[CohortRow | None], str],
) -> tuple[list[str], list[list[str]]]:
    """Header and cells of one metric, candidates by cohort: those of `first`, then the peers, best marked."""
    cells = {(r.candidate, r.cohort): r for r in rows if r.metric == metric and r.users}
    best = {(lift.peer, lift.cohort) for lift in lifts}
    cohorts = [lift.cohort for lift in lifts]
    names = dict.fromkeys([*first, *(name for name, _ in cells)])
    body = []
    for name in names:
        marked = [f"{BEST} " if (name, cohort) in best else "" for cohort in cohorts]
        figures = [figure(cells.get((name, cohort))) for cohort in cohorts]
        body.append([peer_name(name), *(m + f for m, f in zip(marked, figures, strict=True))])
    return ["candidate", *cohorts], body
