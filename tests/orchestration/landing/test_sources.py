"""Faults of the landing files: found before anything is written, told with file, key and expectation."""

from __future__ import annotations

from datetime import date

import pytest

from orchestration.landing.sources import SourceError, check_sources, event_source, find_files


def test_a_good_world_has_no_fault(world) -> None:
    assert check_sources(world.config) == []


def test_a_missing_file_names_file_and_key(world) -> None:
    (world.folder / "books.csv").unlink()
    (fault,) = check_sources(world.config)
    assert str(world.folder / "landbridge.yaml") in fault
    assert "domains.books.events.path" in fault
    assert str(world.folder / "books.csv") in fault


def test_a_glob_without_match_is_a_missing_file(world) -> None:
    world.document["domains"]["films"]["events"]["path"] = "logs/*.jsonl"
    (fault,) = check_sources(world.config)
    assert "domains.films.events.path" in fault
    assert "at least one file" in fault


@pytest.mark.parametrize("domain,role", [("books", "user"), ("films", "time")])
def test_a_missing_column_names_the_columns_there_are(world, domain: str, role: str) -> None:
    world.document["domains"][domain]["events"]["columns"][role] = "nope"
    (fault,) = check_sources(world.config)
    assert f"domains.{domain}.events.columns.{role}" in fault
    assert "'nope'" in fault
    assert ("user_id, item_id, time" if domain == "books" else "user, film, ts") in fault


def test_every_fault_is_listed_at_once(world) -> None:
    (world.folder / "books.csv").unlink()
    (world.folder / "films_items.jsonl").unlink()
    world.document["identity"] = {"map": "people.csv"}
    faults = check_sources(world.config)
    assert ["books.events" in faults[0], "films.items" in faults[1], "identity.map" in faults[2]] == [
        True
    ] * 3


def test_a_file_of_another_format_cannot_be_read(world) -> None:
    world.document["domains"]["books"]["events"]["format"] = "parquet"
    (fault,) = check_sources(world.config)
    assert "cannot be read as parquet" in fault


def test_dated_files_are_those_of_the_days_asked_for(world) -> None:
    for day in ("2026-01-01", "2026-01-03"):
        world.write(f"log/{day}.csv", "user_id,item_id,time,event,rating\n")
    world.document["domains"]["books"]["events"]["path"] = "log/{date}.csv"
    source = event_source(world.config, "books")
    days = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]
    assert [file.window for file in find_files(source, days)] == [days[0], days[2]]
    assert find_files(source, [date(2026, 1, 2)]) == []


def test_a_date_template_without_any_file_is_a_missing_file(world) -> None:
    world.document["domains"]["books"]["events"]["path"] = "log/{date}.csv"
    with pytest.raises(SourceError, match=r"domains\.books\.events\.path"):
        find_files(event_source(world.config, "books"), [date(2026, 1, 1)])
