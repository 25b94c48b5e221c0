"""Two shops and users who each like one colour, in both: what the texts say decides what goes together."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from ml.data import Catalogue, Interactions, Snapshot

COLOURS, SIZES = ("red", "green", "blue"), ("small", "large")
FILLERS = tuple(map(" ".join, product(("the", "a", "of", "with", "and"), repeat=2)))
NOUNS = {"shop": ("kettle", "pan"), "table": ("tea", "rice")}
DAY = 86_400 * 1_000_000
AS_OF = 400 * DAY


def texts_of(domain: str) -> list[str]:
    return [" ".join(words) for words in product(COLOURS, SIZES, NOUNS[domain], FILLERS)]


def tastes_that_texts_do_not_tell(world: Snapshot, seed: int = 0) -> Snapshot:
    """The same users with the same tastes, items of a domain exchanged at random: popularity, histories
    and who goes with whom stay as regular as they were, and no text says anything of it."""
    random = np.random.default_rng(seed)
    return world.with_interactions(
        **{
            domain: replace(log, items=random.permutation(log.n_items)[log.items].astype(np.int32))
            for domain, log in world.interactions.items()
        }
    )


def colour_world(users: int = 600, seed: int = 0) -> Snapshot:
    """`users` users with 6 items of their colour in each domain, over 300 days; a text is its own hash."""
    random = np.random.default_rng(seed)
    catalogues, logs = {}, {}
    for domain in NOUNS:
        texts = np.array(texts_of(domain), dtype=object)
        colours = np.array([COLOURS.index(text.split()[0]) for text in texts])
        chosen = [
            np.sort(random.choice(np.flatnonzero(colours == user % 3), 6, replace=False))
            for user in range(users)
        ]
        items, who = np.concatenate(chosen).astype(np.int32), np.repeat(np.arange(users), 6).astype(np.int32)
        times = random.integers(0, 300 * DAY, len(who))
        order = np.lexsort((items, times, who))
        ids = np.array([f"{domain}{i:03d}" for i in range(len(texts))])
        catalogues[domain] = Catalogue(ids, texts, texts)
        logs[domain] = Interactions(
            who[order], items[order], np.ones(len(who), np.float32), times[order], users, len(texts)
        )
    names = np.array([f"u{user:04d}" for user in range(users)])
    return Snapshot(names, catalogues, logs, AS_OF)
