"""Reviews from the mart to the snapshot: clean, judged, embedded once, the latest before as-of."""

from __future__ import annotations

from datetime import UTC, date, datetime

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.snapshot_files import read_snapshot
from orchestration.config import Config, Home, SnapshotRules, parse_config
from orchestration.defs import snapshot as module
from orchestration.features import text_encoder
from orchestration.review_reading import Reading, language_check, read_reviews, scale_check
from orchestration.reviews import (
    export,
    review_texts,
    reviewed_domains,
    reviews_before,
    reviews_path,
    with_review_vectors,
)

HAPPY = "A quiet book about the sea"


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


ROWS = [
    # domain, window_start, user, item, event_time, review, rating
    ("books", date(2026, 1, 1), "u1", "b1", at(1, 9), f"<p>{HAPPY}</p>", 5.0),
    ("books", date(2026, 1, 2), "u1", "b1", at(2, 9), "Dull at second sight", 2.0),
    ("books", date(2026, 1, 2), "u2", "b1", at(2, 9), f"{HAPPY}\u200b ", 9.0),
    ("books", date(2026, 1, 2), "u2", "b2", at(2, 10), "&nbsp;<br>", 1.0),
    ("books", date(2026, 1, 3), "u3", "b1", at(3, 9), "Of the third day", None),
    ("books", date(2026, 1, 2), "u9", "b1", at(2, 9), "Of nobody in the snapshot", 4.0),
]
INTERACTIONS = [
    ("books", date(2026, 1, 1), "u1", "b1", at(1, 9), 4.0),
    ("books", date(2026, 1, 2), "u1", "b1", at(2, 9), 4.0),
    ("books", date(2026, 1, 2), "u2", "b1", at(2, 9), 4.0),
    ("books", date(2026, 1, 2), "u2", "b2", at(2, 10), 1.0),
    ("books", date(2026, 1, 3), "u3", "b1", at(3, 9), 4.0),
    ("films", date(2026, 1, 1), "u1", "b1", at(1, 9), 1.0),
]
ITEMS = pa.table(
    {
        "domain": ["books", "books", "films"],
        "item_id": ["b1", "b2", "b1"],
        "title": ["t", "t", "t"],
        "text_hash": ["h", "h", "h"],
    }
)


def config_of(tmp_path, mapped: bool = True, **reviews) -> Config:
    def domain(**more) -> dict:
        columns = {"user": "u", "item": "i", "time": "t", **more}
        return {
            "events": {"path": "e.csv", "format": "csv", "columns": columns},
            "items": {"path": "i.csv", "format": "csv", "columns": {"item": "i", "text": ["title"]}},
        }

    books = {**domain(value="v", text="comment" if mapped else None), "reviews": reviews}
    document = {
        "calendar": {"start": "2026-01-01", "end": "2026-01-05"},
        "domains": {"books": books, "films": domain()},
    }
    return parse_config(document, tmp_path / "landbridge.yaml")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """A home whose warehouse holds the marts of ROWS and INTERACTIONS."""
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path / "home"))
    Home().root.mkdir()
    with duckdb.connect(str(Home().warehouse)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("create schema marts")
        who = "domain varchar, window_start date, user_id varchar, item_id varchar, event_time timestamptz"
        connection.execute(f"create table marts.fct_reviews ({who}, review varchar, rating double)")
        connection.executemany("insert into marts.fct_reviews values (?, ?, ?, ?, ?, ?, ?)", ROWS)
        connection.execute(f"create table marts.fct_interactions ({who}, weight double)")
        connection.executemany("insert into marts.fct_interactions values (?, ?, ?, ?, ?, ?)", INTERACTIONS)
        export(connection, Home(), "books")
    return Home()


def read(config: Config, home: Home) -> tuple[Reading, list[dict]]:
    reading = read_reviews(config, home, "books", [text_encoder(config)], lambda line: None)
    table = pq.read_table(reviews_path(home, "books"))
    return reading, table.sort_by([("window_start", "ascending"), ("user_id", "ascending")]).to_pylist()


def interactions_before(day: int) -> pa.Table:
    rows = [row for row in INTERACTIONS if row[4] < at(day, 0)]
    names = ["domain", "window_start", "user_id", "item_id", "event_time", "weight"]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table({**columns, "event_time": pa.array(columns["event_time"], pa.timestamp("us", tz="UTC"))})
    latest = table.group_by(["domain", "user_id", "item_id"]).aggregate(
        [("event_time", "max"), ("weight", "sum")]
    )
    return latest.rename_columns(["domain", "user_id", "item_id", "event_time", "weight"])


def test_reviews_are_cleaned_judged_and_embedded_once(home, tmp_path) -> None:
    config = config_of(tmp_path, sentiment="rating")
    assert reviewed_domains(config) == ["books"]
    reading, rows = read(config, home)
    assert vars(reading) == {
        "reviews": 6, "new": 4, "reused": 1, "unreadable": 0, "without_text": 1, "rated": 5, "off_scale": 1,
        "disliked": 2,
    }  # fmt: skip
    assert [row["text"] for row in rows[:2]] == [HAPPY, "Dull at second sight"]
    same = [row for row in rows if row["text"] == HAPPY]
    assert len({row["text_hash"] for row in same}) == 1
    assert [row["sentiment"] for row in same] == [1.0, None]
    (silent,) = [row for row in rows if row["text"] is None]
    assert (silent["text_hash"], silent["sentiment"]) == (None, -1.0)
    again, _ = read(config, home)
    assert (again.new, again.reused) == (0, 5)
    assert dict(review_texts(home, ["books", "films"])).keys() == {row["text_hash"] for row in rows} - {None}


def test_the_latest_review_before_as_of_counts_and_none_after_it(home, tmp_path) -> None:
    config = config_of(tmp_path, sentiment="rating")
    _, rows = read(config, home)
    words = {row["text_hash"]: row["text"] for row in rows}

    def before(day: int) -> dict:
        table = reviews_before(config, home, date(2026, 1, day), interactions_before(day))
        assert table["domain"].unique().to_pylist() == ["books"]
        return {
            (r["user_id"], r["item_id"]): (words[r["text_hash"]], r["sentiment"]) for r in table.to_pylist()
        }

    assert before(2) == {("u1", "b1"): (HAPPY, 1.0)}
    third = {
        ("u1", "b1"): ("Dull at second sight", -0.5),
        ("u2", "b1"): (HAPPY, None),
        ("u2", "b2"): (None, -1.0),
    }
    assert before(3) == third
    assert before(4) == {**third, ("u3", "b1"): ("Of the third day", None)}


def test_a_review_of_a_row_that_waits_waits_too(home, tmp_path) -> None:
    """u1's second event is not among the interactions: what it says must not be known before it is."""
    config = config_of(tmp_path)
    read(config, home)
    table = reviews_before(config, home, date(2026, 1, 3), interactions_before(2))
    assert (
        table["text_hash"].to_pylist()
        == [
            row["text_hash"]
            for row in pq.read_table(reviews_path(home, "books")).to_pylist()
            if row["text"] == HAPPY
        ][:1]
    )


def test_without_reviews_there_is_nothing_and_unread_ones_say_what_to_do(home, tmp_path) -> None:
    config = config_of(tmp_path)
    with pytest.raises(FileNotFoundError, match="materialise review_embeddings"):
        reviews_before(config, home, date(2026, 1, 3), interactions_before(3))
    with pytest.raises(FileNotFoundError, match="materialise review_texts"):
        read_reviews(config, home, "films", [text_encoder(config)], print)
    assert (
        reviews_before(config_of(tmp_path, mapped=False), home, date(2026, 1, 3), interactions_before(3))
        is None
    )


def test_without_a_rule_every_review_counts_alike(home, tmp_path) -> None:
    reading, rows = read(config_of(tmp_path), home)
    assert {row["sentiment"] for row in rows} == {None}
    assert (reading.rated, reading.disliked, reading.off_scale) == (5, 0, 0)


def test_vectors_come_from_the_store_of_the_encoder_that_is_named(home, tmp_path, monkeypatch) -> None:
    config = config_of(tmp_path, sentiment="rating")
    read(config, home)
    monkeypatch.setattr(module, "CONFIG", config)
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create table marts.fct_cancellations (domain varchar, purchase_window date, user_id varchar, "
            "item_id varchar, event_time timestamptz, takes_back double)"
        )
        path = module.draw(connection, date(2026, 1, 4), SnapshotRules(), ITEMS)
    assert module.manifest_of(path)["reviews"] == 4
    snapshot = read_snapshot(path)
    encoder = text_encoder(config)
    reviews = with_review_vectors(snapshot, encoder.key, home).interactions["books"].reviews
    assert reviews.encoder == encoder.key
    assert reviews.embedded.sum() == 3
    (row,) = reviews.rows[(snapshot.interactions["books"].users == 0)]
    assert np.allclose(reviews.vectors[row], encoder.encode(["Dull at second sight"])[0], atol=1e-5)
    assert with_review_vectors(snapshot, "another", home) is snapshot


def test_ratings_off_the_scale_and_unreadable_reviews_are_told() -> None:
    good, bad = Reading(reviews=200, rated=200, off_scale=2), Reading(reviews=200, rated=200, off_scale=3)
    assert scale_check({"books": good}).passed
    told = scale_check({"books": bad, "films": good})
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "domains.books.reviews.rating_scale" in told.description
    assert language_check({"books": good}).passed
    told = language_check({"books": Reading(reviews=100, without_text=10, unreadable=9)})
    assert not told.passed
    assert "books (10.0%)" in told.description
    assert scale_check({}).passed
    assert language_check({}).passed
