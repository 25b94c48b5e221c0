"""The planted truth, found by simple peers: taste crosses between films, books and music, not to the garden.

Cold users are those whose sha1 says so (docs/ALGORITHM.md); all their target items are relevant, and the
ranking is full.
"""

import hashlib
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from demo_reader import DOMAINS, START, WEIGHTS, catalogue, good_events
from scipy import sparse

pytestmark = pytest.mark.slow
MEDIA = ("films", "books", "music")
K = 10


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class Log:
    """One domain: who liked what (users x items, 0/1), the last time of each, and the items' words."""

    def __init__(self, world, domain: str, users: dict[str, int]) -> None:
        self.texts = catalogue(world, domain)
        items = {item: position for position, item in enumerate(self.texts)}
        weight, self.last = defaultdict(float), {}
        self.events = [event for event in good_events(world, domain) if event[1] in items]
        for user, item, time, event in self.events:
            pair = users.setdefault(user, len(users)), items[item]
            weight[pair] += WEIGHTS[event]
            self.last[pair] = time
        self.pairs = [pair for pair, total in weight.items() if total > 0]

    def matrix(self, n_users: int) -> sparse.csr_matrix:
        rows, columns = zip(*self.pairs, strict=True)
        return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n_users, len(self.texts)))


@pytest.fixture(scope="module")
def logs(small):
    users: dict[str, int] = {}
    found = {domain: Log(small, domain, users) for domain in DOMAINS}
    cold = np.array([int(hashlib.sha1(user.encode()).hexdigest(), 16) % 10 < 2 for user in users])
    return found, {domain: log.matrix(len(users)) for domain, log in found.items()}, cold


def bags_of_words(logs: dict[str, Log]) -> dict[str, np.ndarray]:
    words = {
        d: [Counter(re.findall(r"\w+", text.lower())) for text in log.texts.values()]
        for d, log in logs.items()
    }
    seen = Counter(word for bags in words.values() for bag in bags for word in bag)
    rarity = {word: np.log(sum(map(len, words.values())) / n) for word, n in seen.items() if n > 2}
    column = {word: position for position, word in enumerate(rarity)}
    vectors = {}
    for domain, bags in words.items():
        vectors[domain] = np.zeros((len(bags), len(column)))
        for row, bag in enumerate(bags):
            for word in bag.keys() & column.keys():
                vectors[domain][row, column[word]] = bag[word] * rarity[word]
        vectors[domain] = unit(vectors[domain])
    return vectors


def recall(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    top = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(relevant, top, axis=1).sum(axis=1) / relevant.sum(axis=1)


def interval(lift: np.ndarray) -> tuple[float, float]:
    half = 1.96 * lift.std(ddof=1) / len(lift) ** 0.5
    return lift.mean() - half, lift.mean() + half


def cold_recalls(logs, target: str) -> dict[str, np.ndarray]:
    """Recall of each cold user by popularity, item-kNN and words, both from the other domains' history."""
    by_domain, matrices, cold = logs
    sources = [domain for domain in DOMAINS if domain != target]
    has_source = sum(np.asarray(matrices[s].sum(axis=1)).ravel() for s in sources) > 0
    active = np.asarray(matrices[target].sum(axis=1)).ravel() > 0
    test, train = cold & has_source & active, ~cold & has_source & active
    relevant, known = matrices[target][test].toarray(), matrices[target][train].toarray()
    popularity = np.asarray(matrices[target][~cold & active].sum(axis=0)).ravel()
    history = np.hstack([unit(matrices[s].toarray()) for s in sources])
    neighbours = unit(known.T @ history[train])
    words = bags_of_words(by_domain)
    profile = unit(np.hstack([matrices[s] @ words[s] for s in sources]))
    likes = unit(known.T @ (profile[train] - profile[train].mean(axis=0)))
    affinity = unit(profile[test] - profile[train].mean(axis=0)) @ likes.T
    return {
        "popularity": recall(np.broadcast_to(popularity, relevant.shape), relevant),
        "knn": recall(history[test] @ neighbours.T * np.sqrt(popularity), relevant),
        "words": recall(np.log1p(popularity) + 3 * affinity, relevant),
    }


@pytest.mark.parametrize("target", MEDIA)
def test_taste_crosses_between_the_media(logs, target):
    recalls = cold_recalls(logs, target)
    assert len(recalls["popularity"]) > 250
    assert 0.04 < recalls["popularity"].mean() < 0.09
    for peer in ("knn", "words"):
        low, _ = interval(recalls[peer] - recalls["popularity"])
        assert recalls[peer].mean() > 0.1
        assert low > 0.02


def test_nothing_crosses_to_the_garden(logs):
    recalls = cold_recalls(logs, "garden")
    for peer in ("knn", "words"):
        low, _ = interval(recalls[peer] - recalls["popularity"])
        assert low < 0
        assert recalls[peer].mean() < recalls["popularity"].mean() + 0.005


def warm_recalls(log: Log, shape: tuple[int, int]) -> np.ndarray:
    """(3, warm users): recall of new items in the last two weeks by popularity, kNN, recent kNN."""
    cut = START + 76 * 86_400
    past, future, age = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for pair in log.pairs:
        (past if log.last[pair] < cut else future)[pair] = 1
        age[pair] = max(cut - log.last[pair], 0) / 86_400
    warm = (past.sum(axis=1) >= 5) & (future.sum(axis=1) > 0)
    neighbours = unit(past.T) @ unit(past.T).T
    unseen = np.where(past[warm] > 0, -np.inf, 0)
    peers = (past.sum(axis=0), past[warm] @ neighbours, (past * np.exp(-age / 10))[warm] @ neighbours)
    return np.array([recall(scores + unseen, future[warm]) for scores in peers])


def test_own_history_helps_warm_users_and_recent_history_more(logs):
    recalls = {domain: warm_recalls(log, logs[1][domain].shape) for domain, log in logs[0].items()}
    for popularity, neighbours, _ in recalls.values():
        assert interval(neighbours - popularity)[0] > 0.04
    # Recency matters a little: seen in all domains together.
    _, neighbours, recent = np.hstack(list(recalls.values()))
    low, high = interval(recent - neighbours)
    assert 0 < low < high < 0.05


def test_a_fifth_of_the_items_draws_much_of_the_attention(logs):
    for log in logs[0].values():
        by_item = sorted(Counter(item for _, item, _, _ in log.events).values(), reverse=True)
        assert 0.4 < sum(by_item[: len(log.texts) // 5]) / sum(by_item) < 0.8
