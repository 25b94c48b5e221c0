"""k-core: leave out users and items with too little behaviour, until everybody who stays has enough.

What is measured on a core is true of the core only: it leaves out whom a recommender finds hardest. So it is
never done unless asked for, and what it left out is counted.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import columns as c


def k_core(users: np.ndarray, items: np.ndarray, of_user: int, of_item: int) -> np.ndarray:
    """(m,) bool: the largest set of interactions in which every user has `of_user` and every item `of_item`.

    users, items: (m,) positions from 0, an interaction each. There is one answer, in whatever order users and
    items are removed: the (p, q)-core of Ahmed et al. (2007), "Visualisation and analysis of the internet
    movie database", which carries Seidman's k-core (1983) over to two kinds of nodes.
    """
    left = np.arange(len(users))
    while len(left):
        enough = np.bincount(users[left])[users[left]] >= of_user
        enough &= np.bincount(items[left])[items[left]] >= of_item
        if enough.all():
            break
        left = left[enough]
    core = np.zeros(len(users), dtype=bool)
    core[left] = True
    return core


def _positions(ids: pa.ChunkedArray) -> np.ndarray:
    return pc.index_in(ids, value_set=pc.unique(ids)).to_numpy()


def core_of_each_domain(
    interactions: pa.Table, of_user: int, of_item: int
) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """The core of every domain by itself, and how many interactions, users and items of each are not in it.

    interactions: columns of `ml.snapshot_files.INTERACTIONS_SCHEMA`, one row per domain, user and item. Who
    is left out of one domain keeps what it did in the others. Domains that lose nothing are not counted.
    """
    kept, left_out = [interactions.slice(0, 0)], {}
    for domain in sorted(pc.unique(interactions[c.DOMAIN]).to_pylist()):
        log = interactions.filter(pc.equal(interactions[c.DOMAIN], domain))
        core = k_core(_positions(log[c.USER_ID]), _positions(log[c.ITEM_ID]), of_user, of_item)
        inside = log.filter(pa.array(core))
        kept.append(inside)
        if not core.all():
            left_out[domain] = {
                "interactions": len(log) - len(inside),
                "users": pc.count_distinct(log[c.USER_ID]).as_py()
                - pc.count_distinct(inside[c.USER_ID]).as_py(),
                "items": pc.count_distinct(log[c.ITEM_ID]).as_py()
                - pc.count_distinct(inside[c.ITEM_ID]).as_py(),
            }
    return pa.concat_tables(kept), left_out
