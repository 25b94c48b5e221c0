"""The index asset on stored vectors: what lies on disk, and what the check says of a poor index."""

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.retrieval import load_index
from ml.text.encoding.store import EmbeddingStore
from orchestration.config import Config, Home
from orchestration.defs import item_index as defs
from orchestration.documents import documents_path
from orchestration.features import encoder_in_use
from orchestration.partitions import CONFIG
from orchestration.retrieval_config import Retrieval

DOMAIN = CONFIG.domain_names[0]
ITEMS = 2000


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """Vectors of many items around few centres; the last item has no text."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    home = Home()
    hashes = [f"{n:064x}" for n in range(ITEMS)]
    encoder = encoder_in_use(CONFIG, home)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(10, encoder.dimension))[rng.integers(10, size=ITEMS)]
    vectors = vectors + rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    EmbeddingStore(home.embeddings, encoder.key, encoder.dimension).add(hashes, vectors.astype(np.float32))
    path = documents_path(home, DOMAIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"item-{n:04}" for n in range(ITEMS + 1)]
    none = pa.nulls(len(ids), pa.string())
    table = pa.table(
        {"item_id": ids, "title": none, "document": none, "text_hash": pa.array([*hashes, None], pa.string())}
    )
    pq.write_table(table, path)
    return home


def searching_by(kind: str) -> Config:
    return CONFIG.model_copy(update={"retrieval": Retrieval(index=kind)})


def materialise() -> tuple[dict, dg.AssetCheckEvaluation]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([defs.item_index], partition_key=DOMAIN, instance=instance)
    (event,) = result.asset_materializations_for_node("item_index")
    (check,) = result.get_asset_check_evaluations()
    return {name: value.value for name, value in event.metadata.items()}, check


@pytest.mark.parametrize("kind", ["auto", "ivf_pq"])
def test_the_index_that_is_configured_lies_on_disk(home, monkeypatch, kind):
    if kind == "ivf_pq":
        pytest.importorskip("faiss")
    monkeypatch.setattr(defs, "CONFIG", searching_by(kind))
    metadata, check = materialise()
    index = load_index(home.root / "indexes" / DOMAIN, encoder_in_use(CONFIG, home).key)
    assert index.kind == metadata["index"] == ("exact" if kind == "auto" else "ivf_pq")
    assert metadata["parameters"] == index.parameters
    assert (metadata["items"], metadata["without_text"]) == (ITEMS, 1)
    assert len(index.item_ids) == ITEMS
    assert check.passed


def test_an_index_that_finds_too_little_is_told_what_to_do(home, monkeypatch):
    faiss_build = pytest.importorskip("ml.retrieval.faiss_build")
    pytest.importorskip("faiss")
    monkeypatch.setattr(faiss_build, "PROBED", 10**6)
    monkeypatch.setattr(faiss_build, "LEAST_PROBED", 1)
    monkeypatch.setattr(faiss_build, "LEAST_CANDIDATES", 10)
    monkeypatch.setattr(defs, "CONFIG", searching_by("ivf_pq"))
    _, check = materialise()
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "set retrieval.index to exact" in check.description
