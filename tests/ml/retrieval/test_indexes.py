"""One contract for exact, flat, IVF-PQ and HNSW; the exact search is the oracle."""

import json
import sys

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.retrieval import IndexFileError, build_index, load_index, recall_against_exact
from ml.retrieval.exact import top_k
from ml.retrieval.index import MANIFEST_FILE, ExactIndex

N, D, Q, K = 600, 16, 40, 10
DIGEST = "model-1"


@pytest.fixture(params=["exact", "flat", "ivf_pq", "hnsw"])
def kind(request) -> str:
    if request.param != "exact":
        pytest.importorskip("faiss")
    return request.param


@pytest.fixture(scope="module")
def vectors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    items, queries = (rng.normal(size=(n, D)).astype(np.float32) for n in (N, Q))
    return items / np.linalg.norm(items, axis=1, keepdims=True), queries


@pytest.fixture
def ids() -> np.ndarray:
    return np.array([f"item-{n}" for n in range(N)])


@pytest.fixture
def index(kind, vectors, ids):
    return build_index(vectors[0], ids, DIGEST, kind)


def random_exclusion(share: float) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.random.default_rng(1).random((Q, N)) < share)


def assert_close_to_exact(index, vectors, **filters):
    """Same scores as the oracle (positions may differ where scores tie to the last bit), whole lists."""
    items, queries = vectors
    positions, scores = index.search(queries, K, **filters)
    expected, expected_scores = top_k(queries, items, K, **filters)
    assert np.array_equal(positions >= 0, expected >= 0)
    if index.kind == "hnsw":
        assert np.mean(positions == expected) > 0.95
    else:
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    return positions, scores


def test_finds_what_the_exact_search_finds(index, vectors):
    positions, scores = assert_close_to_exact(index, vectors)
    assert positions.dtype == np.int64
    assert scores.dtype == np.float32
    assert (np.diff(scores, axis=1) <= 0).all()
    assert recall_against_exact(index, vectors[0], vectors[1], K) > 0.95


# 0.995 leaves about three items: fewer than k, which must all be found.
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98, 0.995])
def test_seen_items_never_return_and_never_shorten_a_list(index, vectors, share):
    exclude = random_exclusion(share)
    positions, _ = assert_close_to_exact(index, vectors, exclude=exclude)
    rows = np.broadcast_to(np.arange(Q)[:, None], positions.shape)
    taken = positions >= 0
    assert not np.asarray(exclude[rows[taken], positions[taken]]).any()


def test_one_user_who_saw_everything_gets_an_empty_list(index, vectors):
    seen = np.zeros((Q, N), dtype=bool)
    seen[3] = True
    positions, scores = assert_close_to_exact(index, vectors, exclude=sparse.csr_matrix(seen))
    assert (positions[3] == -1).all()
    assert np.isneginf(scores[3]).all()
    assert (np.delete(positions, 3, axis=0) >= 0).all()


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_a_user_who_saw_more_than_is_fetched_still_gets_a_whole_list(monkeypatch, vectors, ids, kind):
    faiss_index = pytest.importorskip("ml.retrieval.faiss_index")
    monkeypatch.setattr(faiss_index, "MAX_FETCH", 2 * K)
    index = build_index(vectors[0], ids, DIGEST, kind)
    best = np.argsort(-(vectors[1] @ vectors[0].T), axis=1)[:, : 5 * K]
    seen = np.zeros((Q, N), dtype=bool)
    np.put_along_axis(seen[: Q // 2], best[: Q // 2], True, axis=1)
    positions, _ = assert_close_to_exact(index, vectors, exclude=sparse.csr_matrix(seen))
    assert (positions >= 0).all()


@pytest.mark.parametrize("share", [0.005, 0.3])
def test_only_allowed_items_return(index, vectors, share):
    allowed = np.random.default_rng(2).random(N) < share
    positions, _ = assert_close_to_exact(index, vectors, allowed=allowed, exclude=random_exclusion(0.3))
    assert allowed[positions[positions >= 0]].all()


def test_more_than_there_is(kind, vectors):
    small = build_index(vectors[0][:4], np.array(list("abcd")), DIGEST, kind)
    positions, scores = small.search(vectors[1], 6)
    assert np.array_equal(np.sort(positions[:, :4]), np.tile(np.arange(4), (Q, 1)))
    assert (positions[:, 4:] == -1).all()
    assert np.isneginf(scores[:, 4:]).all()


def test_empty_inputs(kind, index):
    assert index.search(np.zeros((0, D), np.float32), K)[0].shape == (0, K)
    empty = build_index(np.zeros((0, D), np.float32), np.array([], dtype=str), DIGEST, kind)
    assert (empty.search(np.ones((2, D), np.float32), 3)[0] == -1).all()


def test_equal_items_come_in_order_of_position(kind):
    items = np.tile(np.float32([1, 0]), (5, 1))
    index = build_index(items, np.array(list("abcde")), DIGEST, kind)
    assert index.search(np.float32([[2, 0]]), 5)[0].tolist() == [[0, 1, 2, 3, 4]]


def test_two_builds_answer_alike(index, kind, vectors, ids):
    other = build_index(vectors[0], ids, DIGEST, kind)
    for a, b in zip(index.search(vectors[1], K), other.search(vectors[1], K), strict=True):
        assert np.array_equal(a, b)


def test_saved_and_loaded_answers_alike(index, vectors, tmp_path):
    index.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index", DIGEST)
    assert loaded.item_ids.tolist() == index.item_ids.tolist()
    assert (loaded.digest, loaded.dimension) == (DIGEST, D)
    exclude = random_exclusion(0.5)
    for a, b in zip(index.search(vectors[1], K, exclude), loaded.search(vectors[1], K, exclude), strict=True):
        assert np.array_equal(a, b)


def test_the_index_of_another_model_is_refused(index, tmp_path):
    index.save(tmp_path)
    with pytest.raises(
        IndexFileError, match=r"model digest is 'model-1', expected 'model-2'.*build the index again"
    ):
        load_index(tmp_path, "model-2")


@pytest.mark.parametrize("part", ["index", "ids"])
def test_a_torn_file_is_refused(index, tmp_path, part):
    index.save(tmp_path)
    path = tmp_path / (index.file_name if part == "index" else "item_ids.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IndexFileError, match="damaged"):
        load_index(tmp_path, DIGEST)
    path.unlink()
    with pytest.raises(IndexFileError, match="missing"):
        load_index(tmp_path, DIGEST)


@pytest.mark.parametrize(("name", "value"), [("dimension", D + 1), ("items", N + 1), ("metric", "l2")])
def test_a_manifest_that_disagrees_is_refused(index, tmp_path, name, value):
    index.save(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST_FILE).read_text())
    (tmp_path / MANIFEST_FILE).write_text(json.dumps({**manifest, name: value}))
    with pytest.raises(IndexFileError, match="build the index again"):
        load_index(tmp_path, DIGEST)


@pytest.mark.parametrize(("text", "message"), [("[]", "of another form"), ('{"kind": "exact"}', "without")])
def test_a_manifest_that_says_too_little_is_refused(index, tmp_path, text, message):
    index.save(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text(text)
    with pytest.raises(IndexFileError, match=rf"{message}.*build the index again"):
        load_index(tmp_path, DIGEST)


def test_vectors_of_another_index_are_refused(vectors, ids, tmp_path):
    pytest.importorskip("faiss")
    build_index(vectors[0], ids, DIGEST, "ivf_pq").save(tmp_path)
    np.save(tmp_path / "items.npy", vectors[0][::-1])
    with pytest.raises(IndexFileError, match=r"items\.npy is missing or damaged"):
        load_index(tmp_path, DIGEST)


def test_the_manifest_says_how_it_was_built(index, kind, tmp_path):
    index.save(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST_FILE).read_text())
    assert manifest["kind"] == index.kind == kind
    assert manifest["parameters"] == index.parameters == load_index(tmp_path, DIGEST).parameters
    assert bool(manifest["parameters"]) == (kind in ("ivf_pq", "hnsw"))


def test_codes_are_ordered_by_exact_products(vectors, ids):
    pytest.importorskip("faiss")
    items, queries = vectors
    positions, scores = build_index(items, ids, DIGEST, "ivf_pq").search(queries, K)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", queries, items[positions]), atol=1e-5)


def test_too_few_items_to_train_on_are_searched_flat(vectors):
    pytest.importorskip("faiss")
    assert build_index(vectors[0][:300], np.arange(300).astype(str), DIGEST, "ivf_pq").kind == "flat"


def test_auto_is_exact_until_the_catalogue_is_large(monkeypatch, vectors, ids):
    pytest.importorskip("faiss")
    monkeypatch.setattr("ml.retrieval.pick_device", lambda name: torch.device("cpu"))
    assert build_index(vectors[0], ids, DIGEST).kind == "exact"
    monkeypatch.setattr("ml.retrieval.EXACT_UP_TO", N - 1)
    assert build_index(vectors[0], ids, DIGEST).kind == "ivf_pq"


def test_a_kind_nobody_knows_is_refused(vectors, ids):
    with pytest.raises(ValueError, match="'lsh': expected auto, exact, flat, ivf_pq, hnsw or cagra"):
        build_index(vectors[0], ids, DIGEST, "lsh")


def test_cagra_without_a_gpu_says_what_to_use(vectors, ids):
    faiss = pytest.importorskip("faiss")
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this FAISS has GPUs")
    with pytest.raises(RuntimeError, match="use hnsw or ivf_pq"):
        build_index(vectors[0], ids, DIGEST, "cagra")


def test_an_unfinished_index_is_refused(index, tmp_path):
    index.save(tmp_path)
    (tmp_path / MANIFEST_FILE).unlink()
    with pytest.raises(IndexFileError, match="no finished index"):
        load_index(tmp_path, DIGEST)


def test_items_and_ids_must_pair(kind, vectors):
    with pytest.raises(ValueError, match="one row per id"):
        build_index(vectors[0], np.array(["a"]), DIGEST, kind)


def test_without_faiss_the_exact_index_takes_its_place(monkeypatch, vectors, ids, tmp_path, caplog):
    pytest.importorskip("faiss")
    build_index(vectors[0], ids, DIGEST, "flat").save(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "faiss", None)  # what a missing package looks like to `import faiss`
    assert isinstance(build_index(vectors[0], ids, DIGEST), ExactIndex)
    assert not caplog.records
    assert isinstance(build_index(vectors[0], ids, DIGEST, "hnsw"), ExactIndex)
    assert "FAISS is not installed" in caplog.text
    with pytest.raises(IndexFileError, match="pip install faiss-cpu"):
        load_index(tmp_path, DIGEST)
