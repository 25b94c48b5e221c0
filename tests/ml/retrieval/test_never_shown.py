"""Nothing seen and nothing filtered is ever returned, and no list ends early, whatever searches and how."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.retrieval import build_index
from ml.retrieval.exact import top_k
from ml.retrieval.filters import Filter, ItemAttributes, Labels

N, D, Q = 700, 8, 6
KINDS = ["exact", "flat", "ivf_pq", "hnsw"]


@pytest.fixture(scope="module")
def items() -> np.ndarray:
    """Clustered vectors of uneven length, every tenth a copy of the one before it."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, D))
    made = (centres[rng.integers(12, size=N)] + rng.normal(size=(N, D)) / 3) * rng.lognormal(size=(N, 1)) / 2
    made[10::10] = made[9:-1:10]
    return made.astype(np.float32)


@pytest.fixture(scope="module", params=KINDS)
def index(request, items):
    if request.param != "exact":
        pytest.importorskip("faiss")
    return build_index(items, np.arange(N).astype(str), "digest", request.param)


@st.composite
def filtered(draw):
    """What some users have seen, how many items are asked for, and a filter over random attributes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0]))
    seen = rng.random((Q, N)) < share
    seen[0] = draw(st.booleans())  # one user who saw everything, or nothing
    attributes = ItemAttributes(
        N,
        rng.random(N) < draw(st.sampled_from([0.0, 0.02, 0.5, 1.0])),
        Labels.of(rng.choice(["a", "b"], N)),
        Labels.of(list(rng.choice(["eu", "us"], (N, 2)))),
    )
    wanted = draw(st.sampled_from([None, frozenset({"a"}), frozenset({"a", "b"})]))
    mask = draw(st.none() | st.just(Filter(draw(st.booleans()), categories=wanted).mask(attributes)))
    queries = rng.normal(size=(Q, D)).astype(np.float32)
    return queries, draw(st.sampled_from([1, 10, 64, N + 3])), sparse.csr_matrix(seen), mask


def assert_lawful(positions, scores, k, seen, mask):
    hidden = seen.toarray() | (np.zeros(N, dtype=bool) if mask is None else ~mask)
    for row, line in enumerate(positions):
        shown = line[line >= 0]
        assert not hidden[row, shown].any()
        assert len(set(shown)) == len(shown) == min(k, N - hidden[row].sum())
        assert (line[len(shown) :] == -1).all()
    assert np.array_equal(np.isneginf(scores), positions < 0)


@settings(max_examples=25, deadline=None)
@given(filtered())
def test_every_index(index, request_):
    queries, k, seen, mask = request_
    assert_lawful(*index.search(queries, k, seen, mask), k, seen, mask)


@settings(max_examples=40, deadline=None)
@given(filtered(), st.tuples(st.integers(1, Q), st.sampled_from([19, 32, 100, 333, N])))
def test_every_block_size(items, request_, block):
    queries, k, seen, mask = request_
    assert_lawful(*top_k(queries, items, k, seen, mask, block=block), k, seen, mask)
