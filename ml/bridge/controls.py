"""Controls: the same data with one thing taken out, the one that transfer is said to live on.

per_domain, unlinked: nobody is known to be the same person in two domains. shuffled_links: everybody is taken
for somebody else. random_text: texts say nothing. A lift that stays is not what it is called; a gate that
still says yes is broken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ml.bridge.protocol import Split, hash_fractions
from ml.data import Interactions, Snapshot

# Of the hash that draws the users whose links stay known: other users than those of any evaluation's seed.
LINK_SEED = 6007


def per_domain(snapshot: Snapshot) -> Snapshot:
    """The snapshot as `identity: per_domain` makes it: every user of every domain a user of its own."""
    logs = {d: snapshot.interactions[d] for d in snapshot.domains}
    ids = np.concatenate([np.char.add(f"{d}:", snapshot.users.astype(str)) for d in logs])
    moved = _apart(logs, np.ones(len(snapshot.users), dtype=bool))
    return replace(snapshot, users=ids, interactions=moved, digest=f"{snapshot.digest}-per-domain")


def unlinked(split: Split, known_links: float = 0.0, sources_linked: bool = False) -> Split:
    """A split of cold users whose training does not know who in a source is who in the target.

    A share `known_links` of the users, drawn by a hash of their ids, stays linked. Those asked about are
    shown with what they did in the sources: that is what makes the truth measurable, and no model was fitted
    on it. What is chosen on such a split's users has seen their links, and nothing else has. sources_linked:
    who is who among the sources is known; only the target is apart.
    """
    task, n = split.task, len(split.user_ids)
    lost = hash_fractions(split.user_ids, LINK_SEED) >= known_links
    moved = _apart({d: task.interactions[d] for d in (task.target, *task.sources)}, lost, sources_linked)
    total = n * len(moved)
    shown = {d: replace(log, n_users=total) for d, log in (split.shown or task.interactions).items()}
    ids = np.concatenate([split.user_ids, *(np.char.add(f"{d}:", split.user_ids) for d in task.sources)])
    truth = replace(split.truth, n_users=total)
    return replace(
        split, task=replace(task, interactions=moved, memo={}), shown=shown, truth=truth, user_ids=ids
    )


def shuffled_links(snapshot: Snapshot, domain: str, seed: int) -> Snapshot:
    """The users of `domain`'s log permuted among all users: the same log, of nobody in particular."""
    log = snapshot.interactions[domain]
    moved = np.random.default_rng(seed).permutation(log.n_users).astype(np.int32)[log.users]
    return snapshot.with_interactions(**{domain: _of(log, moved, log.n_users)})


def random_text(snapshot: Snapshot, seed: int) -> Snapshot:
    """Every text's vector replaced by a random direction; what has no text still has none."""
    rng, found = np.random.default_rng(seed), {}
    for domain in snapshot.domains:
        catalogue = snapshot.catalogues[domain]
        if catalogue.vectors is None:
            continue
        drawn = rng.standard_normal(catalogue.vectors.shape, dtype=np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        found[domain] = drawn * catalogue.has_vector[:, None]
    return snapshot.with_vectors(found)


def opened_lately(split: Split, share: float, seed: int = 0) -> Split:
    """The split of a target that has had time to know only a share of its users, drawn by chance."""
    task = split.task
    log = task.interactions[task.target]
    known = np.random.default_rng(seed).random(log.n_users) < share
    return replace(
        split,
        task=replace(task, interactions={**task.interactions, task.target: log.of_users(known)}, memo={}),
    )


def _apart(
    logs: Mapping[str, Interactions], lost: np.ndarray, together: bool = False
) -> dict[str, Interactions]:
    """The users of `lost` (n,) bool with positions of their own in every domain after the first; `together`:
    in all of those domains the same ones."""
    n, found = len(lost), {}
    for place, (domain, log) in enumerate(logs.items()):
        first = n * (min(place, 1) if together else place)
        found[domain] = _of(log, log.users + (first * lost[log.users]).astype(np.int32), n * len(logs))
    return found


def _of(log: Interactions, users: np.ndarray, n_users: int) -> Interactions:
    """The log with other users, in their order; a user's own sequence stays as it is."""
    order = np.argsort(users, kind="stable")
    return replace(log.select(order), users=users[order].astype(np.int32), n_users=n_users)
