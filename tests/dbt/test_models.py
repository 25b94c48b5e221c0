"""The models on the world: every reason counted, nothing lost, the same rows in any cut of a run."""

from __future__ import annotations

import pytest
from log_world import KEPT, QUARANTINED, World

from orchestration.config import Home

pytestmark = pytest.mark.slow
TABLES = ("fct_interactions", "dim_items", "dim_users", "item_documents", "quarantine", "mart_data_quality")


def marts(world: World) -> dict[str, list]:
    return {table: world.rows(f"select * from marts.{table} order by all") for table in TABLES}


def test_a_full_run(world: World, dbt_run) -> None:
    """Also runs the data tests and the unit tests of the project."""
    world.load()
    dbt_run(command="build")
    reasons = world.rows("select reason, sum(rows) from marts.mart_data_quality group by 1")
    assert dict(reasons) == {"kept": sum(KEPT.values()), **QUARANTINED}
    assert world.rows(
        "select reason, source_line from marts.quarantine where domain = 'books' order by 2"
    ) == [
        ("unparsable", 6),
        ("missing_user", 7),
        ("missing_item", 8),
        ("bad_time", 9),
        ("before_calendar", 10),
        ("future_time", 11),
        ("unknown_event", 12),
        ("negative_value", 13),
        ("duplicate", 14),
        ("orphan_item", 15),
    ]
    lines = (world.folder / "books.csv").read_text().splitlines()
    for line, raw in world.rows("select source_line, raw_line from marts.quarantine where domain = 'books'"):
        assert raw == lines[line - 1]
    assert world.rows(
        "select cast(window_start as varchar), user_id, item_id, weight, events, event_types, source_line, "
        "cast(event_time as varchar) from marts.fct_interactions where domain = 'books' order by 1, 2"
    ) == [
        ("2026-01-01", "u1", "b1", 4.0, 2, "purchase,view", 2, "2026-01-01 11:00:00+00"),
        ("2026-01-03", "u2", "b,2", 4.0, 1, "purchase", 5, "2026-01-03 12:00:00+00"),
    ]
    query = "select item_id, title, document, text_hash = sha256(document) from marts.item_documents"
    assert world.rows(query + " where domain = 'books' order by 1") == [
        ("b,2", "Tides", "Tides", True),
        ("b1", "The Lighthouse", "The Lighthouse\nA keeper and the sea", True),
        ("b3", None, None, None),
    ]
    query = "select item_id, texts from marts.item_documents where domain = 'books' order by 1"
    assert world.rows(query) == [
        ("b,2", ["Tides", None]),
        ("b1", ["  The  Lighthouse ", "A keeper and the sea"]),  # as it stands
        ("b3", []),
    ]
    assert world.rows("select user_id, domains, interactions from marts.dim_users order by 1") == [
        ("u1", 2, 2),
        ("u2", 1, 1),
        ("u3", 1, 1),
    ]


def test_windows_run_in_any_cut_and_order_or_twice_give_the_same_tables(world: World, dbt_run) -> None:
    world.load()
    dbt_run()
    whole = marts(world)
    dbt_run(world.span())
    assert marts(world) == whole
    Home().warehouse.unlink()
    for start, end, domains in (
        ("2026-01-03", "2026-01-04", ("books",)),
        ("2026-01-01", "2026-01-03", ("books",)),
        ("2026-01-01", "2026-01-04", ("films",)),
    ):
        span = world.span(start, end, domains)
        world.load(span)
        dbt_run(span)
    assert marts(world) == whole


def test_a_window_that_became_empty_loses_its_rows_and_no_other_window_changes(world: World, dbt_run) -> None:
    world.load()
    dbt_run()
    before = marts(world)
    kept = [
        line for line in (world.folder / "books.csv").read_text().splitlines() if "2026-01-03" not in line
    ]
    world.write("books.csv", "\n".join(kept) + "\n")
    span = world.span("2026-01-03", "2026-01-04", ["books"])
    world.load(span)
    dbt_run(span)
    after = marts(world)
    for table in ("fct_interactions", "mart_data_quality"):
        rest = [row for row in before[table] if not (row[0] == "books" and str(row[1]) == "2026-01-03")]
        assert after[table] == rest


@pytest.mark.parametrize(
    "identity,users",
    [
        ("per_domain", ["books:u1", "books:u2", "films:u1", "films:u3"]),
        ({"map": "people.csv"}, ["books:u2", "films:u3", "p1"]),
    ],
)
def test_identity(world: World, dbt_run, identity: object, users: list[str]) -> None:
    world.write("people.csv", "domain,user_id,shared_id\nbooks,u1,p1\nfilms,u1,p1\nfilms,u1,p1\n")
    world.document["identity"] = identity
    world.load()
    dbt_run()
    assert [user for (user,) in world.rows("select user_id from marts.dim_users order by 1")] == users


def test_hard_worlds_lose_nothing(world: World, dbt_run) -> None:
    """An empty log, a log of bad lines only, a catalogue without rows, one without text columns."""
    world.write("books.csv", "")
    world.write("books_items.csv", "item_id,title,blurb\n")
    world.write("films.jsonl", "nonsense\n\n")
    del world.document["domains"]["films"]["items"]["columns"]["text"]
    world.load()
    dbt_run()
    assert marts(world)["fct_interactions"] == []
    assert world.rows("select domain, reason, rows from marts.mart_data_quality") == [
        ("films", "unparsable", 2)
    ]
    assert world.rows("select domain, item_id, title, text_hash from marts.item_documents") == [
        ("films", "f1", None, None)
    ]


def test_a_catalogue_that_names_an_item_more_than_once(world: World, dbt_run) -> None:
    """The text seen most often wins, then the latest, and any text over none."""
    world.write(
        "books_items.csv",
        "item_id,title,blurb\nb1,Old,\nb1,New,\nb,2\n"
        "b3,Often,\nb3,Often,\nb3,Once,\nb4,Only,\nb4,,\nb4,,\n ,Nobody,\n",
    )
    world.load()
    dbt_run()
    query = "select item_id, title from marts.item_documents where domain = 'books' order by 1"
    assert world.rows(query) == [("b1", "New"), ("b3", "Often"), ("b4", "Only")]
    query = "select source_line, reason, raw_line from marts.quarantine where kind = 'items' order by 1"
    assert world.rows(query) == [(4, "unparsable", "b,2"), (11, "missing_item", " ,Nobody,")]
