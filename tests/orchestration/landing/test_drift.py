"""Changed columns: each class told by values, each change by hand, and loads that stop before they spoil."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.landing.drift import Change, compare
from orchestration.landing.history import EVENTS, ITEMS, latest_changes
from orchestration.landing.profiles import Profile, profile_of
from orchestration.landing.sources import SourceError, event_source, item_source
from orchestration.resources.warehouse import Warehouse

HEADER = "user_id,item_id,time,event,rating"
LOADED = "select source_line, raw_line from raw.events where domain = 'books' order by 1"


def lines(count: int = 30, time: str = "2026-01-02T10:00:00", rating: str = "4", **more: str) -> str:
    """A log of the world's books; `more` are columns after the others."""
    header = ",".join([HEADER, *more])
    rows = [",".join([f"u{i}", "b1", time, "view", rating, *more.values()]) for i in range(count)]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    "values,kind",
    [
        (["", " ", ""], "empty"),
        (["1", "-2", "+30"], "integer"),
        (["1", "2.5", "3"], "decimal"),
        (["true", "False"], "boolean"),
        (["1767261600", "1767261601.5"], "epoch_s"),
        (["1767261600000"], "epoch_ms"),
        (["1767261600000000"], "epoch_us"),
        (["1767261600000000000"], "epoch_ns"),
        (["2026-01-01", "2026-01-01T10:00:00Z", "2026/01/01"], "timestamp"),
        (["12/1/10 8:26", "1.2.2026", "31/12/2025"], "date text"),
        (["u1", "u2", "nan of it", "n/a", "2nd"], "text"),
        (["n/a", "n/a"], "mixed"),  # too few to call the column text
        (["1"] * 9 + ["n/a"], "integer"),
        (["1"] * 8 + ["n/a"] * 2, "mixed"),
    ],
)
def test_the_class_of_a_column(world, connection, values: list[str], kind: str) -> None:
    path = world.write("one.csv", "column,other\n" + "".join(f"{value},x\n" for value in values))
    source = event_source(world.config, "books")
    assert profile_of(connection, source, path).types[0] == kind


def test_parquet_types_have_the_same_classes(world, connection) -> None:
    world.document["domains"]["books"]["events"] |= {"format": "parquet", "path": "log.parquet"}
    moments = pa.array([1767261600000] * 6, pa.timestamp("ms"))
    table = pa.table(
        {"t": moments, "n": [1] * 6, "d": [0.5] * 6, "b": [True] * 6, "s": ["a"] * 6, "none": [None] * 6}
    )
    pq.write_table(table, world.folder / "log.parquet")
    found = profile_of(connection, event_source(world.config, "books"), world.folder / "log.parquet")
    assert found.columns == ("t", "n", "d", "b", "s", "none")
    assert found.types == ("timestamp", "integer", "decimal", "boolean", "text", "empty")


BASE = {
    "user_id": "text",
    "item_id": "text",
    "time": "epoch_s",
    "event": "text",
    "rating": "integer",
    "shop": "text",
}


def changes(world, now: dict[str, str], was: dict[str, str] = BASE) -> list[Change]:
    source = event_source(world.config, "books")
    return list(
        compare(source, Profile(tuple(was), tuple(was.values())), Profile(tuple(now), tuple(now.values())))
    )


def swapped(old: str, new: str, kind: str | None = None) -> dict[str, str]:
    return {(new if name == old else name): (kind if name == old and kind else k) for name, k in BASE.items()}


@pytest.mark.parametrize(
    "now,kind,stops,proposal",
    [
        (swapped("user_id", "userId"), "renamed", True,
         "domains.books.events.columns.user: user_id seems to be called userId now; write userId"),
        (swapped("user_id", "client"), "renamed", True,  # the same place and class
         "domains.books.events.columns.user: user_id seems to be called client now; write client"),
        ({k: v for k, v in BASE.items() if k != "rating"}, "missing", True,
         "domains.books.events.columns.value: rating is gone; name the column that holds it now, or bring it "
         "back"),
        (swapped("time", "time", "epoch_ms"), "retyped", True,
         "time holds milliseconds now: set domains.books.events.time_unit: ms"),
        (swapped("time", "time", "timestamp"), "retyped", True,
         "time holds ISO timestamps now: remove domains.books.events.time_unit and time_format"),
        (swapped("time", "time", "text"), "retyped", True,
         "time holds text now: name the column that tells the time in domains.books.events.columns.time"),
        (swapped("rating", "rating", "text"), "retyped", True,
         "rating holds no number now: correct domains.books.events.columns.value, with an expression where "
         "that is needed"),
        (swapped("event", "event", "integer"), "retyped", True,
         "event holds integer now: correct domains.books.events.columns.event, with an expression where "
         "that is needed"),
        (BASE | {"channel": "text"}, "new", False,
         "nothing has to be done about channel; domains.books.events.columns may name it if it is of use"),
        (swapped("shop", "shop", "integer"), "retyped", False,
         "nothing has to be done about shop: no key under domains.books.events names it"),
        (swapped("shop", "shops"), "renamed", False,
         "nothing has to be done about shop: no key under domains.books.events names it"),
    ],
)  # fmt: skip
def test_a_change_and_what_to_do(world, now: dict[str, str], kind: str, stops: bool, proposal: str) -> None:
    (change,) = changes(world, now)
    assert (change.kind, change.stops, change.proposal) == (kind, stops, proposal)


@pytest.mark.parametrize(
    "now",
    [
        BASE,
        dict(reversed(BASE.items())),  # another order is no change: columns are found by name
        swapped("user_id", "user_id", "integer"),
        swapped("item_id", "item_id", "epoch_ms"),  # article numbers of 13 digits
        swapped("rating", "rating", "decimal"),
        swapped("rating", "rating", "empty"),
        swapped("time", "time", "mixed"),
        {},
    ],
)
def test_what_is_no_change(world, now: dict[str, str]) -> None:
    assert changes(world, now) == []
    assert changes(world, BASE, now) == []


def test_columns_that_an_expression_names_are_mapped(world) -> None:
    columns = world.document["domains"]["books"]["events"]["columns"]
    columns |= {"event": "case when rating < 0 then 'cancel' else 'view' end", "time": 'epoch("time")'}
    del columns["value"]
    renamed, retyped = sorted(
        changes(world, swapped("rating", "stars") | {"time": "epoch_ms"}), key=lambda change: change.kind
    )
    assert (renamed.stops, retyped.stops) == (True, True)
    assert renamed.proposal.startswith("domains.books.events.columns.event: rating seems")
    assert "rewrite the expression domains.books.events.columns.time" in retyped.proposal


def test_a_spoiling_change_stops_the_load_until_somebody_changed_the_mapping(world) -> None:
    world.write("books.csv", lines())
    world.load()
    before = world.rows(LOADED)
    world.write("books.csv", lines(time="1767348000000"))
    with pytest.raises(SourceError, match=r"set domains\.books\.events\.time_unit: ms"):
        world.load(items=False)
    with pytest.raises(SourceError, match="time holds milliseconds"):
        world.load(world.span("2026-01-02", "2026-01-03", ["books"]), items=False)
    assert world.rows(LOADED) == before
    world.document["domains"]["books"]["events"]["time_unit"] = "ms"
    world.load(items=False)
    assert world.rows(LOADED) != before
    assert world.rows("select distinct window_start::varchar from raw.events where domain = 'books'") == [
        ("2026-01-02",)
    ]
    query = "select column_name, change, was, now, mapped from raw.schema_changes"
    assert world.rows(query) == [("time", "retyped", "timestamp", "epoch_ms", True)]
    world.load(items=False)
    assert len(world.rows(query)) == 1


def test_a_missing_mapped_column_is_told_with_the_name_it_seems_to_have_now(world) -> None:
    world.load()
    world.write("books_items.csv", "itemId,title,blurb\nb1,The Lighthouse,\n")
    with pytest.raises(
        SourceError, match=r"items\.columns\.item: item_id seems to be called itemId now; write"
    ):
        world.load()
    world.document["domains"]["books"]["items"]["columns"]["item"] = "itemId"
    world.load()
    assert world.rows("select item_id from raw.items where domain = 'books'") == [("b1",)]


def test_the_check_tells_what_the_latest_load_found(world) -> None:
    def found(kind: str) -> list[tuple[str, ...]]:
        with Warehouse().read() as connection:
            return [row[:4] for row in latest_changes(connection, world.config, kind)]

    world.load()
    assert found(EVENTS) == found(ITEMS) == []
    world.write("books.csv", lines(channel="app"))
    world.load()
    assert found(EVENTS) == [("books", "books.csv", "channel", "new")]
    assert found(ITEMS) == []
    world.load()
    assert found(EVENTS) == []
    assert world.rows("select count(*) from raw.schema_changes") == [(1,)]


def test_old_forms_of_a_dated_log_are_known_and_may_be_loaded_again(world) -> None:
    """A first load takes what there is; afterwards a new form stops, and the forms that are in do not."""
    world.document["domains"]["books"]["events"]["path"] = "log/{date}.csv"
    world.write("log/2026-01-01.csv", lines(time="1767261600"))
    world.write("log/2026-01-02.csv", lines(time="2026-01-02T10:00:00"))
    world.load()
    world.load(world.span("2026-01-01", "2026-01-02", ["books"]), items=False)
    world.write("log/2026-01-03.csv", lines(time="1767434400"))
    world.load(items=False)
    world.write("log/2026-01-03.csv", lines(time="1767434400000"))
    with pytest.raises(SourceError, match="time holds milliseconds now"):
        world.load(items=False)


def test_a_column_that_tells_nothing_this_time_keeps_its_class(world) -> None:
    world.load()
    world.write("books.csv", lines(rating=""))
    world.load()
    world.write("books.csv", lines(rating="four"))
    with pytest.raises(SourceError, match="rating holds no number now"):
        world.load()


def test_a_rare_key_of_a_few_json_lines_is_no_missing_column(world) -> None:
    world.write("films_items.jsonl", '{"film": "f1", "title": "Harbour", "awards": 3}\n')
    world.load()
    world.write("films_items.jsonl", '{"film": "f1", "title": "Harbour"}\n')
    world.load()
    assert world.rows("select count(*) from raw.schema_changes") == [(0,)]
    assert item_source(world.config, "films").format == "jsonl"
