"""Every configuration in examples/ reads files of the form that its data set has."""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path

import duckdb
import pytest
from example_files import EXAMPLES, Example, Rows
from log_world import REPOSITORY

from orchestration.config import Config, load_config
from orchestration.landing.loading import Span, load_events, load_items
from orchestration.landing.sources import check_sources
from orchestration.landing.users import load_users

FOLDER = REPOSITORY / "examples"


@pytest.fixture(params=sorted(EXAMPLES))
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """One example with its files in a folder that LANDBRIDGE_DATA names."""
    chosen = EXAMPLES[request.param]
    for name, content in chosen.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    monkeypatch.setenv("LANDBRIDGE_DATA", str(tmp_path))
    return chosen


@pytest.fixture
def config(example: Example, request: pytest.FixtureRequest) -> Config:
    return load_config(FOLDER / f"{request.node.callspec.params['example']}.yaml")


@pytest.fixture
def raw(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute("create schema raw")
    return connection


def by_domain(raw: duckdb.DuckDBPyConnection, query: str) -> Rows:
    found: Rows = defaultdict(list)
    for domain, *row in raw.execute(query).fetchall():
        found[domain].append(tuple(row))
    return dict(found)


def test_every_example_has_its_case() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(EXAMPLES)


def test_the_files_are_found_with_their_columns(config: Config) -> None:
    assert check_sources(config) == []


def test_events_are_read(example: Example, config: Config, raw: duckdb.DuckDBPyConnection) -> None:
    end = config.calendar.end
    assert end is not None
    load_events(raw, config, Span(tuple(config.domain_names), config.calendar.start, end))
    assert raw.execute("select source_line, error from raw.events where error is not null").fetchall() == []
    assert example.events == by_domain(
        raw,
        "select domain, source_line, user_id, item_id, "
        "regexp_replace(cast(occurred_at as varchar), '[+]00$', ''), event_type, value, quantity "
        "from raw.events order by domain, source_line",
    )


def test_items_are_read(example: Example, config: Config, raw: duckdb.DuckDBPyConnection) -> None:
    load_items(raw, config, config.domain_names)
    assert raw.execute("select source_line, error from raw.items where error is not null").fetchall() == []
    rows = "select distinct domain, item_id, texts from raw.items order by domain, item_id"
    assert example.items == by_domain(raw, rows)


def test_users_are_read(example: Example, config: Config, raw: duckdb.DuckDBPyConnection) -> None:
    load_users(raw, config, config.domain_names)
    assert example.users == by_domain(raw, "select domain, user_id, attributes from raw.users order by all")
    assert set(example.users) == {name for name, domain in config.domains.items() if domain.users}


def test_event_types_have_weights(example: Example, config: Config) -> None:
    """Or every line of that type would go to quarantine: it weighs, cancels, or nothing is weighed."""
    for name, rows in example.events.items():
        weights, cancels = config.domains[name].event_weights, config.cleaning_of(name).cancellations
        types = {row[4] for row in rows} - {None}
        assert types <= {*weights, *cancels}
