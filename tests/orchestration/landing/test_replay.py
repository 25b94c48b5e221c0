"""Replaying rejected lines: the rows of a full reload, without the files, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_world import BOOKS_ITEMS, World, document

from orchestration.config import Config
from orchestration.landing.loading import load_items
from orchestration.landing.raw_tables import prepare
from orchestration.landing.replay import Outcome, ReplayError, Touched, pending, replay, settle
from orchestration.landing.sources import SourceError
from orchestration.quarantine import Selection
from orchestration.resources.warehouse import Warehouse

pytestmark = pytest.mark.slow
ALL = Selection(kind="events")
BOOKS, FILMS = "books", "films"
DAYS = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)


def replayed(config: Config, selection: Selection = ALL) -> Touched | None:
    with Warehouse().write() as connection:
        return replay(connection, config, selection)


def settled() -> list[Outcome]:
    with Warehouse().write() as connection:
        return settle(connection)


def rebuild(world: World, dbt_run: Callable[..., None], touched: Touched) -> None:
    """The models of what was touched, as the asset makes them: first it tells them the configuration."""
    with Warehouse().write() as connection:
        prepare(connection, world.config)
    first, last = touched.windows
    low, high = touched.domains
    domains = [name for name in sorted(world.document["domains"]) if low <= name <= high]
    dbt_run(world.span(str(first), str(last + timedelta(days=1)), domains))


def everything(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """The raw lines and every model that is made from them, by name."""
    models = world.rows(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_schema = 'marts' or table_name = 'int_event_verdicts' order by all"
    )
    tables = ["raw.events", *(name for (name,) in models)]
    return {table: world.rows(f"select * from {table} order by all") for table in tables}


def wrong_clocks(world: World) -> None:
    """Every time is bad, so every line lies in the first window; purchases are unknown."""
    world.document["domains"][BOOKS]["events"]["time_format"] = "%d.%m.%Y"
    world.document["domains"][BOOKS]["event_weights"] = {"view": 1}
    world.document["domains"][FILMS]["events"]["time_unit"] = "s"


def wrong_parquet(world: World) -> None:
    """A typed log whose event and user are mapped to the wrong columns."""
    table = pa.table(
        {
            "who": ["u1", "u2", None, "u4"],
            "what": ["b1", "b3", "b1", "b9"],
            "at": pa.array([1767261600000, 1767348000000, 1767261600000, 1767434400000], pa.timestamp("ms")),
            "did": ["view", "purchase", "view", "purchase"],
            "stars": pa.array([4.5, None, 1.0, 2.0], pa.float64()),
            "nobody": pa.nulls(4, pa.string()),
        }
    )
    pq.write_table(table, world.folder / "books.parquet")
    columns = {"user": "who", "item": "what", "time": "at", "event": "did", "value": "stars"}
    events = {"path": "books.parquet", "format": "parquet", "columns": columns}
    world.document["domains"][BOOKS]["events"] = {**events, "columns": {**columns, "user": "nobody"}}


def right_parquet(world: World) -> None:
    world.document["domains"][BOOKS]["events"]["columns"]["user"] = "who"


def right_clocks(world: World) -> None:
    world.document = document()


def wrong_delimiter(world: World) -> None:
    """One headerless file for two domains; cut at the wrong character, no `where` can decide on a line."""
    world.write("log.dat", "UK::u1::b1::2026-01-02\nFR::u2::b3::2026-01-03\n??::u2::b1::2026-01-02\nUK::u1\n")
    world.write("films.txt", "{'user': 'u1', 'film': 'f1', 'ts': 1767261600000}\n{'user'\n")
    domains = world.document["domains"]
    events = {
        "path": "log.dat",
        "format": "csv",
        "delimiter": ":",
        "column_names": ["country", "who", "what", "day"],
        "columns": {"user": "who", "item": "what", "time": "day"},
    }
    domains[BOOKS] |= {"events": {**events, "where": "country = 'UK'"}, "event_weights": {}}
    domains["livres"] = {**domains[BOOKS], "events": {**events, "where": "country = 'FR'"}}
    domains[FILMS]["events"] |= {"path": "films.txt", "format": "python", "time_unit": "ns"}


def right_delimiter(world: World) -> None:
    for domain in (BOOKS, "livres"):
        world.document["domains"][domain]["events"]["delimiter"] = "::"
    world.document["domains"][FILMS]["events"]["time_unit"] = "ms"


@pytest.mark.parametrize(
    ("wrong", "right", "logs"),
    [
        (wrong_clocks, right_clocks, ("books.csv", "films.jsonl")),
        (wrong_parquet, right_parquet, ("books.parquet",)),
        (wrong_delimiter, right_delimiter, ("log.dat", "films.txt")),
    ],
    ids=["text", "parquet", "shared"],
)
def test_replay_gives_the_rows_of_a_full_reload_without_the_files(
    world: World, dbt_run, monkeypatch, wrong, right, logs
) -> None:
    wrong(world)
    world.load()
    dbt_run()
    before = everything(world)
    hidden = [(world.folder / name).rename(world.folder / f"{name}.hidden") for name in logs]
    right(world)
    touched = replayed(world.config)
    assert touched is not None
    rebuild(world, dbt_run, touched)
    outcomes = settled()
    assert sum(o.lines for o in outcomes if o.after == "kept") > 0
    after = everything(world)
    assert after != before

    for path in hidden:
        path.rename(path.with_suffix(""))
    monkeypatch.setenv("LANDBRIDGE_HOME", str(world.folder / "fresh"))
    world.load()
    dbt_run()
    fresh = everything(world)
    assert after.keys() == fresh.keys()
    for table, rows in fresh.items():
        assert after[table] == rows, table


def test_an_item_that_was_added_frees_its_events(judged: World, dbt_run) -> None:
    judged.write("books_items.csv", BOOKS_ITEMS + "b9,New,\n")
    with Warehouse().write() as connection:
        load_items(connection, judged.config, [BOOKS])
    touched = replayed(judged.config, Selection(kind="events", reason="orphan_item"))
    assert touched == Touched((BOOKS, BOOKS), (DAYS[2], DAYS[2]))
    rebuild(judged, dbt_run, touched)
    assert settled() == [Outcome("orphan_item", "kept", 1)]
    assert judged.rows("select user_id from marts.fct_interactions where item_id = 'b9'") == [("u1",)]
    with Warehouse().read() as connection:
        assert pending(connection) is None


def test_only_what_is_selected_is_replayed(judged: World) -> None:
    before = judged.rows("from raw.events order by all")
    touched = replayed(judged.config, Selection(domain=FILMS, kind="events"))
    assert touched == Touched((FILMS, FILMS), (DAYS[0], DAYS[0]))
    noted = "select domain, reason, source_line, old_window, new_domain, new_window from raw.replay_pending"
    assert judged.rows(noted) == [(FILMS, "unparsable", 3, DAYS[0], FILMS, DAYS[0])]
    assert judged.rows("from raw.events order by all") == before  # the same mapping gives the same rows


def test_a_killed_replay_stays_pending_until_it_is_settled(judged: World) -> None:
    judged.document["domains"][BOOKS]["events"]["time_format"] = "yesterday"
    assert replayed(judged.config, Selection(kind="events", reason="bad_time")) is not None
    nothing = Selection(kind="events", reason="bot")
    assert replayed(judged.config, nothing) == Touched((BOOKS, BOOKS), (DAYS[0], DAYS[0]))


def test_nothing_selected_touches_nothing(judged: World) -> None:
    assert replayed(judged.config, Selection(kind="events", reason="bot")) is None


def test_a_missing_column_leaves_every_row_as_it_was(judged: World) -> None:
    before = judged.rows("from raw.events order by all")
    judged.document["domains"][BOOKS]["events"]["columns"]["user"] = "customer"
    with pytest.raises(
        SourceError, match=r"domains\.books\.events\.columns\.user.*customer.*user_id, item_id"
    ):
        replayed(judged.config)
    assert judged.rows("from raw.events order by all") == before


def test_lines_of_a_file_whose_columns_are_unknown_need_a_load(judged: World) -> None:
    with Warehouse().write() as connection:
        connection.execute("delete from raw.source_files where domain = 'books'")
    with pytest.raises(ReplayError, match=r"books\.csv.*raw/events"):
        replayed(judged.config)


def test_a_line_that_a_load_has_placed_since_counts_once(judged: World) -> None:
    with Warehouse().write() as connection:
        connection.execute(
            "insert into raw.events select * replace (date '2026-01-03' as window_start) from raw.events "
            "where domain = 'books' and source_line = 9"
        )
    replayed(judged.config, Selection(kind="events", reason="bad_time"))
    assert judged.rows("select window_start from raw.events where domain = 'books' and source_line = 9") == [
        (DAYS[2],)
    ]
