"""Exact top-k against a full sort in numpy, and cases worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import sparse

from ml.retrieval.exact import top_k, top_k_scores


def brute_force(scores, k, exclude=None, allowed=None):
    """Sort every row whole by (-score, position)."""
    scores = np.array(scores, dtype=np.float32)
    if exclude is not None:
        scores[exclude.toarray() != 0] = -np.inf
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    positions = np.full((len(scores), k), -1)
    values = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for row, line in enumerate(scores):
        order = np.lexsort((np.arange(len(line)), -line))
        order = order[np.isfinite(line[order])][:k]
        positions[row, : len(order)], values[row, : len(order)] = order, line[order]
    return positions, values


@st.composite
def requests(draw):
    """Scores from few distinct values, so that most draws hold ties at the k-th place."""
    q, n = draw(st.integers(0, 6)), draw(st.integers(0, 12))
    values = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 3.0, 1e-40])
    scores = draw(npst.arrays(np.float32, (q, n), elements=values))
    mask = st.none() | npst.arrays(bool, (q, n))
    seen = draw(mask)
    exclude = None if seen is None else sparse.csr_matrix(seen)
    return (
        scores,
        draw(st.integers(1, 15)),
        exclude,
        draw(st.none() | npst.arrays(bool, n)),
        draw(st.tuples(st.integers(1, 7), st.integers(1, 70))),
    )


@settings(max_examples=200, deadline=None)
@given(requests())
def test_equals_a_full_sort_whatever_the_block(request):
    scores, k, exclude, allowed, block = request
    before = scores.copy()
    positions, values = top_k_scores(scores, k, exclude, allowed, block=block)
    expected, expected_values = brute_force(scores, k, exclude, allowed)
    assert np.array_equal(positions, expected)
    assert np.array_equal(values, expected_values)
    assert positions.dtype == np.int64
    assert values.dtype == np.float32
    assert np.array_equal(scores, before)


@settings(max_examples=100, deadline=None)
@given(
    queries=npst.arrays(np.int8, (4, 3), elements=st.integers(-3, 3)),
    items=npst.arrays(np.int8, (9, 3), elements=st.integers(-3, 3)),
    k=st.integers(1, 10),
)
def test_vectors_are_ranked_by_inner_product(queries, items, k):
    # Small whole numbers: their products are exact in float32 in any order, and tie often.
    positions, values = top_k(queries, items, k)
    expected, expected_values = brute_force(queries.astype(int) @ items.T.astype(int), k)
    assert np.array_equal(positions, expected)
    assert np.array_equal(values, expected_values)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 700)),
    distinct=st.sampled_from([1, 2, 5, 1000]),
    order=st.sampled_from(["random", "rising", "falling"]),
    k=st.sampled_from([1, 3, 10, 50]),
    hidden=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    block=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 300)),
)
def test_many_runs_equal_a_full_sort(seed, shape, distinct, order, k, hidden, block):
    # Rising scores are the worst case: every block beats all before it, and no run can be passed over.
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, distinct, shape).astype(np.float32)
    if order != "random":
        scores = np.sort(scores, axis=1)[:, :: 1 if order == "rising" else -1].copy()
    scores[rng.random(shape) < 0.05] = -np.inf
    exclude = sparse.csr_matrix(rng.random(shape) < hidden)
    allowed = rng.random(shape[1]) >= hidden
    for filters in ((), (exclude,), (None, allowed), (exclude, allowed)):
        expected = brute_force(scores, k, *filters)
        for found, wanted in zip(top_k_scores(scores, k, *filters, block=block), expected, strict=True):
            assert np.array_equal(found, wanted)


def test_worked_by_hand():
    scores = np.array([[0.1, 0.9, 0.9, 0.4], [0.5, 0.2, 0.3, 0.1]])
    exclude = sparse.csr_matrix(np.array([[0, 1, 0, 0], [1, 1, 1, 0]]))
    positions, values = top_k_scores(scores, 2, exclude)
    assert positions.tolist() == [[2, 3], [3, -1]]
    assert values == pytest.approx(np.array([[0.9, 0.4], [0.1, -np.inf]]))


def test_a_stored_zero_excludes_nothing():
    exclude = sparse.csr_matrix((np.array([0.0, 1.0]), ([0, 0], [0, 1])), shape=(1, 3))
    assert top_k_scores(np.ones((1, 3)), 3, exclude)[0].tolist() == [[0, 2, -1]]


def test_nothing_allowed_leaves_empty_lists():
    positions, values = top_k_scores(np.ones((2, 3)), 2, allowed=np.zeros(3, dtype=bool))
    assert (positions == -1).all()
    assert np.isneginf(values).all()


def test_a_tensor_is_ranked_and_left_alone():
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    assert top_k_scores(scores, 1, sparse.csr_matrix([[0, 0, 1]]))[0].tolist() == [[1]]
    assert scores.tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cpu_and_gpu_agree():
    scores = np.random.default_rng(0).integers(0, 50, (64, 5000)).astype(np.float32)
    for on_cpu, on_gpu in zip(*(top_k_scores(scores, 20, device=d) for d in ("cpu", "cuda")), strict=True):
        assert np.array_equal(on_cpu, on_gpu)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "expected at least 1"),
        ({"k": 1, "exclude": sparse.csr_matrix((2, 4))}, "exclude"),
        ({"k": 1, "allowed": np.ones(4, dtype=bool)}, "allowed"),
        ({"k": 1, "allowed": np.array([0, 1, 2])}, "expected one bool per item"),
    ],
)
def test_requests_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        top_k_scores(np.ones((2, 3)), **arguments)


@pytest.mark.parametrize("place", [0, 40, 199])
def test_nan_scores_are_refused(place):
    scores = np.arange(200.0)[None, ::-1].copy()
    scores[0, place] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        top_k_scores(scores, 1, block=(1, 64))


def test_vectors_that_cannot_be_ordered_by_size_alone():
    # Infinite scores, negative zeros and denormal numbers keep their order and their ties.
    scores = np.float32([[0.0, -0.0, np.inf, 1e-40, -np.inf, np.inf, -1e-40]])
    assert top_k_scores(scores, 7)[0].tolist() == [[2, 5, 3, 0, 1, 6, -1]]


def test_items_on_a_device_answer_as_an_array():
    rng = np.random.default_rng(0)
    queries, items = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(300, 8)).astype(np.float32)
    for a, b in zip(top_k(queries, items, 4), top_k(queries, torch.as_tensor(items), 4), strict=True):
        assert np.array_equal(a, b)


def test_vectors_of_another_width_are_refused():
    with pytest.raises(ValueError, match="expected"):
        top_k(np.ones((1, 2)), np.ones((4, 3)), 1)
