"""domain_factors where memory is short: the factors of memory, and a scratch folder that never stays."""

import datetime as dt
import os
import signal
import subprocess
import sys

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file

from ml.snapshot_files import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, write_snapshot
from orchestration.config import Home, as_of_time
from orchestration.defs import factorize as module
from orchestration.defs.factorize import domain_factors
from orchestration.defs.snapshot import point_to
from orchestration.factors import solve as factorising
from orchestration.factors.files import factors_path
from orchestration.factors.memory import usable_memory
from orchestration.factors.scratch import scratch_folder
from orchestration.factors.solve import Size, memory_limit
from orchestration.factors_config import Factors
from orchestration.partitions import AS_OF, CONFIG

TODAY = AS_OF.get_partition_keys()[0]
FULL = CONFIG.domain_names[0]
TINY = 1e-9  # GiB


@pytest.fixture
def home(tmp_path, monkeypatch):
    """60 users in four groups, each with its own items of 40 and some noise; "silent" has no interaction."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    monkeypatch.setattr(factorising, "LEAST_PIECE", 100)  # several pieces
    random, day = np.random.default_rng(0), dt.date.fromisoformat(TODAY)
    midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
    # Groups of unlike strength: equal singular values would leave their vectors open.
    chance = np.array([0.9, 0.7, 0.5, 0.3])
    alike = np.arange(60)[:, None] % 4 == np.arange(40)[None] % 4
    held = random.random((60, 40)) < np.where(alike, chance[np.arange(60) % 4][:, None], 0.04)
    rows = [
        (FULL, f"u{u:02}", f"i{i:02}", midnight - dt.timedelta(days=int(1 + u % 9)), 1.0 + i % 3)
        for u, i in np.argwhere(held)
    ]
    rows += [("other", f"v{u:02}", "x", midnight - dt.timedelta(days=1), 1.0) for u in range(9)]
    items = [(FULL, f"i{i:02}", f"title {i}", "hash") for i in range(40)]
    items += [("other", "x", None, None), ("silent", "x", None, None)]
    tables = (
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in table], schema)
        for schema, table in ((INTERACTIONS_SCHEMA, rows), (ITEMS_SCHEMA, items))
    )
    point_to(TODAY, write_snapshot(Home().snapshots, *tables, as_of_time(day)))
    return Home()


@pytest.fixture
def settings(monkeypatch):
    def use(**keys):
        monkeypatch.setattr(module, "CONFIG", CONFIG.model_copy(update={"factors": Factors(**keys)}))

    return use


def materialise(domain=FULL):
    with dg.build_asset_context(
        partition_key=dg.MultiPartitionKey({"as_of": TODAY, "domain": domain})
    ) as context:
        metadata = domain_factors(context).metadata
    return metadata, load_file(factors_path(Home().factors, TODAY, domain))


def leftovers(home):
    return [path.name for path in (home.root / "scratch").iterdir() if path.is_dir()]


@pytest.mark.parametrize("normalise", ["none", "degree", "tf_idf", "bm25"])
def test_from_disk_the_factors_are_those_of_memory(home, settings, normalise):
    keys = {"rank": 4, "normalise": normalise, "half_life_days": 5, "weight_power": 0.5}
    settings(**keys)
    shown, whole = materialise()
    assert shown["out_of_core"] is False
    settings(**keys, memory_gb=TINY)
    shown_too, streamed = materialise()
    assert shown_too["out_of_core"] is True
    assert shown_too["origin"] == "solved"
    assert shown_too["interactions"] == shown["interactions"]
    assert shown_too["estimated_memory_gb"] == shown["estimated_memory_gb"] > TINY
    assert shown_too["explained_energy"] == pytest.approx(shown["explained_energy"], rel=1e-3)
    assert {name: part.shape for name, part in streamed.items()} == {
        name: part.shape for name, part in whole.items()
    }
    np.testing.assert_allclose(streamed["svd_s"], whole["svd_s"], rtol=1e-3)
    for side in ("svd_u", "svd_v"):
        np.testing.assert_allclose(streamed[side], whole[side], atol=0.02)
    for side in ("als_users", "als_items"):
        np.testing.assert_allclose(streamed[side], whole[side], atol=1e-4)
    assert leftovers(home) == []


def test_a_domain_without_interactions_has_zero_factors_from_disk_too(home, settings):
    settings(rank=4, memory_gb=TINY)
    shown, factors = materialise("silent")
    assert shown["out_of_core"] is True
    assert factors["svd_s"].tolist() == [0]
    assert not factors["als_users"].any()
    with pytest.raises(dg.Failure, match="no items of nowhere"):
        materialise("nowhere")


def test_two_runs_from_disk_write_the_same_bytes(home, settings):
    settings(rank=4, memory_gb=TINY)
    path = factors_path(home.factors, TODAY, FULL)
    materialise()
    first = path.read_bytes()
    materialise()
    assert path.read_bytes() == first


def test_a_failure_leaves_neither_scratch_nor_factors(home, settings, monkeypatch):
    settings(rank=4, memory_gb=TINY)
    from ml.factorize import shards

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "transpose_shards", full)
    with pytest.raises(OSError, match="No space left"):
        materialise()
    assert leftovers(home) == []
    assert not factors_path(home.factors, TODAY, FULL).exists()


KILLED = """
import os, signal, sys
import dagster as dg
from ml.factorize import shards
from orchestration.defs import factorize
from orchestration.factors_config import Factors
from orchestration.partitions import CONFIG

factorize.CONFIG = CONFIG.model_copy(update={"factors": Factors(rank=4, memory_gb=1e-9)})
shards.transpose_shards = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
key = dg.MultiPartitionKey({"as_of": sys.argv[1], "domain": sys.argv[2]})
with dg.build_asset_context(partition_key=key) as context:
    factorize.domain_factors(context)
"""


@pytest.mark.slow
def test_what_a_killed_run_leaves_the_next_one_removes(home, settings):
    killed = subprocess.run([sys.executable, "-c", KILLED, TODAY, FULL], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = leftovers(home)
    assert (home.root / "scratch" / left / "weighted.parquet").exists()
    assert not home.factors.exists()
    settings(rank=4, memory_gb=TINY)
    with scratch_folder(home, "other") as busy:  # sweeps, and is itself in use by the run that follows
        assert leftovers(home) == [busy.name]
        materialise()
        assert leftovers(home) == [busy.name]
    assert leftovers(home) == []


def test_the_estimate_counts_every_part_once():
    empty = Size(rows=0, entries=0, users=0, items=0, rank=64)
    assert empty.needed == 0
    assert Size(rows=10, entries=4, users=0, items=0, rank=64).needed == 10 * 150 + 4 * 48
    # rank 2: 8 numbers an item and 2 a user for the SVD, 4 of both for ALS
    assert Size(rows=0, entries=0, users=100, items=10, rank=2).needed == 4 * (8 * 10 + 2 * 100 + 4 * 110)


def test_the_limit_is_as_configured_or_half_of_what_there_is():
    assert memory_limit(Factors(memory_gb=1.5)) == 3 << 29
    assert memory_limit(Factors()) == usable_memory() // 2
    with pytest.raises(ValueError, match="greater than 0"):
        Factors(memory_gb=0)


def test_the_least_limit_of_the_control_groups_counts(tmp_path):
    groups, own = tmp_path / "cgroup", tmp_path / "self"
    machine = usable_memory(groups, own)
    assert machine == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (groups / "slice" / "job").mkdir(parents=True)
    own.write_text("1:cpu:/old\n0::/slice/job\n")
    (groups / "slice" / "job" / "memory.max").write_text("max\n")
    assert usable_memory(groups, own) == machine
    (groups / "slice" / "memory.max").write_text("4096000\n")
    assert usable_memory(groups, own) == 4096000
    (groups / "memory").mkdir()
    (groups / "memory" / "memory.limit_in_bytes").write_text("2048000\n")
    assert usable_memory(groups, own) == 2048000
