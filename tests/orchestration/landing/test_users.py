"""User files: lines with their attributes by name, none where a domain names no file, replaced as a whole."""

from __future__ import annotations

import pytest
from log_world import World

from orchestration.landing.sources import SourceError, check_sources
from orchestration.landing.users import load_users
from orchestration.resources.warehouse import Warehouse

ROWS = "select domain, source_file, source_line, user_id, attributes, error from raw.users order by all"


@pytest.fixture
def peopled(world: World) -> World:
    """The world with a CSV of book readers; films has no user file."""
    world.write("readers.csv", 'reader,age band,region\nu1,30-39,"north, east"\n,40-49,\nu2,50-59\n')
    columns = {"user": "reader", "attributes": ["age band", "region"]}
    world.document["domains"]["books"]["users"] = {"path": "readers.csv", "format": "csv", "columns": columns}
    return world


def load(world: World, *domains: str) -> dict[str, tuple[int, int, int]]:
    with Warehouse().write() as connection:
        loaded = load_users(connection, world.config, domains or world.config.domain_names)
    return {domain: (found.rows, found.unparsable, found.files) for domain, found in loaded.items()}


def test_every_line_is_a_row_with_its_attributes_by_name(peopled: World) -> None:
    assert load(peopled) == {"books": (3, 1, 1), "films": (0, 0, 0)}
    assert peopled.rows(ROWS) == [
        ("books", "readers.csv", 2, "u1", {"age band": "30-39", "region": "north, east"}, None),
        ("books", "readers.csv", 3, "", {"age band": "40-49", "region": ""}, None),
        ("books", "readers.csv", 4, None, {"age band": None, "region": None}, "expected 3 fields, found 2"),
    ]


def test_a_load_replaces_the_users_of_its_domains_only(peopled: World) -> None:
    films = {"path": "viewers.jsonl", "format": "jsonl", "columns": {"user": "user"}}
    peopled.document["domains"]["films"]["users"] = films
    peopled.write("viewers.jsonl", '{"user": "u7"}\n')
    load(peopled)
    peopled.write("readers.csv", "reader,age band,region\nu9,20-29,south\n")
    assert load(peopled, "books") == {"books": (1, 0, 1)}
    assert [(row[0], row[3], row[4]) for row in peopled.rows(ROWS)] == [
        ("books", "u9", {"age band": "20-29", "region": "south"}),
        ("films", "u7", {}),
    ]


def test_a_domain_that_no_longer_names_a_file_loses_its_users(peopled: World) -> None:
    load(peopled)
    del peopled.document["domains"]["books"]["users"]
    assert load(peopled) == {"books": (0, 0, 0), "films": (0, 0, 0)}
    assert peopled.rows(ROWS) == []


def test_a_missing_column_is_found_before_a_row_is_written(peopled: World) -> None:
    load(peopled)
    before = peopled.rows(ROWS)
    peopled.write("readers.csv", "reader,region\nu1,north\n")
    (fault,) = check_sources(peopled.config)
    assert "domains.books.users.columns.attributes.0" in fault
    assert "age band" in fault
    with pytest.raises(SourceError, match="age band"):
        load(peopled)
    assert peopled.rows(ROWS) == before
