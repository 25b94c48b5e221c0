"""What an adapted encoder is worth: recall of the text-only bridge, adapted against base, user by user.

Asked are the cold validation users of every target, of whom the encoder has seen nothing; the test users stay
unseen, so that a bridge built on the adapted encoder can still be measured on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ml.bridge.blocks.profiles import TextProfile
from ml.bridge.contract import Scorer
from ml.bridge.histories import histories
from ml.bridge.protocol import Protocol
from ml.bridge.scorers.ridge import RidgeBridge
from ml.data import Snapshot
from ml.metrics.intervals import Interval, bootstrap_mean, paired_lift
from ml.metrics.ranking import recall_at_k
from ml.retrieval.exact import top_k_scores
from ml.text.adapt.pairs import Visibility

Stage = Literal["choose", "measure"]
# One setting for both encoders, of the middle of the bridge's own grid.
RIDGE = 10.0
FEWEST_USERS = 30


@dataclass(frozen=True)
class Recalls:
    """users: (u,) positions in the snapshot. recall: (u,) at k, NaN without relevant items."""

    users: np.ndarray
    recall: np.ndarray


def cold_recall(
    snapshot: Snapshot,
    target: str,
    sources: Sequence[str],
    scorer: Scorer,
    visibility: Visibility,
    k: int,
    stage: Stage,
) -> Recalls:
    """Fit `scorer` with the cold users of `stage` hidden, and rank the target's catalogue for them."""
    split = Protocol(
        snapshot,
        target,
        tuple(sources),
        visibility.cold_user_fraction,
        visibility.horizon,
        visibility.seed,
    ).cold(stage)
    if not len(split.users):
        return Recalls(split.users, np.zeros(0))
    past = histories(split.task.interactions, split.users)
    ranked, _ = top_k_scores(scorer.fit(split.task).score(past), k)
    return Recalls(split.users, recall_at_k(ranked, split.truth.matrix()[split.users] > 0))


def text_only(sources: Sequence[str]) -> RidgeBridge:
    """The bridge that reads nothing of a user but the texts of their items in the source domains."""
    blocks: list = [(TextProfile(domain), 1.0) for domain in sources]
    return RidgeBridge(blocks, ridge=RIDGE)


@dataclass(frozen=True)
class Lift:
    """base, adapted: recall over users. difference: adapted - base, paired by user, a user of several targets
    counted once with the mean of theirs. by_target: the same, target by target."""

    base: Interval
    adapted: Interval
    difference: Interval
    by_target: Mapping[str, Interval]

    @property
    def passed(self) -> bool:
        """The gate: the whole interval of the difference lies above zero, over enough users."""
        return self.difference.n >= FEWEST_USERS and self.difference.above_zero

    @property
    def reason(self) -> str:
        """The gate's decision in a sentence."""
        found = self.difference
        if found.n < FEWEST_USERS:
            return (
                f"{found.n} validation users can be asked, fewer than {FEWEST_USERS}: the base encoder stays"
            )
        verdict = "the adapted encoder is used" if self.passed else "the base encoder stays"
        return (
            f"recall {self.base.mean:.4f} → {self.adapted.mean:.4f}, difference {found.mean:+.4f} "
            f"[{found.low:+.4f}, {found.high:+.4f}] over {found.n:,} users: {verdict}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able figures."""
        return {
            "base": asdict(self.base),
            "adapted": asdict(self.adapted),
            "difference": asdict(self.difference),
            "by_target": {target: asdict(found) for target, found in self.by_target.items()},
        }


def encoder_lift(
    base: Snapshot,
    adapted: Snapshot,
    sources: Mapping[str, Sequence[str]],
    visibility: Visibility,
    k: int,
    stage: Stage = "choose",
) -> Lift:
    """Recall at k of the text-only bridge with both encoders' vectors, over the targets in `sources`.

    base, adapted: one snapshot with the vectors of either encoder. A target whose sources have no text or
    no users to ask is left out.
    """
    found: dict[str, tuple[Recalls, Recalls]] = {}
    for target, all_sources in sorted(sources.items()):
        read = [d for d in all_sources if _has_text(base, d) and _has_text(adapted, d)]
        if read:
            before, after = (
                cold_recall(s, target, read, text_only(read), visibility, k, stage) for s in (base, adapted)
            )
            found[target] = before, after
    by_target = {t: paired_lift(b.recall, a.recall) for t, (a, b) in found.items() if len(a.users)}
    return pooled(list(found.values()), len(base.users), by_target)


def pooled(pairs: Sequence[tuple[Recalls, Recalls]], n_users: int, by_target: Mapping[str, Interval]) -> Lift:
    """The lift over all targets with the user as the unit: (before, after) of each target."""
    before, after = (_by_user([pair[side] for pair in pairs], n_users) for side in (0, 1))
    return Lift(bootstrap_mean(before), bootstrap_mean(after), paired_lift(after, before), by_target)


def _by_user(recalls: Sequence[Recalls], n_users: int) -> np.ndarray:
    """(asked users,) each one's mean recall over the targets; the same users in the same order for the same
    splits."""
    total, count = np.zeros(n_users), np.zeros(n_users)
    for found in recalls:
        held = ~np.isnan(found.recall)
        total[found.users[held]] += found.recall[held]
        count[found.users[held]] += 1
    asked = count > 0
    return total[asked] / count[asked]


def _has_text(snapshot: Snapshot, domain: str) -> bool:
    return bool(len(snapshot.interactions[domain]) and snapshot.catalogues[domain].has_vector.any())
