"""One file that feeds several domains: every line is stored once, whatever the filters say or cannot say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.config import Config, parse_config
from orchestration.landing.loading import Loaded, Span, load_events, load_items
from orchestration.landing.readers import UNDECIDED
from orchestration.landing.sources import check_sources, user_source
from orchestration.resources.warehouse import Warehouse

EVENTS = "user_id,item_id,time,country,n\n"


def shared_world(world, conditions: dict[str, str | None], form: str = "csv") -> None:
    """Every domain reads log.csv and shop.csv, each by its own condition."""
    entry = {"path": f"log.{form}", "format": form}
    columns = {"user": "user_id", "item": "item_id", "time": "time"}
    world.document["domains"] = {
        name: {
            "events": {**entry, "columns": columns, "where": condition},
            "items": {
                "path": "shop.csv", "format": "csv", "columns": {"item": "item_id", "text": ["title"]},
                "where": condition and condition.replace("n ", "m "),
            },
        }
        for name, condition in conditions.items()
    }  # fmt: skip
    world.write("shop.csv", "item_id,title,country,m\ni1,Tea,UK,1\ni2,Pot,FR,2\ni3,Cup,,x\n")


def stored(world) -> list[tuple]:
    return world.rows("select source_line, domain, error from raw.events order by 1, 2")


def test_lines_go_where_they_belong_and_others_are_counted(world) -> None:
    shared_world(world, {"uk": "country = 'UK'", "abroad": "country <> 'UK'"})
    world.write(
        "log.csv", EVENTS + "u1,i1,2026-01-01,UK,1\nu2,i1,2026-01-02,FR,1\nu3,i1,2026-01-03,FR,1\nu4\n"
    )
    world.load()
    assert stored(world) == [
        (2, "uk", None),
        (3, "abroad", None),
        (4, "abroad", None),
        (5, "abroad", "expected 5 fields, found 1"),  # alphabetically first
    ]
    assert world.rows("select domain, count(*) from raw.items group by 1 order by 1") == [
        ("abroad", 2),
        ("uk", 1),
    ]


def test_the_lines_of_other_domains_are_counted_in_the_span_read(world) -> None:
    shared_world(world, {"uk": "country = 'UK'", "abroad": "country <> 'UK'"})
    world.write("log.csv", EVENTS + "u1,i1,2026-01-01,UK,1\nu2,i1,2026-01-02,FR,1\nu3,i1,2026-01-03,FR,1\n")
    with Warehouse().write() as connection:
        found = load_events(connection, world.config, world.span("2026-01-02", "2026-01-04"))
        assert found == {"abroad": Loaded(2, 0, 1, 0), "uk": Loaded(0, 0, 1, 2)}
        assert load_items(connection, world.config, ["uk"]) == {"uk": Loaded(1, 0, 1, 2)}


def test_a_condition_that_cannot_be_decided_is_told_once(world) -> None:
    shared_world(world, {"large": "n > 5", "small": "n <= 5"})
    world.write(
        "log.csv", EVENTS + "u1,i1,2026-01-01,UK,9\nu1,i1,2026-01-01,UK,1\nu1,i1,2026-01-02,UK,many\n"
    )
    world.load()
    assert stored(world) == [(2, "large", None), (3, "small", None), (4, "large", UNDECIDED)]


def test_a_line_that_another_domain_can_decide_is_that_domain_s(world) -> None:
    shared_world(world, {"a": "n > 5", "b": "country = 'UK'"}, "jsonl")
    lines = [{"country": "UK"}, {"country": "FR"}, {"n": 6}, {"n": 1, "country": "FR"}, {"n": 1}]
    base = {"user_id": "u1", "item_id": "i1", "time": "2026-01-01"}
    world.write("log.jsonl", "".join(json.dumps({**base, **line}) + "\n" for line in lines))
    world.document["domains"]["a"]["items"]["where"] = "m = 1"
    world.load()
    assert stored(world) == [(1, "b", None), (2, "a", UNDECIDED), (3, "a", None), (5, "a", UNDECIDED)]


def test_a_fault_of_a_condition_is_told_once_with_its_key(world) -> None:
    shared_world(world, {"a": "n > 5", "b": "m > 5"})
    world.write("log.csv", EVENTS)
    world.document["domains"]["b"]["items"]["where"] = "m"
    faults = check_sources(world.config)
    assert len(faults) == 2
    assert "domains.b.events.where: " in faults[0]
    assert "has no column 'm'" in faults[0]
    assert "domains.b.items.where: " in faults[1]
    assert "expected a condition" in faults[1]


def test_user_files_have_conditions_and_expressions_too(world) -> None:
    users = {"path": "people.csv", "format": "csv", "where": "age > 17"}
    columns = {"user": "id", "attributes": ["age", "age // 10 * 10", "agee"]}
    world.document["domains"]["books"]["users"] = {**users, "columns": columns}
    world.write("people.csv", "id,age\nu1,33\n")
    (fault,) = check_sources(world.config)
    assert "domains.books.users.columns.attributes.2" in fault
    assert "did you mean 'age'?" in fault
    assert user_source(world.config, "films") is None


# Pairs of conditions that exclude each other and leave nothing out but what neither can decide.
CONDITIONS = [
    ("country = 'UK'", "country <> 'UK'"),
    ("n > 5", "n <= 5"),
    ("n > 5", "not (n > 5)"),
    ("n > 5 and country = 'UK'", "not (n > 5 and country = 'UK')"),
    ("country in ('UK', 'FR')", "coalesce(country, '') not in ('UK', 'FR')"),
    ("cast(n as int) in (1, 2, 3, 4, 5, 6, 7)", "cast(n as int) not in (1, 2, 3, 4, 5, 6, 7)"),
]
record = st.fixed_dictionaries(
    {},
    optional={
        "country": st.sampled_from(["UK", "FR", "", None]),
        "n": st.sampled_from([1, 6, "x", None, "8.5"]),
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    records=st.lists(record | st.just("nonsense"), min_size=1, max_size=8),
    conditions=st.sampled_from(CONDITIONS),
    names=st.permutations(["a", "b"]),
)
def test_no_line_is_lost_and_none_is_stored_twice(folder: Path, records, conditions, names) -> None:
    lines = [
        line
        if isinstance(line, str)
        else json.dumps({"user_id": "u", "item_id": "i", "time": "2026-01-01", **line})
        for line in records
    ]
    (folder / "log.jsonl").write_text("\n".join(lines))
    connection = loaded(folder, dict(zip(names, conditions, strict=True)))
    found = connection.execute(
        "select source_line, raw_line, domain, error from raw.events order by 1"
    ).fetchall()
    assert [row[:2] for row in found] == list(enumerate(lines, start=1))
    for _, line, domain, error in found:
        if error is not None:
            assert domain == "a"
            assert error == ("not JSON" if line == "nonsense" else UNDECIDED)


def loaded(folder: Path, conditions: dict[str, str]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'; create schema raw")
    config = configuration(folder, conditions)
    span = Span(
        tuple(config.domain_names), config.calendar.start, config.calendar.end or config.calendar.start
    )
    load_events(connection, config, span)
    return connection


def configuration(folder: Path, conditions: dict[str, str]) -> Config:
    columns = {"user": "user_id", "item": "item_id", "time": "time"}
    domain: dict[str, Any] = {
        "events": {"path": "log.jsonl", "format": "jsonl", "columns": columns},
        "items": {"path": "items.csv", "format": "csv", "columns": {"item": "id"}},
    }
    domains = {name: copy.deepcopy(domain) for name in conditions}
    for name, condition in conditions.items():
        domains[name]["events"]["where"] = condition
    calendar = {"grain": "day", "start": "2026-01-01", "end": "2026-01-04"}
    return parse_config({"calendar": calendar, "domains": domains}, folder / "landbridge.yaml")
