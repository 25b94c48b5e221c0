"""Which attributes models may read: switches, what is sensitive, from users files to a snapshot."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from log_world import World

from ml.bridge import Blocks
from ml.user_attributes import USER_ATTRIBUTES_FILE
from orchestration.config import Config, ConfigError, SnapshotRules, parse_config
from orchestration.defs.snapshot import draw, manifest_of
from orchestration.landing.users import load_users
from orchestration.resources.warehouse import Warehouse
from orchestration.user_attributes import attributes_of_users, usable_attributes

COLUMNS = {"user": "id", "attributes": ["age_band", "region", "tariff"]}
TARIFF = {**COLUMNS, "sensitive": ["tariff"]}


def config(columns: dict | None = None, **blocks: object) -> Config:
    """Two domains, the users of `books` with these columns."""
    files = {"path": "events.csv", "format": "csv"}
    domain = {
        "events": {**files, "columns": {"user": "u", "item": "i", "time": "t"}},
        "items": {**files, "columns": {"item": "i"}},
    }
    users = {"users": {**files, "columns": COLUMNS if columns is None else columns}}
    document = {
        "calendar": {"start": "2026-01-01", "end": "2026-01-04"},
        "domains": {"books": {**domain, **users}, "films": domain},
        "blocks": blocks,
    }
    return parse_config(document, Path("landbridge.yaml"))


@pytest.mark.parametrize(
    ("columns", "blocks", "expected"),
    [
        (COLUMNS, {}, {"books": ["region", "tariff"]}),
        (COLUMNS, {"sensitive": ["age_band"]}, {"books": ["age_band", "region", "tariff"]}),
        (TARIFF, {}, {"books": ["region"]}),
        (TARIFF, {"sensitive": ["tariff"]}, {"books": ["region", "tariff"]}),
        (COLUMNS, {"user_attributes": False}, {}),
        ({"user": "id"}, {}, {}),
        ({"user": "id", "attributes": ["gender"]}, {}, {}),
    ],
)
def test_models_read_what_is_not_sensitive_or_was_named(columns, blocks, expected) -> None:
    assert usable_attributes(config(columns, **blocks)) == expected


@pytest.mark.parametrize(
    ("columns", "blocks", "fault"),
    [
        (
            COLUMNS,
            {"sensitive": ["gender"]},
            "blocks.sensitive names 'gender'; expected attributes that some",
        ),
        ({**COLUMNS, "sensitive": ["shoe"]}, {}, "sensitive names 'shoe'; expected names of attributes"),
        (COLUMNS, {"images": True}, "blocks.images: unknown key"),
        (COLUMNS, {"text": "maybe"}, "blocks.text: "),
        (COLUMNS, {"sensitive": "region"}, "blocks.sensitive: "),
    ],
)
def test_a_fault_is_one_line_that_says_what_was_expected(columns, blocks, fault) -> None:
    with pytest.raises(ConfigError) as caught:
        config(columns, **blocks)
    (line,) = caught.value.faults
    assert fault in line


def test_the_switches_are_those_of_training() -> None:
    assert Blocks(**config().blocks.switches) == Blocks()
    off = config(text=False, item_attributes=False, sensitive=["age_band"]).blocks.switches
    assert Blocks(**off) == Blocks(text=False, item_attributes=False, sensitive=("age_band",))


def test_nothing_but_what_models_may_read_leaves_the_warehouse() -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.user_attributes as select * from (values ('books', 'u1', 'region', 'north'), "
            "('books', 'u1', 'age_band', '65+'), ('films', 'u1', 'region', 'south')) "
            "as t(domain, user_id, attribute, value)"
        )
        found = attributes_of_users(connection, config())
        assert found.to_pylist() == [
            {"domain": "books", "user_id": "u1", "attribute": "region", "value": "north"}
        ]
        assert attributes_of_users(connection, config(user_attributes=False)) is None


@pytest.mark.slow
def test_a_users_file_reaches_the_snapshot_without_what_is_sensitive(judged: World, dbt_run) -> None:
    judged.write("people.csv", "id,region,gender\nu1,north,f\nu2, ,m\nnobody,south,f\n")
    users = {
        "path": "people.csv",
        "format": "csv",
        "columns": {"user": "id", "attributes": ["region", "gender"]},
    }
    judged.document["domains"]["books"]["users"] = users
    with Warehouse().write() as connection:
        load_users(connection, judged.config, ["books"])
    dbt_run()
    with Warehouse().read() as connection:
        items = connection.sql("select domain, item_id, title, text_hash from marts.item_documents")
        items, told = items.to_arrow_table(), attributes_of_users(connection, judged.config)
        path = draw(connection, date(2026, 1, 4), SnapshotRules(), items, told)
    assert pq.read_table(path / USER_ATTRIBUTES_FILE).to_pylist() == [
        {"domain": "books", "user_id": "u1", "attribute": "region", "value": "north"}
    ]
    assert manifest_of(path)["user_attributes"] == 1
