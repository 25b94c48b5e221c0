"""Which source helps which target, for whom and by how much: a cheap answer before training, checked after.

One small bridge a source: a ridge from the source's truncated-SVD factors and text to the target's items. Its
scores are mixed into those of what the target knows by itself, and the lift is the recall that this adds or
takes, paired by user. `estimate` asks validation users, `measure` the test users, with the same mixture; what
selection reads of it are the estimates alone.

The share of the source is the best of SHARES. None is not among them: an estimate below 0 says what the
source would take if it were used. So that choosing it flatters nobody, the users are halved and each half is
given the share that was best for the other (cross-fitting, Chernozhukov et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ml.bridge.blocks.profiles import SVDFactors
from ml.bridge.contract import Scorer, Task
from ml.bridge.histories import Histories
from ml.bridge.protocol import Protocol, Split
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.scorers.ridge import RidgeBridge
from ml.bridge.select.blend import SELECTION_DEPTH, standardise
from ml.bridge.select.bridges import NEXT_TAU, next_items, source_profiles, texts
from ml.bridge.select.choose import asked_users
from ml.bridge.select.transfer_matrix import SCENARIOS, Cell, Ground, Transferability
from ml.data import Catalogue, Snapshot
from ml.metrics.cohorts import COHORTS_OF
from ml.metrics.intervals import Interval, paired_lift
from ml.metrics.ranking import ndcg_at_k, recall_at_k
from ml.retrieval.exact import top_k_scores

SHARES = (0.2, 0.4, 0.6, 0.8)
FOLDS = 2
# Stronger than what a bridge is chosen with: of a small source little should be believed. On Complete Journey
# 10 made users worse off where 100 left them alone, on food_kitchen 100 lifted as much or more.
RIDGE = 100.0
CHUNK_SCORES = 4_000_000  # dense scores held at once
OVERLAP_ITEMS = 1000  # target items whose nearest text in the source is looked for


def estimated(protocol: Protocol, k: int, say: Callable[[str], None] = lambda line: None) -> Transferability:
    """What validation users and the snapshot say of every source of the protocol's target."""
    snapshot, target = protocol.snapshot, protocol.target
    common = {source: ground(snapshot, target, source) for source in protocol.sources}
    cells = tuple(estimate(protocol, k, say))
    return Transferability(target, snapshot.digest, k, common, cells, rules=protocol.rules)


def estimate(protocol: Protocol, k: int, say: Callable[[str], None] = lambda line: None) -> list[Cell]:
    """A cell for every source and cohort with enough validation users."""
    return [cell for scenario in SCENARIOS for cell in _cells(protocol, scenario, k, say, None)]


def measure(
    protocol: Protocol, estimated: Sequence[Cell], k: int, say: Callable[[str], None] = lambda line: None
) -> list[Cell]:
    """The estimated cells again, on test users, with the shares that validation users chose."""
    shares = {(cell.source, cell.cohort): cell.share for cell in estimated}
    return [cell for scenario in SCENARIOS for cell in _cells(protocol, scenario, k, say, shares)]


def ground(snapshot: Snapshot, target: str, source: str) -> Ground:
    """What `source` and `target` have in common, as the snapshot has it."""
    theirs, ours = (snapshot.interactions[d].counts() > 0 for d in (source, target))
    overlap = text_overlap(snapshot.catalogues[target], snapshot.catalogues[source])
    return Ground(int((theirs & ours).sum()), overlap)


def text_overlap(target: Catalogue, source: Catalogue, seed: int = 0) -> float | None:
    """Mean over target items (at most OVERLAP_ITEMS) of the highest cosine to a text of the source."""
    if target.vectors is None or source.vectors is None:
        return None
    mine, theirs = target.vectors[target.has_vector], source.vectors[source.has_vector]
    if not len(mine) or not len(theirs):
        return None
    if len(mine) > OVERLAP_ITEMS:
        mine = mine[np.random.default_rng(seed).choice(len(mine), OVERLAP_ITEMS, replace=False)]
    return float((mine @ theirs.T).max(axis=1).mean())


def single_source(task: Task, source: str) -> RidgeBridge:
    """The cheap bridge: one source's behaviour, and its text where it has any, to the target's items."""
    return RidgeBridge(source_profiles(task.reading([source])), ridge=RIDGE)


def own_knowledge(task: Task, scenario: str) -> Scorer:
    """What the target says without a source: its popular items, or what follows in the user's sequence."""
    if scenario == "cold":
        return Popularity()
    own = [(SVDFactors(task.target, tau=NEXT_TAU), 1.0), *texts(task, [task.target], tau=NEXT_TAU)]
    return next_items(own, ridge=10.0)


def _cells(
    protocol: Protocol,
    scenario: str,
    k: int,
    say: Callable[[str], None],
    shares: Mapping[tuple[str, str], float] | None,
) -> Iterator[Cell]:
    """One split's cells; shares None: they are chosen here."""
    split: Split = getattr(protocol, scenario)("choose" if shares is None else "measure")
    known = COHORTS_OF[scenario] if shares is None else {cohort for _, cohort in shares}
    asked = {
        cohort: rows
        for cohort, rows in asked_users(split).items()
        if cohort in COHORTS_OF[scenario] and cohort in known
    }
    if not asked or not split.task.sources:
        return
    split = replace(split, users=split.users[np.concatenate(list(asked.values()))])
    base = own_knowledge(split.task, scenario).fit(split.task.twin())
    for source in split.task.sources:
        say(f"{split.task.target}: what {source} is worth ({scenario})")
        scorer = single_source(split.task, source).fit(split.task)
        recall, value, reached = _values(base, scorer, source, split, k)
        first = 0
        for cohort, members in asked.items():
            mine = slice(first, first := first + len(members))
            if shares is None:
                picked, share = _cross_fitted(value[:, mine], split.task.seed)
            else:
                share = shares[source, cohort]
                picked = np.full(len(members), 1 + SHARES.index(share))
            lifted = recall[picked, np.arange(mine.start, mine.stop)]
            lift = paired_lift(lifted, recall[0, mine], seed=split.task.seed)
            yield _cell(source, cohort, lift, int(reached[mine].sum()), recall[0, mine], share)


def _cell(source: str, cohort: str, lift: Interval, reached: int, base: np.ndarray, share: float) -> Cell:
    mean = float(np.nanmean(base)) if lift.n else float("nan")
    return Cell(source, cohort, lift.mean, lift.low, lift.high, lift.n, reached, mean, share)


def _values(
    base: Scorer, scorer: Scorer, source: str, split: Split, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """recall@k and ndcg of a deeper list, (1 + len(SHARES), u) with no share first; (u,) reached."""
    past, target = split.past, split.task.target
    truth = split.truth.matrix(np.ones(len(split.truth)))[split.users]
    news = truth - truth.multiply(past.weights[target] > 0)
    news.eliminate_zeros()
    relevant = news > 0
    found: list[list[tuple[np.ndarray, np.ndarray]]] = []
    for rows, part in past.chunks(max(1, CHUNK_SCORES // max(truth.shape[1], 1))):
        lists = [
            top_k_scores(mixed, SELECTION_DEPTH * k, exclude=part.weights[target])[0]
            for mixed in _mixtures(base, scorer, source, part)
        ]
        mine = relevant[rows]
        found.append([(recall_at_k(ranked[:, :k], mine), ndcg_at_k(ranked, mine)) for ranked in lists])
    recall, value = np.concatenate([np.array(chunk) for chunk in found], axis=2).transpose(1, 0, 2)
    return recall, value, past.counts(source) > 0


def _mixtures(base: Scorer, scorer: Scorer, source: str, past: Histories) -> Iterator[torch.Tensor]:
    """(u, n) scores for no share and each of SHARES; users whom the source does not know keep the base."""
    known = torch.from_numpy(past.counts(source) > 0)[:, None]
    own = standardise(base.score(past)).cpu()
    other = torch.where(known, standardise(scorer.score(past)).cpu(), 0.0)
    yield own
    for share in SHARES:
        yield torch.where(known, (1 - share) * own + share * other, own)


def _cross_fitted(value: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """(u,) row of `value` (1 + shares, u) that was best for the other half of the users; and, of all users,
    the best share."""
    fold = np.random.default_rng(seed).permutation(value.shape[1]) % FOLDS
    picked = np.empty(value.shape[1], dtype=np.int64)
    for half in range(FOLDS):
        picked[fold == half] = _best(value[:, fold != half])
    return picked, SHARES[_best(value) - 1]


def _best(value: np.ndarray) -> int:
    """The row, from 1, of the smallest share whose users fare as well as with the best one, give or take one
    standard error of their difference (Breiman et al. 1984): of few users a large share is mostly luck."""
    means = np.nan_to_num(value[1:])
    behind = means[means.mean(axis=1).argmax()] - means
    error = behind.std(axis=1) / np.sqrt(behind.shape[1])
    return 1 + int(np.argmax(behind.mean(axis=1) <= error))
