"""Which texts belong together: items that one user took up close to each other, in one domain or across two.

Nobody whom the protocol hides is looked at, and nothing that it asks about later: an encoder that has seen
the answers would pass every gate that it is put to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ml.bridge.protocol import Protocol, hash_fractions
from ml.data import Interactions, Snapshot

# Salts the hash that holds users and texts out of training: it is not the hash that the protocol hides by.
HELD_OUT_SALT = 1_000_003


class TooFewPairsError(ValueError):
    """The logs hold too little to fine-tune an encoder on; the message says what to do."""


@dataclass(frozen=True)
class Visibility:
    """What the protocol keeps for choosing and measuring; the fields mean what they mean in TrainSettings."""

    cold_user_fraction: float = 0.2
    horizon: int = 14 * 86_400_000_000
    seed: int = 0
    protocol: str = "time"


@dataclass(frozen=True)
class PairRules:
    """pairs: the most drawn to learn from. reach: places apart in a user's sequence over all domains.

    across: the share drawn from two domains, as far as there are such pairs; None takes them as they come.
    held_out: share of users, and share of texts, that training never meets; what those users took up of those
    texts decides when to stop. Of the pairs to learn from, at most held_out times as many are drawn.
    """

    pairs: int = 20_000
    reach: int = 5
    across: float | None = None
    held_out: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """texts: (t,) text hashes. domains: (t,) the domain of each, the first that has it, as a number.

    left, right: (p,) positions in `texts`, the earlier domain on the left. held_out: (p,) bool; these share
    neither a text nor a user with the others. known: (t, t) symmetric bool CSR, all taken up within reach,
    drawn or not: no negative may be one of them. Of texts to learn from it holds the pairs of users to learn
    from alone: what a loss leaves out tells as much as what it pulls together.
    """

    texts: np.ndarray
    domains: np.ndarray
    left: np.ndarray
    right: np.ndarray
    held_out: np.ndarray
    known: sparse.csr_matrix

    def __len__(self) -> int:
        return len(self.left)

    def select(self, rows: np.ndarray) -> np.ndarray:
        """(n, 2) the two texts of the pairs at `rows` (positions or bool)."""
        return np.stack([self.left[rows], self.right[rows]], axis=1)

    @property
    def crosses(self) -> np.ndarray:
        """(p,) bool: the two are of different domains."""
        return self.domains[self.left] != self.domains[self.right]

    @cached_property
    def training(self) -> np.ndarray:
        """(n, 2) pairs to learn from."""
        return self.select(~self.held_out)

    @cached_property
    def validation(self) -> np.ndarray:
        """(n, 2) pairs of users and of texts that are not learned from."""
        return self.select(self.held_out)


def visible(snapshot: Snapshot, rules: Visibility) -> dict[str, Interactions]:
    """Each domain's interactions that no split asks about when the domain is the target (`unasked`), of users
    hidden from neither choosing nor measuring."""
    hides = rules.cold_user_fraction, rules.horizon, rules.seed
    asked = {d: Protocol(snapshot, d, (), *hides, history=rules.protocol) for d in snapshot.domains}
    return {domain: each.unasked().interactions[domain] for domain, each in asked.items()}


def find_pairs(snapshot: Snapshot, visibility: Visibility, rules: PairRules) -> Pairs:
    """Draw pairs from what is visible; each unordered pair of different texts at most once.

    Raises TooFewPairsError where fewer than two pairs exist to learn from, or none to hold out.
    """
    texts, domains = _texts(snapshot)
    users, rows = _sequence(snapshot, visible(snapshot, visibility), texts)
    one, other, users = _within_reach(users, rows, rules.reach)
    hidden_users, hidden_texts = (
        hash_fractions(ids, visibility.seed + HELD_OUT_SALT) < rules.held_out
        for ids in (snapshot.users, texts)
    )
    learned = ~(hidden_users[users] | hidden_texts[one] | hidden_texts[other])
    unseen = hidden_texts[one] & hidden_texts[other]
    asked = unseen & hidden_users[users]
    random = np.random.default_rng(rules.seed)
    sides = []
    for rows, most in ((learned, rules.pairs), (asked, round(rules.held_out * rules.pairs))):
        candidates = _distinct(domains, one[rows], other[rows])
        crosses = domains[candidates[:, 0]] != domains[candidates[:, 1]]
        sides.append(candidates[_draw(crosses, most, rules.across, random)])
    drawn, held_out = np.concatenate(sides), np.repeat([False, True], [len(side) for side in sides])
    known = _symmetric(one[learned | unseen], other[learned | unseen], len(texts))
    pairs = Pairs(texts, domains, drawn[:, 0], drawn[:, 1], held_out, known)
    if len(pairs.training) < 2 or not len(pairs.validation):
        raise TooFewPairsError(
            f"{len(pairs.training)} pairs of texts to learn from and {len(pairs.validation)} to stop by: too "
            "few users took up two items with text before the evaluated windows; leave encoder.adaptation "
            "out until there is more data, or shorten evaluation.horizon"
        )
    return pairs


def _texts(snapshot: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """texts (t,) sorted hashes of all domains; (t,) the first domain of each as a number."""
    held = [[h for h in snapshot.catalogues[d].text_hashes if h is not None] for d in snapshot.domains]
    numbers = np.repeat(np.arange(len(held)), [len(hashes) for hashes in held])
    texts, first = np.unique(np.array([h for hashes in held for h in hashes], str), return_index=True)
    return texts, numbers[first]


def _sequence(
    snapshot: Snapshot, logs: Mapping[str, Interactions], texts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each event on an item with text, by user, then time, domain and text: user (m,), text (m,)."""
    places = {text_hash: place for place, text_hash in enumerate(texts.tolist())}
    parts = []
    for number, domain in enumerate(snapshot.domains):
        log, hashes = logs[domain], snapshot.catalogues[domain].text_hashes
        rows = np.array([-1 if h is None else places[h] for h in hashes], np.int64)[log.items]
        parts.append((log.users, log.times, np.full(len(log), number), rows))
    users, times, numbers, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((rows, numbers, times, users))
    order = order[rows[order] >= 0]
    return users[order], rows[order]


def _within_reach(users: np.ndarray, rows: np.ndarray, reach: int) -> list[np.ndarray]:
    """Pairs of different texts at most `reach` places apart in one user's sequence: one, other, user."""
    parts = []
    for step in range(1, reach + 1):
        same = (users[step:] == users[:-step]) & (rows[step:] != rows[:-step])
        parts.append((rows[:-step][same], rows[step:][same], users[step:][same]))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _distinct(domains: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, 2) each unordered pair once, the earlier domain (then text) on the left."""
    swap = (domains[one] > domains[other]) | ((domains[one] == domains[other]) & (one > other))
    pairs = np.stack([np.where(swap, other, one), np.where(swap, one, other)], axis=1)
    return np.unique(pairs, axis=0)


def _symmetric(left: np.ndarray, right: np.ndarray, count: int) -> sparse.csr_matrix:
    both = np.concatenate([left, right]), np.concatenate([right, left])
    return sparse.csr_matrix((np.ones(2 * len(left), bool), both), shape=(count, count))


def _draw(crosses: np.ndarray, most: int, across: float | None, random: np.random.Generator) -> np.ndarray:
    """Positions of at most `most` drawn pairs, in random order."""
    order = random.permutation(len(crosses))
    if across is None:
        return order[:most]
    over, within = order[crosses[order]], order[~crosses[order]]
    over = over[: round(across * most)]
    return random.permutation(np.concatenate([over, within[: most - len(over)]]))
