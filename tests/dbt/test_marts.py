"""What the marts hold after real runs: texts over time, cancellations, sessions, overlap; and the docs."""

from __future__ import annotations

import pytest
from log_world import BOOKS_ITEMS, World

from orchestration.config import Home
from orchestration.landing.users import load_users
from orchestration.resources.dbt_docs import write_docs
from orchestration.resources.warehouse import Warehouse

pytestmark = pytest.mark.slow
WHOLE = ("fct_cancellations", "fct_sessions", "domain_overlap", "item_collisions", "user_attributes")
HISTORY = """
select item_id, title, dbt_is_deleted, dbt_valid_to is null from marts.item_text_history
where domain = 'books' order by item_id, dbt_valid_from, dbt_is_deleted
"""


def test_texts_that_changed_left_or_came_back_are_kept(world: World, dbt_run) -> None:
    def run() -> list[tuple]:
        world.load()
        dbt_run()
        dbt_run(command="snapshot")
        return world.rows(HISTORY)

    first = [(i, t, "False", True) for i, t in (("b,2", "Tides"), ("b1", "The Lighthouse"), ("b3", None))]
    assert run() == first
    kept = world.rows("select * from marts.item_text_history order by all")
    dbt_run(command="snapshot")
    assert world.rows("select * from marts.item_text_history order by all") == kept
    world.write("books_items.csv", 'item_id,title,blurb\nb1,The New Lighthouse,\n"b,2",Tides,\n')
    assert run() == [
        ("b,2", "Tides", "False", True),
        ("b1", "The Lighthouse", "False", False),
        ("b1", "The New Lighthouse", "False", True),
        ("b3", None, "False", False),
        ("b3", None, "True", True),
    ]
    world.write("books_items.csv", BOOKS_ITEMS)
    assert [row for row in run() if row[3]] == first


def test_every_table_and_every_column_of_a_mart_has_its_description_as_a_comment(world, dbt_run) -> None:
    world.load()
    dbt_run()
    dbt_run(command="snapshot")
    columns = "select table_name, column_name, comment from duckdb_columns() where schema_name = 'marts'"
    found = world.rows(columns)
    assert len(found) > 60
    assert [row for row in found if not row[2]] == []
    relations = """
        select table_name, comment from duckdb_tables() where schema_name <> 'raw'
        union all
        select view_name, comment from duckdb_views() where not internal
    """
    assert [name for name, comment in world.rows(relations) if not comment] == []
    page = write_docs()
    assert page == Home().root / "dbt" / "docs" / "index.html"
    text = page.read_text()
    assert "Which purchase each cancelling event takes back" in text
    assert "TIMESTAMP WITH TIME ZONE" in text  # the types of the columns come from the warehouse
    assert list(page.parent.iterdir()) == [page]


def test_without_a_warehouse_the_docs_say_what_to_do_first(world) -> None:
    with pytest.raises(RuntimeError, match="make run"):
        write_docs()


def test_marts_over_all_windows_are_the_same_in_any_cut_of_the_runs(world: World, dbt_run) -> None:
    """Two domains share u1; its purchase of the first day is cancelled on the second and bought again."""
    world.write(
        "books.csv",
        "user_id,item_id,time,event,rating\nu1,b1,2026-01-01T23:50:00,view,\nu1,b1,2026-01-01T23:55:00,purchase,\n"
        "u1,b1,2026-01-02T00:05:00,cancel,\nu1,b1,2026-01-02T00:06:00,purchase,\nu2,b3,2026-01-03T12:00:00,cancel,\n"
        "u3,b3,2026-01-03T12:00:00,view,\n",
    )
    world.write("readers.csv", "user,age\nu1,30-39\nu1,\nu2,40-49\n")
    columns = {"user": "user", "attributes": ["age"]}
    world.document["domains"]["books"]["users"] = {"path": "readers.csv", "format": "csv", "columns": columns}
    world.load()
    with Warehouse().write() as connection:
        load_users(connection, world.config, ["books"])
    dbt_run()
    whole = {table: world.rows(f"select * from marts.{table} order by all") for table in WHOLE}
    query = "select user_id, outcome, cast(purchase_window as varchar), purchase_line, takes_back"
    assert world.rows(query + " from marts.fct_cancellations order by 1") == [
        ("u1", "complete", "2026-01-01", 3, -3.0),
        ("u2", "unmatched", None, None, 0.0),
    ]
    query = "select cast(window_start as varchar), user_id, events"
    assert world.rows(query + " from marts.fct_sessions where domain = 'books' order by all") == [
        ("2026-01-01", "u1", 2),
        ("2026-01-02", "u1", 2),
        ("2026-01-03", "u2", 1),
        ("2026-01-03", "u3", 1),
    ]
    query = "select cast(window_start as varchar), shared_users, users_a, users_b, share"
    assert world.rows(query + " from marts.domain_overlap order by 1") == [
        ("2026-01-01", 1, 1, 1, 1.0),
        ("2026-01-02", 1, 1, 2, 1.0),
        ("2026-01-03", 2, 2, 2, 1.0),
    ]
    assert whole["user_attributes"] == [("books", "u1", "age", "30-39"), ("books", "u2", "age", "40-49")]
    for start, end, domains in (
        ("2026-01-02", "2026-01-04", ["books"]),
        ("2026-01-01", "2026-01-04", ["films"]),
        ("2026-01-01", "2026-01-02", ["books"]),
    ):
        span = world.span(start, end, domains)
        world.load(span)
        dbt_run(span)
    assert {table: world.rows(f"select * from marts.{table} order by all") for table in WHOLE} == whole
