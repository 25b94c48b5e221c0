"""What lists are filtered by, from catalogue files to a snapshot and the command line that asks for it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click import ClickException
from log_world import World
from registry_case import ITEMS, recommender

from ml.retrieval.filters import Filter, FilterError, ItemAttributes
from ml.snapshot_files import ITEMS_FILE, read_catalogue
from orchestration.commands.recommend import chosen_items
from orchestration.config import ConfigError, Home, SnapshotRules
from orchestration.defs.item_attributes import availability_result
from orchestration.defs.recommend import unavailable_items, write_lists
from orchestration.defs.snapshot import draw, newest_snapshot_path, point_to
from orchestration.documents import COLUMNS, catalogue_of, documents_path
from orchestration.item_attributes import Stock, Unread, stock, with_attributes
from orchestration.landing.loading import load_items
from orchestration.resources.warehouse import Warehouse

BOOKS = """item_id,title,blurb,in_stock,shelf,sold_in
b1,The Lighthouse,A keeper and the sea,yes, sea ,eu;us
"b,2",Tides,,0,sea,
b3,,,perhaps,,
"""
COLUMNS_OF_BOOKS = {
    "item": "item_id",
    "text": ["title", "blurb"],
    "available": "in_stock",
    "category": "shelf",
}
DAY = date(2026, 1, 4)


def snapshot_catalogue(world: World, domain: str):
    """The domain's catalogue in a snapshot that is drawn now, and the snapshot's folder."""
    for name in world.config.domain_names:
        rows = world.rows(
            f"select item_id, title, document, text_hash from marts.item_documents where domain = '{name}'"
        )
        path = documents_path(Home(), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = pa.schema([(column, pa.string()) for column in COLUMNS])
        pq.write_table(pa.table(list(zip(*rows, strict=True)), schema=schema), path)
    with Warehouse().read() as connection:
        items = with_attributes(connection, world.config, catalogue_of(Home(), world.config.domain_names))
        folder = draw(connection, DAY, SnapshotRules(), items)
    return read_catalogue(folder, domain), folder


@pytest.mark.slow
def test_a_catalogue_tells_stock_shelf_and_region_and_the_snapshot_has_them(judged: World, dbt_run) -> None:
    plain, before = snapshot_catalogue(judged, "books")
    assert plain.attributes is None
    assert pq.read_schema(before / ITEMS_FILE).names == ["domain", "item_id", "title", "text_hash"]

    judged.document["domains"]["books"]["items"]["columns"] = {**COLUMNS_OF_BOOKS, "region": "sold_in"}
    judged.write("books_items.csv", BOOKS)
    judged.load()
    dbt_run()
    query = "select item_id, available, category, regions from marts.dim_items order by domain, item_id"
    assert judged.rows(query) == [
        ("b,2", False, "sea", None),
        ("b1", True, "sea", ["eu", "us"]),
        ("b3", None, None, None),
        ("f1", None, None, None),
    ]
    assert judged.rows("select count(*) from marts.quarantine where kind = 'items'") == [(0,)]
    found, after = snapshot_catalogue(judged, "books")
    assert after != before
    assert found.item_ids.tolist() == ["b,2", "b1", "b3"]
    assert Filter().mask(found.attributes).tolist() == [False, True, True]
    assert Filter(False, frozenset({"sea"})).mask(found.attributes).tolist() == [True, True, False]
    assert Filter(False, regions=frozenset({"us"})).mask(found.attributes).tolist() == [True, True, True]
    with pytest.raises(FilterError, match="asia"):
        Filter(regions=frozenset({"asia"})).mask(found.attributes)
    assert read_catalogue(after, "films").attributes is None
    with Warehouse().read() as connection:
        told, unread = stock(connection, judged.config)
    assert told == [Stock("books", 3, 2, 1)]
    assert unread == [Unread("books", "perhaps", 1)]


def test_every_format_and_an_expression_give_the_same_columns(world: World) -> None:
    world.document["domains"]["books"]["items"]["columns"] = {
        **COLUMNS_OF_BOOKS,
        "available": "in_stock <> 'perhaps'",
        "region": ["sold_in", "shelf"],
    }
    world.write("books_items.csv", BOOKS)
    items = world.document["domains"]["films"]["items"]
    items["columns"] |= {"available": "stock", "region": ["where"]}
    film = {"film": "f1", "title": "Harbour", "stock": True, "where": ["eu", "us"]}
    world.write("films_items.jsonl", json.dumps(film) + "\n" + '{"film": "f2", "title": "Quay"}\n')
    world.document["domains"]["songs"] = json.loads(json.dumps(world.document["domains"]["films"]))
    world.document["domains"]["songs"]["items"] |= {"path": "songs.parquet", "format": "parquet"}
    pq.write_table(pa.Table.from_pylist([film]), world.folder / "songs.parquet")
    with Warehouse().write() as connection:
        load_items(connection, world.config, world.config.domain_names)
    query = "select item_id, available, category, regions from raw.items order by domain, item_id"
    assert world.rows(query) == [
        ("b,2", "true", "sea", ["", "sea"]),
        ("b1", "true", " sea ", ["eu;us", " sea "]),
        ("b3", "false", "", ["", ""]),
        ("f1", "true", None, ['["eu","us"]']),
        ("f2", None, None, [None]),
        ("f1", "true", None, ["[eu, us]"]),
    ]


def test_a_warehouse_of_before_filters_gets_the_columns(world: World) -> None:
    world.load()
    with Warehouse().write() as connection:
        for column in ("available", "category", "regions"):
            connection.execute(f"alter table raw.items drop column {column}")
        load_items(connection, world.config, ["films"])
    query = "select domain, count(*), count(available), count(regions) from raw.items group by 1 order by 1"
    assert world.rows(query) == [("books", 3, 0, 0), ("films", 1, 0, 1)]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"available": ["in_stock"]}, "available: Input should be a valid string"),
        ({"regions": "sold_in"}, "regions: unknown key"),
        ({"region": 3}, "region: Input should be a valid list"),
    ],
)
def test_a_wrong_key_or_value_is_a_fault_of_the_configuration(world: World, columns: dict, says: str) -> None:
    world.document["domains"]["books"]["items"]["columns"] |= columns
    with pytest.raises(ConfigError, match=says):
        _ = world.config


def test_the_check_says_what_cannot_be_read_and_where_nothing_is_left(world: World) -> None:
    world.document["domains"]["books"]["items"]["columns"]["available"] = "in_stock"
    world.document["domains"]["films"]["items"]["columns"]["available"] = "stock"
    told = [Stock("books", 3, 2, 1), Stock("films", 2, 2, 2)]
    unread = [Unread("books", "perhaps", 7), Unread("books", "ask us", 2)]
    result = availability_result(told, unread, world.config)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "books: 9 catalogue lines say 'perhaps'" in result.description
    assert "films: none of 2 items is available" in result.description
    assert "domains.films.items.columns.available (stock)" in result.description
    assert "| books | ask us | 2 |" in result.metadata["unread"].value
    assert availability_result(told[:1], [], world.config).passed


def test_the_newest_snapshot_is_that_of_the_latest_as_of_that_is_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path))
    assert newest_snapshot_path(Home()) is None
    for day, name in (("2026-01-03", "c"), ("2026-01-02", "b"), ("2026-01-04", "gone")):
        point_to(day, Home().snapshots / name)
        (Home().snapshots / name).mkdir(exist_ok=name == "gone")
    (Home().snapshots / "gone").rmdir()
    assert newest_snapshot_path(Home()) == Home().snapshots / "c"


def shop(**columns: list):
    """A popularity model of 30 items whose catalogue says this of them."""
    return replace(recommender("shop", "popularity"), attributes=ItemAttributes.from_table(pa.table(columns)))


def test_the_command_line_says_how_many_items_are_left() -> None:
    half = shop(available=[item % 2 == 0 for item in range(ITEMS)], category=["tents"] * 10 + ["boots"] * 20)
    assert chosen_items(half, (), False) == (Filter(), "; 15 of 30 items pass the filter")
    assert chosen_items(half, (), True) == (Filter(available=False), "")
    chosen, left = chosen_items(half, ("category=tents, boots",), True)
    assert (chosen.categories, left) == ({"tents", "boots"}, "")
    assert chosen_items(half, ("category=tents",), False)[1] == "; 5 of 30 items pass the filter"
    assert chosen_items(recommender("shop", "popularity"), (), False) == (Filter(), "")


def test_the_file_of_the_lists_says_how_many_items_it_leaves_out(tmp_path) -> None:
    half = shop(available=[item % 2 == 0 for item in range(ITEMS)])
    path, users = tmp_path / "shop.parquet", half.user_ids[:3].tolist()
    write_lists(path, half, users, "shop", 1, DAY)
    assert unavailable_items(path) == ITEMS // 2
    shown = pq.read_table(path)["item_id"].to_pylist()
    assert shown
    assert not set(shown) & set(half.item_ids["shop"][1::2].tolist())
    write_lists(path, recommender("shop", "popularity"), users, "shop", 1, DAY)
    assert unavailable_items(path) == 0
    pq.write_table(pq.read_table(path).replace_schema_metadata({"as_of": "2026-01-04"}), path)
    assert unavailable_items(path) is None  # written before files said so


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["colour=red"], "category=VALUE"),
        (["category"], "category=VALUE"),
        (["category="], "names no value"),
        (["category=tent"], "did you mean tents"),
        (["category=cars"], "known: boots, tents"),
        (["region=eu"], "filters that work: category"),
        (["category=tents"], "passes the filter; ask for less, or add --include-unavailable"),
    ],
)
def test_what_cannot_be_asked_for_is_told_with_what_can(asked: list[str], says: str) -> None:
    no_tents = shop(available=[item >= 10 for item in range(ITEMS)], category=["tents"] * 10 + ["boots"] * 20)
    with pytest.raises(ClickException) as raised:
        chosen_items(no_tents, asked, False)
    assert says in raised.value.message
    assert "shop" in raised.value.message
