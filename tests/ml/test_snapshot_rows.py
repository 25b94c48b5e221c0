"""A domain's matrix streamed from a snapshot's file is the one that is read into memory."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import snapshot_files, snapshot_rows
from ml.snapshot_files import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, read_snapshot, write_snapshot
from ml.snapshot_rows import DomainRows, rows_of, user_ids

ITEMS = 30


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """Three domains in row groups of 16: users of one domain only, one that needs several groups, ids beyond
    ASCII.
    """
    monkeypatch.setattr(snapshot_files, "GROUP_ROWS", 16)
    monkeypatch.setattr(snapshot_rows, "GROUP_ROWS", 7)
    random = np.random.default_rng(0)
    held = random.random((3, 40, ITEMS)) < 0.1
    held[1, 5] = True
    held[0, 30:] = held[1, :3] = False
    rows = [
        (
            f"d{d}",
            f"{'ü' if u % 7 == 3 else 'u'}{u}",
            f"i{i:02}",
            int(random.integers(10**6)),
            1.0 + (u + i) % 3,
        )
        for d, u, i in np.argwhere(held)
    ]
    items = [(f"d{d}", f"i{i:02}", None, None) for d in range(4) for i in range(ITEMS)]
    tables = (
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in table], schema)
        for schema, table in ((INTERACTIONS_SCHEMA, rows), (ITEMS_SCHEMA, items))
    )
    path = write_snapshot(tmp_path, *tables, as_of=10**6)
    assert pq.ParquetFile(path / snapshot_files.INTERACTIONS_FILE).num_row_groups == -(-len(rows) // 16)
    return path


@pytest.mark.parametrize("domain", ["d0", "d1", "d2", "d3"])
@pytest.mark.parametrize("entries", [1, 20, 10**6])
def test_the_pieces_are_the_matrix(snapshot, domain, entries):
    whole = read_snapshot(snapshot)
    log = whole.interactions[domain]
    users = user_ids(snapshot)
    assert users.to_pylist() == whole.users.tolist()
    assert rows_of(snapshot, domain) == len(log)
    streamed = DomainRows(
        snapshot,
        domain,
        users,
        whole.catalogues[domain].item_ids,
        lambda times, weights: times + 1000 * weights,
        entries,
    )
    for _ in range(2):  # every pass reads the file again
        end, rows = 0, []
        for first, piece in streamed:
            assert first == end
            end += piece.shape[0]
            rows.append(piece.toarray())
        np.testing.assert_array_equal(
            np.concatenate(rows), log.matrix(log.times + 1000 * log.weights).toarray()
        )
    assert len(rows) == 1 or (entries < 10**6 and len(log))


def test_a_snapshot_without_interactions_is_a_matrix_without_rows(tmp_path):
    items = pa.Table.from_pylist([{"domain": "d", "item_id": "i"}], ITEMS_SCHEMA)
    path = write_snapshot(tmp_path, INTERACTIONS_SCHEMA.empty_table(), items, as_of=1)
    rows = DomainRows(path, "d", user_ids(path), np.array(["i"]), np.add)
    assert [(first, piece.shape) for first, piece in rows] == [(0, (0, 1))]


def test_an_item_that_the_catalogue_lacks_is_named(snapshot):
    catalogue = np.array([f"i{i:02}" for i in range(ITEMS - 1)])
    with pytest.raises(KeyError, match="item i29 of d1 is not in its catalogue"):
        list(DomainRows(snapshot, "d1", user_ids(snapshot), catalogue, np.add))
