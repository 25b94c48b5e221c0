"""What a blend is worth to users who had no say in it.

The best of many candidates looks better on the users it was chosen on than it is; the more candidates, the
more so. Whether sources earn their place is therefore judged fold by fold (Stone 1974, "Cross-validatory
choice"): the blend is chosen on the other folds' users and measured on this one's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ml.bridge.select.blend import Blend, Pool, choose_blend

FOLDS = 3


def part_of(pool: Pool, rows: torch.Tensor) -> Pool:
    """The pool of some of its users; rows: (u,) positions."""
    scores = {name: each[rows] for name, each in pool.scores.items()}
    return Pool(scores, pool.relevant[rows], pool.relevant_count[rows])


def blended(pool: Pool, blend: Blend) -> torch.Tensor:
    """(u, p) the blend's scores of the pool's items."""
    return torch.stack([weight * pool.scores[name] for name, weight in blend.weights.items()]).sum(dim=0)


def held_out_values(pool: Pool, names: Sequence[str], k: int) -> np.ndarray:
    """(u,) `Pool.value` of each user under the blend of `names` that the other folds' users choose.

    Users are dealt out to the folds in turn. With fewer users than folds, all zeros: nothing can be said.
    """
    users = torch.arange(len(pool.relevant_count))
    values = torch.zeros(len(users), dtype=torch.float64)
    for fold in range(FOLDS) if len(users) >= FOLDS else ():
        mine = users[users % FOLDS == fold]
        blend, _ = choose_blend(part_of(pool, users[users % FOLDS != fold]), names, k)
        held = part_of(pool, mine)
        values[mine] = held.value(blended(held, blend), k)
    return values.numpy()
