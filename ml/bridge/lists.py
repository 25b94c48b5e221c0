"""The lists of measured models in one table: what a candidate gave each test user, and what the user took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ml import columns as c
from ml.bridge.histories import Histories
from ml.bridge.protocol import Split
from ml.metrics.cohorts import COLD_ITEMS, user_cohort

LISTS_SCHEMA = pa.schema(
    [
        ("scenario", pa.string()),
        (c.COHORT, pa.string()),
        ("candidate", pa.string()),
        (c.USER_ID, pa.string()),
        ("items", pa.list_(pa.int32())),
        ("relevant", pa.list_(pa.int32())),
    ]
)


@dataclass(frozen=True)
class Asked:
    """The users of a split, made once for all candidates. past: their visible histories. cohorts: (u,).
    relevant: for each user the hidden items, sorted."""

    split: Split
    past: Histories
    cohorts: np.ndarray
    relevant: Sequence[np.ndarray]

    @classmethod
    def of(cls, split: Split, cohort: str | None = None) -> Asked:
        """The split's users, in its order; in one `cohort`, or each in the cohort of what is known of it."""
        past = split.past
        truth = split.truth.matrix()[split.users]
        # An item of the history that comes again is not news: lists leave seen items out, so does the truth.
        new = truth - truth.multiply(past.weights[split.task.target] > 0)
        new.eliminate_zeros()
        spans = zip(new.indptr[:-1], new.indptr[1:], strict=True)
        relevant = [np.sort(new.indices[first:last]) for first, last in spans]
        known = user_cohort(past.counts(split.task.target))
        cohorts = known if cohort is None else np.full(len(past), cohort)
        return cls(split, past, cohorts, relevant)

    @property
    def routes(self) -> set[str]:
        """The cohorts whose blends serve these users: what is known of them decides, not what is asked."""
        if self.split.allowed is not None:
            return {COLD_ITEMS}
        return set(user_cohort(self.past.counts(self.split.task.target)).tolist())

    def table(self, candidate: str, ranked: np.ndarray) -> pa.Table:
        """LISTS_SCHEMA of what the candidate lists: ranked (u, k) item positions, -1 where there are none."""
        return pa.table(
            {
                "scenario": [self.split.scenario] * len(self.past),
                c.COHORT: self.cohorts,
                "candidate": [candidate] * len(self.past),
                c.USER_ID: self.split.user_ids[self.split.users],
                "items": [row[row >= 0] for row in ranked.astype(np.int32)],
                "relevant": self.relevant,
            },
            schema=LISTS_SCHEMA,
        )
