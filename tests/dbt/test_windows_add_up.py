"""However a calendar is cut into ranges, in whatever order they run and however often: a full refresh."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from log_world import World

from orchestration.config import Home
from orchestration.landing.loading import Span, load_events
from orchestration.resources.warehouse import Warehouse

pytestmark = pytest.mark.slow
START, DAYS = date(2026, 1, 1), 12
DOMAINS = ("books", "films")
TABLES = (
    "raw.events",
    "raw.window_digests",
    "intermediate.int_event_verdicts",
    "marts.fct_interactions",
    "marts.fct_sessions",
    "marts.mart_data_quality",
)
WINDOWED = ("int_event_verdicts", "fct_interactions", "fct_sessions")
WHOLE = "(domain is not null and window_start is not null)"  # in_span() without a span
TIMES = ("n/a", "2025-12-31T23:59:59", "2026-02-30T00:00:00", "2099-01-01T00:00:00", "")


def day(number: int) -> date:
    return START + timedelta(days=number)


def log_lines(rng: random.Random, days: list[int], count: int) -> Iterator[str]:
    """Lines of a log with every kind of fault, and what looks across lines: copies, bots, cancellations."""
    line = ""
    for _ in range(count):
        kind = rng.random()
        if kind < 0.1 and line:
            yield line  # an exact duplicate
            continue
        user = rng.choice(["u1", "u2", "u3", "u4", "bot", "bot", "bot", "test-1", ""])
        item = rng.choice(["b1", "b2", "b3", "POST", "unknown", ""])
        seconds = rng.choice([10, 11, 4000, 86_399])  # near duplicates, and the end of the day
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        time = rng.choice(TIMES) if kind < 0.2 else f"{day(rng.choice(days))}T{clock}"
        line = (
            f"{user},{item},{time},{rng.choice(['view', 'purchase', 'cancel', 'stare'])},{rng.choice('15-')}"
        )
        yield "broken" if kind > 0.97 else line


def split(rng: random.Random) -> list[Span]:
    """The calendar x domains cut into rectangles, shuffled, some of them twice."""
    spans: list[Span] = []
    for domains in rng.choice([[DOMAINS], [("books",), ("films",)]]):
        cuts = sorted({0, DAYS, *rng.sample(range(1, DAYS), rng.randint(0, 4))})
        spans += [Span(domains, day(a), day(b)) for a, b in pairwise(cuts)]
    spans += rng.sample(spans, rng.randint(0, min(2, len(spans))))
    rng.shuffle(spans)
    return spans


@pytest.fixture
def logs(world: World) -> World:
    """Two logs of twelve days, one in a file and one in a file a day, under rules that look across lines."""
    rng = random.Random(7)
    header = "user_id,item_id,time,event,rating\n"
    domains = world.document["domains"]
    domains["films"] = {
        **domains["books"],
        "events": {**domains["books"]["events"], "path": "films/{date}.csv"},
    }
    world.document["calendar"] |= {"end": str(day(DAYS))}
    world.document["cleaning"] = {
        "near_duplicate_seconds": 2,
        "bots": {"events_per_day": 5},
        "not_items": ["POST"],
        "test_accounts": ["test-.*"],
    }
    world.write("books_items.csv", "item_id,title,blurb\nb1,One,\nb2,Two,\nb3,,\n")
    world.write("books.csv", header + "\n".join(log_lines(rng, list(range(DAYS)), 400)) + "\n")
    for number in rng.sample(range(DAYS), DAYS - 2):  # two days without a file
        lines = "\n".join(log_lines(rng, [number], 40))
        world.write(f"films/{day(number)}.csv", header + lines + "\n")
    return world


def load(world: World, span: Span) -> None:
    with Warehouse().write() as connection:
        load_events(connection, world.config, span)


def tables(world: World) -> dict[str, list[tuple]]:
    return {table: world.rows(f"select columns(*)::varchar from {table} order by all") for table in TABLES}


def whole(world: World) -> Span:
    return Span(DOMAINS, START, day(DAYS))


def differing(found: dict[str, list[tuple]], expected: dict[str, list[tuple]]) -> dict[str, list]:
    """What a table has too much and too little; empty where all are equal, row for row."""
    return {
        table: sorted(set(found[table]) ^ set(rows))[:5]
        for table, rows in expected.items()
        if found[table] != rows
    }


def compiled(target: Path, model: str) -> str:
    (path,) = (target / "compiled").rglob(f"models/*/{model}.sql")
    return path.read_text()


def rebuild(target: Path, span: Span) -> None:
    """What dbt does for the windowed models of a span (their materialization), from the SQL it compiled."""
    names = ", ".join(f"'{domain}'" for domain in span.domains)
    inside = (
        f"(domain in ({names}) and window_start >= date '{span.start}' and window_start < date '{span.end}')"
    )
    with Warehouse().write() as connection:
        excluded = compiled(target, "int_excluded_ids")
        connection.execute(f"create or replace table intermediate.int_excluded_ids as {excluded}")
        for model in WINDOWED:
            table = f"{'intermediate' if model.startswith('int_') else 'marts'}.{model}"
            connection.execute(f"delete from {table} where {inside}")
            connection.execute(f"insert into {table} {compiled(target, model).replace(WHOLE, inside)}")


def empty() -> None:
    with Warehouse().write() as connection:
        for table in ("raw.events", "raw.window_digests", "raw.source_files", *TABLES[2:5]):
            connection.execute(f"delete from {table}")


def test_any_split_in_any_order_is_a_full_refresh(
    logs: World, dbt_run: Callable[..., None], dbt_target: Path
) -> None:
    """Ten splits from the SQL that dbt compiled: dbt itself needs five seconds for a range."""
    logs.load(whole(logs))
    dbt_run()
    expected = tables(logs)
    reasons = {row[2] for row in expected["marts.mart_data_quality"]}
    assert {
        "kept",
        "duplicate",
        "near_duplicate",
        "bot",
        "not_an_item",
        "test_account",
        "bad_time",
    } <= reasons
    assert WHOLE in compiled(dbt_target, "fct_interactions")
    for seed in range(10):
        empty()
        for span in split(random.Random(seed)):
            load(logs, span)
            rebuild(dbt_target, span)
        assert differing(tables(logs), expected) == {}, f"seed {seed}"


def test_ranges_through_dbt_are_a_full_refresh(logs: World, dbt_run: Callable[..., None]) -> None:
    logs.load(whole(logs))
    dbt_run()
    expected = tables(logs)
    Home().warehouse.unlink()
    spans = [
        Span(("films",), day(4), day(DAYS)),
        Span(("books",), day(9), day(DAYS)),
        Span(DOMAINS, START, day(4)),
        Span(("books",), day(4), day(9)),
        Span(("books",), day(4), day(9)),
    ]
    logs.load(spans[0])
    for span in spans:
        load(logs, span)
        dbt_run(span)
    assert differing(tables(logs), expected) == {}


YEAR = """
import dagster as dg
from orchestration.definitions import defs
from orchestration.runs import multi_key
from orchestration.partitions import CONFIG
from orchestration.stages import preparing, run_stage

with dg.DagsterInstance.ephemeral() as instance:
    for stage in preparing(CONFIG, "2026-01-01", "2025-01-01", "2025-12-31")[:2]:
        results = run_stage(stage, defs, instance)
        assert len(results) == 1 and results[0].success, stage.title
    for path in (["raw", "events"], ["intermediate", "int_event_verdicts"], ["marts", "fct_interactions"]):
        filled = instance.get_materialized_partitions(dg.AssetKey(path))
        assert len(filled) == 2 * 365, (path, len(filled))
"""


def test_a_year_of_days_is_one_run_that_writes_every_window(world: World) -> None:
    world.document["calendar"] = {"grain": "day", "start": "2025-01-01", "end": "2026-01-01"}
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(365)]
    header = "user_id,item_id,time,event,rating\n"
    world.write("books.csv", header + "".join(f"u{day.day},b1,{day}T10:00:00,view,\n" for day in days))
    world.document["domains"]["films"]["events"] |= {"path": "films/{date}.jsonl"}
    for number, made in enumerate(days):
        moment = (made - date(1970, 1, 1)).days * 86_400_000 + number
        world.write(f"films/{made}.jsonl", f'{{"user": "u1", "film": "f1", "ts": {moment}}}\n')
    world.python(YEAR)
    for table in ("raw.events", "intermediate.int_event_verdicts", "marts.fct_interactions"):
        query = f"select domain, count(*), count(distinct window_start) from {table} group by 1 order by 1"
        assert world.rows(query) == [("books", 365, 365), ("films", 365, 365)], table
