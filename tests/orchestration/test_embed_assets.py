"""The features group on a real warehouse file: texts out, vectors in, and a language it cannot read."""

import dagster as dg
import duckdb
import pytest

from orchestration.config import Home
from orchestration.defs.embed import CHECK, item_embeddings
from orchestration.defs.texts import item_texts
from orchestration.documents import documents_of
from orchestration.features import text_encoder
from orchestration.partitions import CONFIG, DOMAINS
from orchestration.resources.warehouse import Warehouse

ENGLISH, SILENT, CHINESE, EMPTY = CONFIG.domain_names[:4]
DOCUMENTS = [
    (ENGLISH, "a", "A cast iron pan"),
    (ENGLISH, "b", "A cast iron pan"),
    (ENGLISH, "c", "Green tea"),
    (ENGLISH, "d", None),
    (SILENT, "a", None),
    (CHINESE, "a", "铸铁煎锅二十八厘米"),
]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    with duckdb.connect(str(Home().warehouse)) as connection:
        connection.execute("create schema marts")
        connection.execute("create table marts.item_documents (domain text, item_id text, texts text[])")
        for domain, item, text in DOCUMENTS:
            blanks = [None] * (len(CONFIG.domains[domain].items.columns.text) - 1)
            texts = [text, *blanks] if text else []
            connection.execute("insert into marts.item_documents values ($1, $2, $3)", [domain, item, texts])
    return Home()


def materialise(*domains: str) -> dg.ExecuteInProcessResult:
    tags = {}
    if len(domains) > 1:
        tags = {
            "dagster/asset_partition_range_start": domains[0],
            "dagster/asset_partition_range_end": domains[-1],
        }
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [item_texts, item_embeddings],
            partition_key=domains[0] if len(domains) == 1 else None,
            tags=tags,
            resources={"warehouse": Warehouse()},
            instance=instance,
            raise_on_error=False,
        )


def metadata(result: dg.ExecuteInProcessResult, domain: str) -> dict:
    events = result.asset_materializations_for_node("item_embeddings")
    (event,) = [event for event in events if event.partition == domain]
    return {name: value.value for name, value in event.metadata.items()}


def test_texts_are_exported_with_their_hashes(home):
    assert materialise(ENGLISH).success
    table = documents_of(home, ENGLISH)
    assert table["item_id"].to_pylist() == ["a", "b", "c", "d"]
    assert table["document"].to_pylist()[3] is None
    assert table["text_hash"].to_pylist()[3] is None


def test_a_second_run_embeds_nothing(home):
    first, second = (metadata(materialise(ENGLISH), ENGLISH) for _ in range(2))
    assert (first["texts"], first["new"], first["reused"], first["without_text"]) == (3, 2, 1, 1)
    assert (second["texts"], second["new"], second["reused"], second["without_text"]) == (3, 0, 3, 1)
    assert first["encoder"] == text_encoder(CONFIG).key


def test_one_run_covers_all_domains_and_names_the_unread_language(home):
    result = materialise(*DOMAINS.get_partition_keys())
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (CHECK, False)
    assert check.description.startswith(CHINESE)
    assert "Set encoder.model" in check.description
    assert metadata(result, ENGLISH)["new"] == 2
    assert metadata(result, CHINESE)["unknown_share"] > 0.3
    for domain in (CHINESE, SILENT):
        assert metadata(result, domain)["texts"] == 0
        assert metadata(result, domain)["without_text"] == 1
    assert metadata(result, EMPTY)["without_text"] == 0


def test_embedding_stays_outside_the_warehouse_pool():
    assert item_texts.op.pool == "warehouse"
    assert item_embeddings.op.pool is None
