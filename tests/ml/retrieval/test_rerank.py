"""Re-ranking: a case of MMR by hand, MMR written the slow way, and what it may never do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.retrieval.rerank import Reranker, RerankRules

SEEDS = st.integers(0, 2**32 - 1)
# Items 0 and 1 are the same thing, 2 is another; 3 is like neither and nothing is known of it.
VECTORS = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)
POPULAR = np.array([0.9, 0.5, 0.1, 0.2], np.float32)


def reranked(positions, scores, k, vectors=VECTORS, popularity=POPULAR, **rules):
    reranker = Reranker.of(RerankRules(**rules), np.asarray(vectors), np.asarray(popularity))
    found = reranker(np.array(positions), np.array(scores, np.float32), k)
    return found[0].tolist(), found[1].tolist()


def test_mmr_by_hand():
    # Relevance 1, .75, .5, 0. After item 0: .5 * .75 - .5 * 1 < .5 * .5 - 0, so 2 comes before 1;
    # then item 1 is worth .375 - .5 = -.125 and item 3, unlike all, 0.
    ranked, scores = reranked([[0, 1, 2, 3]], [[5.0, 4.0, 3.0, 1.0]], 4, diversity=0.5)
    assert ranked == [[0, 2, 3, 1]]
    assert scores == [[5.0, 3.0, 1.0, 4.0]]  # an item keeps its score


def test_a_popularity_penalty_by_hand():
    # Worth 1 - .9, .75 - .5, .5 - .1 and 0 - .2.
    assert reranked([[0, 1, 2, 3]], [[5.0, 4.0, 3.0, 1.0]], 3, popularity_penalty=1.0)[0] == [[2, 1, 0]]


def test_items_of_one_score_are_told_apart_by_likeness_alone():
    assert reranked([[0, 1, 2]], [[2.0, 2.0, 2.0]], 3, diversity=0.1)[0] == [[0, 2, 1]]


def test_short_lists_stay_short():
    ranked, scores = reranked([[0, -1], [-1, -1]], [[1.0, -np.inf], [-np.inf] * 2], 3, diversity=0.5)
    assert ranked == [[0, -1, -1], [-1, -1, -1]]
    assert scores[0] == [1.0, -np.inf, -np.inf]
    assert reranked(np.zeros((0, 4), int), np.zeros((0, 4)), 2, diversity=0.5)[0] == []


def candidates(random, users=5, n=40, m=12):
    """Ranked candidates with ties and empty slots, and what a re-ranker knows of the items."""
    vectors = random.standard_normal((n, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[random.random(n) < 0.2] = 0
    positions = np.array([random.permutation(n)[:m] for _ in range(users)])
    scores = -np.sort(-random.integers(-6, 6, (users, m)).astype(np.float32) / 2, axis=1)
    empty = np.arange(m) >= random.integers(0, m + 1, (users, 1))
    positions[empty], scores[empty] = -1, -np.inf
    return positions, scores, vectors.astype(np.float16).astype(np.float32), random.random(n)


def slow_mmr(row, scores, k, vectors, popularity, diversity, penalty):
    """The greedy rule as the paper states it, one candidate at a time."""
    left = [(item, float(s)) for item, s in zip(row, scores, strict=True) if item >= 0]
    if not left:
        return []
    top, low = max(s for _, s in left), min(s for _, s in left)
    relevance = {item: (s - low) / (top - low) if top > low else 1.0 for item, s in left}
    taken: list[int] = []

    def worth(item):
        near = max((float(vectors[item] @ vectors[other]) for other in taken), default=0.0)
        return (1 - diversity) * relevance[item] - diversity * near - penalty * popularity[item]

    pool = [item for item, _ in left]
    while pool and len(taken) < k:
        best = max(pool, key=worth)
        taken.append(best)
        pool.remove(best)
    return taken


@given(SEEDS, st.sampled_from([0.0, 0.3, 0.9]), st.sampled_from([0.0, 0.4]), st.integers(1, 14))
def test_it_is_mmr(seed, diversity, penalty, k):
    positions, scores, vectors, popularity = candidates(np.random.default_rng(seed))
    strengths = {"diversity": diversity, "popularity_penalty": penalty}
    ranked, _ = reranked(positions, scores, k, vectors, popularity, **strengths)
    for row, given_, found in zip(positions, scores, ranked, strict=True):
        expected = slow_mmr(row, given_, k, vectors, popularity, diversity, penalty)
        found = [item for item in found if item >= 0]
        assert len(found) == len(expected)
        if found != expected:  # a tie that rounding broke: no step may be worse than the slow rule's
            first = next(i for i, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
            best = slow_worths(row, given_, found[:first], vectors, popularity, diversity, penalty)
            assert best[found[first]] == pytest.approx(best[expected[first]], abs=1e-5)


def slow_worths(row, scores, taken, vectors, popularity, diversity, penalty):
    held = row >= 0
    low, top = scores[held].min(), scores[held].max()
    near = {i: max((float(vectors[i] @ vectors[o]) for o in taken), default=0.0) for i in row[held]}
    return {
        i: (1 - diversity) * (float((s - low) / (top - low)) if top > low else 1.0)
        - diversity * near[i]
        - penalty * popularity[i]
        for i, s in zip(row[held], scores[held], strict=True)
    }


@given(SEEDS, st.floats(0, 0.99), st.floats(0, 1))
def test_a_whole_list_is_a_permutation_of_its_candidates(seed, diversity, penalty):
    positions, scores, vectors, popularity = candidates(np.random.default_rng(seed))
    strengths = {"diversity": diversity, "popularity_penalty": penalty}
    ranked, values = reranked(positions, scores, positions.shape[1], vectors, popularity, **strengths)
    for row, found, given_, kept in zip(positions, ranked, scores, values, strict=True):
        assert sorted(zip(row, given_, strict=True)) == sorted(zip(found, kept, strict=True))
        size = (row >= 0).sum()
        assert (np.array(found[:size]) >= 0).all()  # empty slots stay at the end


@given(SEEDS, st.integers(1, 12))
def test_no_strength_is_the_plain_list(seed, k):
    positions, scores, vectors, popularity = candidates(np.random.default_rng(seed))
    assert reranked(positions, scores, k, vectors, popularity)[0] == positions[:, :k].tolist()


@given(SEEDS)
def test_users_do_not_touch_each_other(seed):
    positions, scores, vectors, popularity = candidates(np.random.default_rng(seed))
    rules = {"diversity": 0.4, "popularity_penalty": 0.2}
    together, _ = reranked(positions, scores, 5, vectors, popularity, **rules)
    alone = [reranked(positions[[u]], scores[[u]], 5, vectors, popularity, **rules)[0][0] for u in range(5)]
    assert together == alone


def test_many_users_are_taken_in_pieces(monkeypatch):
    positions, scores, vectors, popularity = candidates(np.random.default_rng(3), users=30)
    whole = reranked(positions, scores, 5, vectors, popularity, diversity=0.5)
    monkeypatch.setattr("ml.retrieval.rerank._CHUNK_NUMBERS", 700)
    assert reranked(positions, scores, 5, vectors, popularity, diversity=0.5) == whole


@pytest.mark.parametrize(
    "rules",
    [
        {"diversity": 1.0},
        {"diversity": -0.1},
        {"popularity_penalty": 1.1},
        {"depth": 0},
        {"diversity": np.nan},
    ],
)
def test_strengths_outside_their_range_are_refused(rules):
    with pytest.raises(ValueError, match=f"{next(iter(rules))} is .*: give"):
        RerankRules(**rules)


def test_what_is_saved_comes_back():
    made = Reranker.of(RerankRules(0.25, 0.5, 7), VECTORS, POPULAR)
    rules, arrays = made.state()
    again = Reranker.restore(rules, arrays)
    assert again.rules == made.rules
    assert np.array_equal(again.vectors, made.vectors)
    assert (again.depth(3), again.depth(30)) == (7, 30)
