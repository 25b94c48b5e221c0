"""The store: what was added comes back, whatever the order, the writers and the damage."""

import errno
import hashlib
import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.text.encoding import store as store_module
from ml.text.encoding.store import Contents, EmbeddingStore

DIMENSION = 3


def hash_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def vector_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)


def fill(store: EmbeddingStore, numbers) -> None:
    store.add([hash_of(n) for n in numbers], np.array([vector_of(n) for n in numbers]).reshape(-1, DIMENSION))


def shards(store: EmbeddingStore) -> list[Path]:
    return sorted(store.folder.glob("*.parquet"))


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path, "key", DIMENSION)


numbers = st.lists(st.integers(0, 30), max_size=8, unique=True)


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(numbers, max_size=8), asked=st.lists(st.none() | st.integers(0, 40), max_size=30))
def test_agrees_with_a_dictionary(batches, asked):
    known = {n for batch in batches for n in batch}
    hashes = [None if n is None else hash_of(n) for n in asked]
    zero = np.zeros(DIMENSION, np.float32)
    expected = [vector_of(n) if n in known else zero for n in asked]
    with tempfile.TemporaryDirectory() as folder:
        writer = EmbeddingStore(Path(folder), "key", DIMENSION)
        for batch in batches:
            fill(writer, batch)
        for store in (writer, EmbeddingStore(Path(folder), "key", DIMENSION)):
            assert np.array_equal(store.matrix(hashes), np.array(expected).reshape(-1, DIMENSION))
            assert store.missing(hashes) == list(
                dict.fromkeys(hash_of(n) for n in asked if n is not None and n not in known)
            )
            assert len(store) == len(known)


def test_an_empty_store_misses_everything(store):
    assert store.missing([hash_of(1), None, hash_of(1)]) == [hash_of(1)]
    assert not store.matrix([hash_of(1), None]).any()
    assert store.matrix([]).shape == (0, DIMENSION)
    fill(store, [])
    assert not store.folder.exists()


def test_keys_do_not_share_vectors(tmp_path, store):
    fill(store, [1])
    assert EmbeddingStore(tmp_path, "other", DIMENSION).missing([hash_of(1)]) == [hash_of(1)]


@pytest.mark.parametrize("keep", [0, 4, 200, -1])
def test_a_torn_shard_is_set_aside_and_its_texts_are_missing(store, tmp_path, keep):
    fill(store, [1, 2])
    (torn,) = shards(store)
    fill(store, [3])
    torn.write_bytes(torn.read_bytes()[:keep])
    reader = EmbeddingStore(tmp_path, "key", DIMENSION)
    with pytest.warns(UserWarning, match="damaged"):
        assert reader.missing([hash_of(n) for n in (1, 2, 3)]) == [hash_of(1), hash_of(2)]
    assert torn.with_suffix(".damaged").exists()
    fill(reader, [1, 2])
    assert np.array_equal(reader.matrix([hash_of(2)])[0], vector_of(2))


def test_one_flipped_bit_is_found_by_a_reader_that_knew_the_shard(store):
    fill(store, [1])
    (shard,) = shards(store)
    content = bytearray(shard.read_bytes())
    at = content.find(vector_of(1).tobytes())
    assert at > 0
    content[at] ^= 1
    shard.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        assert not store.matrix([hash_of(1)]).any()
    assert store.missing([hash_of(1)]) == [hash_of(1)]


@pytest.mark.parametrize(
    ("hashes", "vectors", "message"),
    [
        (["a"], np.zeros((1, DIMENSION + 1)), "need vectors"),
        (["a", "b"], np.zeros((1, DIMENSION)), "need vectors"),
        ([None], np.zeros((1, DIMENSION)), "needs a text hash"),
        (["a"], np.full((1, DIMENSION), np.nan), "NaN"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(store, hashes, vectors, message):
    with pytest.raises(ValueError, match=message):
        store.add(hashes, vectors)
    assert store.missing(["a"]) == ["a"]


def test_a_shard_of_another_dimension_is_an_error_not_damage(store, tmp_path):
    fill(store, [1])
    with pytest.raises(ValueError, match="expected 4 floats"):
        EmbeddingStore(tmp_path, "key", 4).missing([hash_of(1)])
    assert len(shards(store)) == 1


def test_many_small_shards_are_merged_and_nothing_is_lost(store, tmp_path):
    reader = EmbeddingStore(tmp_path, "key", DIMENSION)
    everything = range(3 * store_module.MAX_SMALL_SHARDS)
    for n in everything:
        fill(store, [n])
        if n == store_module.MAX_SMALL_SHARDS - 1:
            assert not reader.missing([hash_of(m) for m in range(n)])  # it now knows shards that will go
    assert len(shards(store)) <= store_module.MAX_SMALL_SHARDS + 1
    expected = np.array([vector_of(n) for n in everything])
    for each in (store, reader):
        assert np.array_equal(each.matrix([hash_of(n) for n in everything]), expected)


def matrices(store: EmbeddingStore) -> list[Path]:
    return sorted((store.folder / "matrices").iterdir())


@settings(max_examples=30, deadline=None)
@given(known=numbers, asked=st.lists(st.none() | st.integers(0, 40), max_size=20), later=numbers)
def test_a_domains_file_holds_what_the_store_holds(known, asked, later):
    hashes = [None if n is None else hash_of(n) for n in asked]
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder), "key", DIMENSION)
        for added in (known, [], later):
            fill(store, added)
            mapped = store.domain_matrix("books", hashes)
            assert np.array_equal(mapped, store.matrix(hashes))
            assert len(matrices(store)) == 1


def test_a_file_of_zeros_is_not_taken_for_the_whole(store):
    hashes = [hash_of(1)]
    assert not store.domain_matrix("books", hashes).any()  # asked before anything is embedded
    fill(store, [1])
    assert np.array_equal(store.domain_matrix("books", hashes), store.matrix(hashes))


def test_a_domains_file_is_mapped_and_built_once(store, tmp_path):
    fill(store, [1, 2, 3])
    hashes = [hash_of(2), None, hash_of(1)]
    first = store.domain_matrix("books", hashes)
    (file,) = matrices(store)
    built = file.stat()
    fill(store, [4])  # of another domain: nothing that this file lacks
    again = EmbeddingStore(tmp_path, "key", DIMENSION).domain_matrix("books", hashes)
    assert isinstance(again, np.memmap)
    assert matrices(store) == [file]
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (built.st_ino, built.st_mtime_ns)
    again[0] = 0  # no reader can change what the others read
    assert np.array_equal(store.domain_matrix("books", hashes)[0], vector_of(2))
    other = store.domain_matrix("books", hashes[:1])
    assert matrices(store) != [file]
    assert (first.shape, other.shape) == ((3, DIMENSION), (1, DIMENSION))
    assert np.array_equal(first[0], vector_of(2))  # the old file is gone, the reader that had it keeps it


def test_a_file_that_lacked_vectors_is_built_again_when_they_come(store):
    fill(store, [1])
    hashes = [hash_of(1), hash_of(2)]
    assert not store.domain_matrix("books", hashes)[1].any()
    fill(store, [2])
    assert np.array_equal(store.domain_matrix("books", hashes)[1], vector_of(2))


def test_domains_have_files_of_their_own(store):
    fill(store, [1, 2])
    store.domain_matrix("books", [hash_of(1)])
    store.domain_matrix("books_used", [hash_of(2)])
    assert len(matrices(store)) == 2
    with pytest.raises(ValueError, match="matrix name"):
        store.domain_matrix("../books", [hash_of(1)])


@pytest.mark.parametrize("keep", [0, 10, 200, -1, None])
def test_a_torn_file_of_a_domain_is_built_again(store, keep):
    fill(store, [1, 2])
    hashes = [hash_of(n % 2 + 1) for n in range(40)]
    expected = store.matrix(hashes)
    store.domain_matrix("books", hashes)
    (file,) = matrices(store)
    content = bytearray(file.read_bytes())
    if keep is None:
        content[-5] ^= 1  # whole, but not what was written
    file.write_bytes(content[:keep])
    assert np.array_equal(store.domain_matrix("books", hashes), expected)
    assert file.stat().st_size == len(content)


def test_a_failed_build_leaves_nothing(store, monkeypatch):
    fill(store, [1])

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="no space"):
        store.domain_matrix("books", [hash_of(1)])
    assert matrices(store) == []


def test_pruning_drops_what_is_not_kept_and_nothing_else(store, tmp_path):
    for batch in ([1, 2], [3], [4, 5, 6]):
        fill(store, batch)
    reader = EmbeddingStore(tmp_path, "key", DIMENSION)
    assert len(reader) == 6
    kept = [hash_of(n) for n in (2, 4, 5, 6, 99)]
    before = store.contents()
    planned = store.prune(lambda: kept, dry_run=True)
    assert (planned.rows, len(store), store.contents()) == (2, 6, before)
    assert planned.size > 0
    assert store.prune(lambda: kept).rows == 2
    assert store.contents().rows == len(store) == 4
    for each in (store, reader):  # the reader knew shards that are gone
        assert each.missing([hash_of(n) for n in range(1, 7)]) == [hash_of(1), hash_of(3)]
        assert np.array_equal(each.matrix([hash_of(2), hash_of(4)]), [vector_of(2), vector_of(4)])
    assert store.prune(lambda: kept) == Contents(0, 0)


def test_a_text_embedded_while_pruning_stays(store, tmp_path):
    fill(store, [1, 2])

    def keep() -> list[str]:
        fill(EmbeddingStore(tmp_path, "key", DIMENSION), [3])
        return [hash_of(2)]

    store.prune(keep)
    assert store.missing([hash_of(n) for n in (1, 2, 3)]) == [hash_of(1)]


def test_pruning_removes_damaged_shards_and_what_killed_writers_left(store):
    fill(store, [1])
    damaged, old, new = (store.folder / name for name in ("a.damaged", ".1-a.tmp", ".2-b.tmp"))
    for path in (damaged, old, new):
        path.write_bytes(b"12345")
    os.utime(old, (0, 0))
    assert store.prune(lambda: [hash_of(1)]) == Contents(0, 10)
    assert [path.exists() for path in (damaged, old, new)] == [False, False, True]


def test_an_existing_store_knows_its_dimension(store, tmp_path):
    assert EmbeddingStore.existing(tmp_path, "key") is None
    fill(store, [1])
    found = EmbeddingStore.existing(tmp_path, "key")
    assert found is not None
    assert np.array_equal(found.matrix([hash_of(1)])[0], vector_of(1))


def write_shards(folder: Path, start: int) -> None:
    store = EmbeddingStore(folder, "key", DIMENSION)
    for n in range(start, start + 60):
        fill(store, [n, n + 1])  # overlaps with itself and, at the seam, with the other writer
    # All is on disk. At an ordinary exit Arrow's threads may still run while they are torn down,
    # which now and then aborts the process: no matter of the store's.
    os._exit(0)


@pytest.mark.slow
def test_two_processes_write_and_merge_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_shards, args=(tmp_path, start)) for start in (0, 50)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
        assert writer.exitcode == 0
    store = EmbeddingStore(tmp_path, "key", DIMENSION)
    expected = np.array([vector_of(n) for n in range(111)])
    assert np.array_equal(store.matrix([hash_of(n) for n in range(111)]), expected)
    assert not list(store.folder.glob(".*.tmp"))
