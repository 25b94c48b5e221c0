"""Review text from the log line to marts.fct_reviews, also in a warehouse from before there was any."""

from __future__ import annotations

import pytest
from log_world import World

from orchestration.landing.late import read_history, touched_windows
from orchestration.landing.loading import load_events
from orchestration.landing.raw_tables import prepare
from orchestration.landing.replay import replay, settle
from orchestration.quarantine import Selection
from orchestration.resources.warehouse import Warehouse

pytestmark = pytest.mark.slow
EVENTS = """user_id,item_id,time,event,rating,comment
u1,b1,2026-01-01T10:00:00,view,,
u1,b1,2026-01-01T11:00:00,purchase,5, Kept me up all night
u1,b1,2026-01-02T09:00:00,cancel,,sent it back
u2,b1,2026-01-03T12:00:00,purchase,1,"Damp, and dull"
u2,b3,2026-01-03T12:30:00,purchase,4,   
u3,b1,2026-01-03T13:00:00,stare,2,never counted
"""
REVIEWS = """
select cast(window_start as varchar), source_line, user_id, item_id, review, rating, weight
from marts.fct_reviews order by 1, 2
"""
FIRST = ("2026-01-01", 3, "u1", "b1", "Kept me up all night", 5.0, 4.0)
SECOND = ("2026-01-03", 5, "u2", "b1", "Damp, and dull", 1.0, 4.0)


@pytest.fixture
def reviewed(world: World) -> World:
    """books with a column of comments; films has none."""
    world.write("books.csv", EVENTS)
    world.document["domains"]["books"]["events"]["columns"]["text"] = "comment"
    return world


def test_kept_events_with_text_are_reviews(reviewed: World, dbt_run) -> None:
    reviewed.load()
    dbt_run(command="build")
    assert reviewed.rows(REVIEWS) == [FIRST, SECOND]
    query = "select source_line, review from intermediate.int_event_verdicts where reason is not null"
    assert (7, None) in reviewed.rows(query)
    first = reviewed.rows("from raw.events order by all")
    reviewed.load()
    assert reviewed.rows("from raw.events order by all") == first


def test_a_warehouse_from_before_takes_reviews_window_by_window(reviewed: World, dbt_run) -> None:
    columns = reviewed.document["domains"]["books"]["events"]["columns"]
    del columns["text"]
    reviewed.load()
    dbt_run()
    interactions = reviewed.rows("from marts.fct_interactions order by all")
    with Warehouse().write() as connection:
        connection.execute("drop view marts.fct_reviews")
        connection.execute("alter table raw.events drop column review")
        for column in ("review", "rating"):
            connection.execute(f"alter table intermediate.int_event_verdicts drop column {column}")
    columns["text"] = "comment"
    span = reviewed.span("2026-01-03", "2026-01-04", ["books"])
    reviewed.load(span)
    dbt_run(span)
    assert reviewed.rows(REVIEWS) == [SECOND]
    assert reviewed.rows("from marts.fct_interactions order by all") == interactions
    reviewed.load()
    dbt_run(reviewed.span())
    assert reviewed.rows(REVIEWS) == [FIRST, SECOND]


def test_a_column_that_a_windowed_model_lost_is_told(
    reviewed: World, dbt_run, capsys: pytest.CaptureFixture[str]
) -> None:
    reviewed.load()
    dbt_run()
    with Warehouse().write() as connection:
        connection.execute("alter table intermediate.int_event_verdicts add column mood varchar")
    with pytest.raises(AssertionError, match="int_event_verdicts"):
        dbt_run(reviewed.span())
    assert "build it whole once: dbt build --full-refresh" in capsys.readouterr().out


def test_a_replayed_line_brings_its_review(reviewed: World, dbt_run) -> None:
    reviewed.load()
    dbt_run()
    books = reviewed.document["domains"]["books"]
    books["event_weights"]["stare"] = 1
    books["events"]["columns"]["text"] = "upper(comment)"
    with Warehouse().write() as connection:
        prepare(connection, reviewed.config)
        assert replay(connection, reviewed.config, Selection(reason="unknown_event")) is not None
    dbt_run(reviewed.span())
    with Warehouse().write() as connection:
        assert [(o.before, o.after) for o in settle(connection)] == [("unknown_event", "kept")]
    third = ("2026-01-03", 7, "u3", "b1", "NEVER COUNTED", 2.0, 1.0)
    assert reviewed.rows(REVIEWS) == [FIRST, SECOND, third]


def test_a_changed_comment_touches_its_window(reviewed: World) -> None:
    reviewed.load()
    reviewed.write("books.csv", EVENTS.replace("all night", "two nights"))
    with Warehouse().read() as connection:
        history = read_history(connection, reviewed.config)
    assert {d: [str(w) for w in days] for d, days in touched_windows(history, reviewed.config).items()} == {
        "books": ["2026-01-01"]
    }
    with Warehouse().write() as connection:
        load_events(connection, reviewed.config, reviewed.span("2026-01-01", "2026-01-02", ["books"]))
    query = "select review from raw.events where source_line = 3 and domain = 'books'"
    assert reviewed.rows(query) == [(" Kept me up two nights",)]
