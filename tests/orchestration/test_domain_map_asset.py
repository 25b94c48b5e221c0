"""The map of domains as an asset: a real picture, distances that shrink, advice where nothing is."""

import base64
import io

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from orchestration.config import Home
from orchestration.defs.domain_map import domain_map
from orchestration.defs.embed import item_embeddings
from orchestration.defs.texts import item_texts
from orchestration.documents import documents_path
from orchestration.partitions import CONFIG
from orchestration.resources.warehouse import Warehouse

FAR, NEAR = CONFIG.domain_names[:2]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """Two of the configured domains embedded, their vectors 3 apart; one item without a text."""
    from ml.text.encoding.store import EmbeddingStore
    from orchestration.features import encoder_in_use

    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    encoder = encoder_in_use(CONFIG, Home())
    store = EmbeddingStore(Home().embeddings, encoder.key, encoder.dimension)
    for place, domain in enumerate((FAR, NEAR)):
        hashes = [f"{domain}-{item}" for item in range(40)]
        vectors = 0.1 * np.random.default_rng(place).standard_normal((40, encoder.dimension))
        vectors[:, 0] += 3 * place
        store.add(hashes, vectors.astype(np.float32))
        names = pa.array([*hashes, None], pa.string())
        ids = pa.array([f"i{item}" for item in range(41)])
        path = documents_path(Home(), domain)
        path.parent.mkdir(exist_ok=True)
        table = pa.table({"item_id": ids, "title": names, "document": names, "text_hash": names})
        pq.write_table(table, path)
    return Home()


def materialised() -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([domain_map], instance=instance, raise_on_error=False)


def test_the_map_shows_distances_before_and_after(home):
    (event,) = materialised().asset_materializations_for_node("domain_map")
    found = {name: value.value for name, value in event.metadata.items()}
    assert found["distance of means before"] == pytest.approx(3, abs=0.2)
    assert found["distance of means after"] == pytest.approx(0, abs=1e-6)
    assert found["CORAL distance after"] < found["CORAL distance before"]
    assert found["left out"] == ", ".join(CONFIG.domain_names[2:])
    (row,) = found["distances"].records
    assert row.data["domains"] == f"{FAR} – {NEAR}"
    assert found["map"].startswith("![domains by their texts](data:image/png;base64,")
    png = base64.b64decode(found["map"].split("base64,")[1].rstrip(")"))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)
    colours = {tuple(colour) for colour in pixels[::3].tolist()}
    assert {(0, 114, 178), (230, 159, 0)} <= colours  # the crosses of both domains


@pytest.mark.slow
def test_one_run_embeds_all_domains_and_draws_their_map(home):
    tags = {"dagster/asset_partition_range_start": FAR, "dagster/asset_partition_range_end": NEAR}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [item_texts, item_embeddings, domain_map], tags=tags, instance=instance,
            selection=[item_embeddings, domain_map], resources={"warehouse": Warehouse()},
        )  # fmt: skip
    (event,) = result.asset_materializations_for_node("domain_map")
    assert "map" in event.metadata


def test_a_world_without_text_has_no_map_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    (event,) = materialised().asset_materializations_for_node("domain_map")
    assert event.metadata["left out"].value == ", ".join(CONFIG.domain_names)
    assert "map" not in event.metadata
