"""Item texts on a real warehouse: cleaned by the domain's rules, told in metadata, read by the snapshot."""

import dagster as dg
import duckdb
import pytest

from orchestration.config import Home
from orchestration.defs import texts as module
from orchestration.defs.texts import item_texts, write_documents
from orchestration.documents import catalogue_of, documents_of, documents_path
from orchestration.domain_config import TextRules
from orchestration.partitions import CONFIG
from orchestration.resources.warehouse import Warehouse

DOMAIN, OTHER = CONFIG.domain_names[:2]
SLOGAN = "Free shipping on all orders today!"
BLANKS = [None] * (len(CONFIG.domains[DOMAIN].items.columns.text) - 2)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    return Home()


def fill(home: Home, rows: list[tuple[str, list]], domain: str = DOMAIN) -> None:
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute(
            "create table if not exists marts.item_documents (domain text, item_id text, texts text[])"
        )
        for item, texts in rows:
            connection.execute("insert into marts.item_documents values ($1, $2, $3)", [domain, item, texts])


def materialise() -> dict:
    result = dg.materialize([item_texts], partition_key=DOMAIN, resources={"warehouse": Warehouse()})
    (event,) = result.asset_materializations_for_node("item_texts")
    return {name: value.value for name, value in event.metadata.items()}


def test_documents_are_clean_in_order_and_told(home) -> None:
    fill(home, [("b", []), ("a", ["<b>Pan</b> \U0001f525", "Heavy &amp; good", *BLANKS])])
    told = materialise()
    rows = documents_of(home, DOMAIN).to_pylist()
    assert [row["item_id"] for row in rows] == ["a", "b"]
    assert (rows[0]["title"], rows[0]["document"]) == ("Pan \U0001f525", "Pan \U0001f525\nHeavy & good")
    assert rows[1] == {"item_id": "b", "title": None, "document": None, "text_hash": None}
    assert (told["dagster/row_count"], told["with_text"], told["changed"], told["changed/markup"]) == (
        2,
        1,
        1,
        1,
    )
    assert "boilerplate" not in told


def test_boilerplate_is_left_out_and_shown(home) -> None:
    fill(home, [(f"i{n:02}", [f"Pan {n}", f"Iron {n}. {SLOGAN}", *BLANKS]) for n in range(30)])
    told = materialise()
    assert documents_of(home, DOMAIN)["document"].to_pylist()[3] == "Pan 3\nIron 3."
    assert told["changed/boilerplate"] == 30
    assert f"| {SLOGAN} | 30 |" in told["boilerplate"]


def test_a_domain_has_its_own_rules(home, monkeypatch) -> None:
    title, second = CONFIG.domains[DOMAIN].items.columns.text[:2]
    rules = TextRules(template=f"{{{second}}}: {{{title}}}", emoji="drop", boilerplate_share=None)
    domain = CONFIG.domains[DOMAIN].model_copy(update={"text": rules})
    config = CONFIG.model_copy(update={"domains": {**CONFIG.domains, DOMAIN: domain}})
    monkeypatch.setattr(module, "CONFIG", config)
    fill(home, [("a", ["Pan\U0001f525", "Iron", *BLANKS])])
    materialise()
    assert documents_of(home, DOMAIN)["document"].to_pylist() == ["Iron: Pan"]


def test_a_catalogue_of_several_batches_and_a_sample_is_whole(home, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH_ITEMS", 7)
    monkeypatch.setattr(module, "SAMPLE_ITEMS", 25)
    fill(home, [(f"i{n:02}", [f"Pan {n}", SLOGAN, *BLANKS]) for n in range(40)])
    with Warehouse().read() as connection:
        tally = write_documents(connection, CONFIG, home, DOMAIN)
    assert tally.boilerplate == {SLOGAN: 40}
    assert documents_of(home, DOMAIN)["title"].to_pylist() == [f"Pan {n}" for n in range(40)]


def test_texts_loaded_with_other_columns_say_what_to_do_and_leave_the_old_file(home) -> None:
    fill(home, [("a", ["Pan", "Iron", *BLANKS])])
    materialise()
    before = documents_path(home, DOMAIN).read_bytes()
    fill(home, [("b", ["Pan"])])
    with Warehouse().read() as connection, pytest.raises(dg.Failure, match="materialise raw/items"):
        write_documents(connection, CONFIG, home, DOMAIN)
    assert documents_path(home, DOMAIN).read_bytes() == before


def test_the_catalogue_of_a_snapshot_is_what_the_encoder_reads(home) -> None:
    with pytest.raises(FileNotFoundError, match=f"materialise item_texts of {DOMAIN}"):
        catalogue_of(home, [DOMAIN])
    fill(home, [("a", ["<i>Pan</i>", None, *BLANKS])])
    materialise()
    document = documents_of(home, DOMAIN).to_pylist()[0]
    assert catalogue_of(home, [DOMAIN]).to_pylist() == [
        {"domain": DOMAIN, "item_id": "a", "title": "Pan", "text_hash": document["text_hash"]}
    ]
