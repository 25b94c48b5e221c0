"""The domain_factors asset on a real snapshot: what it writes, what it shows, what it says when there is
nothing.
"""

import base64
import datetime as dt
import json
import re

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file

from ml.data import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, write_snapshot
from orchestration.config import Home, as_of_time
from orchestration.defs.factorize import domain_factors
from orchestration.defs.snapshot import snapshot_pointer
from orchestration.partitions import AS_OF, CONFIG

AS_OF_KEY = AS_OF.get_first_partition_key()
FULL = CONFIG.domain_names[0]


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """Two tastes that share no item, in one domain; a second domain with an item and no interaction."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    day = dt.date.fromisoformat(AS_OF_KEY)
    before = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=1)
    rows = [
        (FULL, f"u{u}", f"i{i}", before, 1.0)
        for u in range(20)
        for i in range(12)
        if u % 2 == i % 2 and u != i
    ]
    items = [(FULL, f"i{i}", f"title|{i}", "hash") for i in range(12)] + [("silent", "x", None, None)]
    tables = [
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in table], schema)
        for schema, table in ((INTERACTIONS_SCHEMA, rows), (ITEMS_SCHEMA, items))
    ]
    path = write_snapshot(Home().snapshots, *tables, as_of_time(day))
    pointer = snapshot_pointer(AS_OF_KEY)
    pointer.parent.mkdir(parents=True)
    pointer.write_text(json.dumps({"snapshot": path.name}))


def materialise(domain):
    key = dg.MultiPartitionKey({"as_of": AS_OF_KEY, "domain": domain})
    with dg.build_asset_context(partition_key=key) as context:
        return domain_factors(context).metadata


def test_writes_factors_and_shows_the_spectrum(snapshot):
    metadata = materialise(FULL)
    factors = load_file(Home().factors / AS_OF_KEY / f"{FULL}.safetensors")
    assert factors["svd_u"].shape == factors["als_users"].shape == (20, 12)
    assert factors["svd_v"].shape == factors["als_items"].shape == (12, 12)
    # Two tastes that share nothing: degree normalisation gives each the singular value 1.
    np.testing.assert_allclose(factors["svd_s"][:2], 1, atol=1e-6)
    assert metadata["rank"] == 12
    assert metadata["explained_energy"] == pytest.approx(1)
    picture = re.search(r"base64,([\w+/=]+)\)", metadata["spectrum"].value)
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")
    assert "title/" in metadata["top_items"].value  # a bar in a title would break the table


def test_a_domain_without_interactions_has_zero_factors(snapshot):
    from ml.data import read_snapshot
    from orchestration.defs.factorize import factorise, top_items
    from orchestration.defs.snapshot import snapshot_path

    read = read_snapshot(snapshot_path(AS_OF_KEY))
    svd, als = factorise(read.interactions["silent"])
    assert svd.s.tolist() == [0]
    assert not als.items.any()
    assert "| x |" in top_items(svd.v, read.catalogues["silent"])


def test_a_domain_that_the_snapshot_lacks_is_named(snapshot):
    with pytest.raises(dg.Failure, match=f"no items of {CONFIG.domain_names[1]}"):
        materialise(CONFIG.domain_names[1])


def test_two_runs_write_the_same_bytes(snapshot):
    path = Home().factors / AS_OF_KEY / f"{FULL}.safetensors"
    materialise(FULL)
    first = path.read_bytes()
    materialise(FULL)
    assert path.read_bytes() == first
