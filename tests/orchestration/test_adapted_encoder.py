"""Fine-tuning as the asset does it: a home in, a decision, a version in MLflow and vectors out."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_bert import save_tiny_bert
from transfer_case import AS_OF, write_world

from orchestration.adapters import Adapters
from orchestration.config import Config, Home
from orchestration.defs.adapt import fine_tune
from orchestration.documents import documents_path
from orchestration.features import embedded_snapshot, encoder_in_use, text_encoder
from orchestration.language_config import Adaptation
from orchestration.partitions import CONFIG
from orchestration.resources.registry import CHAMPION, ENCODER_MODEL, Registry

WORDS = ["red", "green", "tea", "rice"]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory) -> str:
    names = [*WORDS, *CONFIG.domain_names, *(str(number) for number in range(60))]
    return save_tiny_bert(tmp_path_factory.mktemp("tiny_bert"), names, width=16, layers=1, heads=2)


@pytest.fixture
def config(tiny_model) -> Config:
    adaptation = Adaptation(rank=2, pairs=400, epochs=1, batch=32)
    encoder = CONFIG.encoder.model_copy(
        update={"model": tiny_model, "adaptation": adaptation, "precision": "fp32"}
    )
    # The world spans twenty days: a horizon of one leaves most of it to learn from.
    evaluation = CONFIG.evaluation.model_copy(update={"horizon": 1})
    return CONFIG.model_copy(update={"encoder": encoder, "evaluation": evaluation})


@pytest.fixture
def home(tmp_path, monkeypatch, config) -> Home:
    """The camps' world, with its texts as documents; vectors of the base for all of them."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    made = Home()
    write_world(made, users=150)
    from orchestration.defs.adapt import embed
    from orchestration.defs.snapshot import snapshot_of

    for domain, catalogue in snapshot_of(AS_OF).catalogues.items():
        hashes = catalogue.text_hashes.tolist()
        table = pa.table(
            {
                "item_id": catalogue.item_ids.tolist(),
                "title": pa.array(hashes, pa.string()),
                "document": pa.array(hashes, pa.string()),
                "text_hash": pa.array(hashes, pa.string()),
            }
        )
        documents_path(made, domain).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, documents_path(made, domain))
        embed(text_encoder(config), {h: h for h in hashes if h}, made, lambda line: None)
    return made


@pytest.mark.slow
def test_a_fine_tuning_is_decided_registered_and_used_only_if_it_passed(config, home):
    import mlflow

    from orchestration.resources.encoder_registry import register_encoder

    decision = fine_tune(config, home, date.fromisoformat(AS_OF), lambda line: None)
    folder = Adapters(config, home).folder(AS_OF)
    assert json.loads((folder / "decision.json").read_text())["encoder"] == decision["encoder"]
    adapted = text_encoder(config, folder / "adapter")
    assert adapted.key == decision["encoder"] != decision["base"]
    for passed in (False, True):
        (folder / "decision.json").write_text(json.dumps({**decision, "passed": passed}))
        used = encoder_in_use(config, home, AS_OF)
        assert used.key == (decision["encoder"] if passed else decision["base"])
        vectors = embedded_snapshot(AS_OF, config, home).catalogues[CONFIG.domain_names[0]].vectors
        texts = [f"{CONFIG.domain_names[0]} {item}" for item in range(3)]
        np.testing.assert_allclose(vectors[:3], used.encode(texts), atol=1e-5)

    first = register_encoder(home, config, AS_OF, "run")
    again = register_encoder(home, config, AS_OF, "another run")
    assert (first.version, first.tags["gate"], first.tags["as_of"]) == (again.version, "passed", AS_OF)
    registry = Registry(home)
    assert registry.targets() == []
    model = registry.client.get_registered_model(ENCODER_MODEL)
    assert {alias: str(number) for alias, number in model.aliases.items()} == {CHAMPION: str(first.version)}
    mlflow.set_tracking_uri(home.tracking_uri)
    import pandas as pd

    loaded = mlflow.pyfunc.load_model(f"models:/{ENCODER_MODEL}@{CHAMPION}")
    (vector,) = loaded.predict(pd.DataFrame({"text": ["red tea"]}))["vector"]
    np.testing.assert_allclose(vector, adapted.encode(["red tea"])[0], atol=1e-5)


def test_texts_that_are_gone_or_unread_are_not_learned_from(config, home):
    from orchestration.defs.adapt import readable
    from orchestration.defs.snapshot import snapshot_of

    domain, other = CONFIG.domain_names[:2]
    snapshot = snapshot_of(AS_OF)
    path = documents_path(home, domain)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    vectors = {d: np.ones((len(c), 2), np.float32) for d, c in snapshot.catalogues.items()}
    vectors[other][2] = 0
    found, texts = readable(snapshot.with_vectors(vectors), home)
    assert found.catalogues[domain].text_hashes[0] is None
    assert not found.catalogues[domain].vectors[0].any()
    assert found.catalogues[other].text_hashes[2] is None
    assert f"{domain} 0" not in texts
    assert f"{domain} 1" in texts
    assert list(texts) == sorted(texts)
