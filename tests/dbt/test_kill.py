"""kill -9 in the middle, fifty times: windows are whole old or whole new, and one more run makes all right.

The children that are killed are forks of this process, which has imported everything and parsed the project:
a process of its own would spend seconds on that, and nearly all kills would hit it there.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner
from log_world import World

from orchestration.config import Home
from orchestration.resources.dbt import PROJECT

pytestmark = pytest.mark.slow
KILLS = {"load": 38, "build": 12}
LINES = 2_000
FILES = ("books.csv", "books_items.csv", "films.jsonl", "films_items.jsonl")
# When something was loaded or first seen: the only columns in which an undisturbed home may differ.
MOMENTS = {"loaded_at", "detected_at", "dbt_valid_from", "dbt_updated_at", "dbt_scd_id"}
WINDOWS = """
select domain, cast(window_start as varchar), count(*), sum(hash({columns})) from {table} group by all
"""
CATALOGUES = "select domain, count(*), sum(hash(item_id, texts)) from raw.items group by all"
FILLED = {"raw.events", "raw.items", "intermediate.int_event_verdicts", "marts.quarantine"} | {
    f"marts.{name}" for name in ("fct_interactions", "fct_cancellations", "fct_sessions", "item_text_history")
}


class Shop:
    """A world whose files have two states, `old` and `new`, that differ in every window and catalogue."""

    def __init__(self, world: World) -> None:
        self.world = world
        for seed, state in enumerate(("old", "new")):
            for name, text in zip(FILES, self._texts(random.Random(seed), state), strict=True):
                world.write(f"{state}/{name}", text)

    def _texts(self, rng: random.Random, state: str) -> Iterator[str]:
        events = rng.choices(["view", "purchase", "cancel", "stare"], [8, 4, 1, 1], k=LINES)
        users = rng.choices(range(300), k=LINES)
        lines = [
            f"u{user},b{rng.randrange(60)},2026-01-0{n % 3 + 1}T{n % 24:02}:{n % 60:02}:00,{event},"
            for n, (user, event) in enumerate(zip(users, events, strict=True))
        ]
        yield "user_id,item_id,time,event,rating\n" + "\n".join(lines) + "\n"
        yield "item_id,title,blurb\n" + "".join(f"b{n},{state} {n},\n" for n in range(50))
        moments = (1767225600000 + rng.randrange(3 * 86_400_000) for _ in range(LINES))
        yield "".join(
            f'{{"user": "u{rng.randrange(300)}", "film": "f{n % 40}", "ts": {moment}}}\n'
            for n, moment in enumerate(moments)
        )
        yield "".join(f'{{"film": "f{n}", "title": "{state} {n}"}}\n' for n in range(40))

    def put(self, state: str) -> None:
        """Make the files those of a state; their times of modification come along."""
        for name in FILES:
            shutil.copy2(self.world.folder / state / name, self.world.folder / name)

    def load(self) -> None:
        self.world.load()

    def windows(self) -> dict[str, set[tuple]]:
        """Of each table by window or domain: how many rows and a digest of them."""
        verdicts = WINDOWS.format(
            table="intermediate.int_event_verdicts", columns="source_line, user_id, event_type, reason"
        )
        raw = WINDOWS.format(table="raw.events", columns="source_line, raw_line")
        queries = {"raw.events": raw, "raw.items": CATALOGUES, "int_event_verdicts": verdicts}
        return {table: set(self.world.rows(query)) for table, query in queries.items()}

    def tables(self) -> dict[str, list[tuple]]:
        """Every relation of the layers, sorted rows of text; of texts over time the present ones."""
        found = self.world.rows(
            "select table_schema || '.' || table_name, list(column_name order by ordinal_position) from "
            "information_schema.columns where table_schema in ('raw', 'intermediate', 'marts') group by all"
        )
        rows = {}
        for table, columns in found:
            chosen = ", ".join(f'"{name}"::varchar' for name in columns if name not in MOMENTS)
            present = "where dbt_valid_to is null" if "dbt_valid_to" in columns else ""
            rows[table] = self.world.rows(f"select {chosen} from {table} {present} order by all")
        return rows


def arguments(command: str, target: Path) -> list[str]:
    places = ["--project-dir", str(PROJECT), "--target-path", str(target), "--log-path", str(target)]
    return ["--quiet", command, *places]


@pytest.fixture
def build(dbt_target: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """`dbt build` of all that writes, from a project that was parsed before."""
    monkeypatch.setenv("LANDBRIDGE_WAREHOUSE", str(Home().warehouse))
    monkeypatch.setenv("DBT_PROFILES_DIR", str(PROJECT))
    parsed = dbtRunner().invoke(arguments("parse", dbt_target))
    assert parsed.success, parsed.exception

    def run() -> None:
        os.environ["LANDBRIDGE_WAREHOUSE"] = str(Home().warehouse)
        writing = ["--resource-type", "model", "--resource-type", "snapshot"]
        done = dbtRunner(manifest=parsed.result).invoke([*arguments("build", dbt_target), *writing])
        DuckDBConnectionManager.close_all_connections()
        assert done.success, [f"{r.node.name}: {r.message}" for r in done.result or []] or done.exception

    return run


def forked(work: Callable[[], None], kill_after: float | None = None) -> tuple[bool, float]:
    """Do work in a fork, killed after so many seconds: (whether the kill came before its end, seconds)."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return os.WIFSIGNALED(status), time.monotonic() - began


def test_fifty_kills_and_one_more_run_leave_what_an_undisturbed_home_has(
    world: World, build: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, whole, seconds = Shop(world), {}, {}
    monkeypatch.setenv("LANDBRIDGE_HOME", str(world.folder / "undisturbed"))
    for state in ("old", "new"):
        shop.put(state)
        for name, work in (("load", shop.load), ("build", build)):
            _, seconds[name] = forked(work)
        whole[state] = shop.windows()
        if state == "old":
            (world.folder / "home").mkdir()
            shutil.copy2(Home().warehouse, world.folder / "home")
    expected = shop.tables()
    assert all(whole["old"][table].isdisjoint(whole["new"][table]) for table in whole["old"])

    monkeypatch.setenv("LANDBRIDGE_HOME", str(world.folder / "home"))
    rng, hits = random.Random(50), dict.fromkeys(KILLS, 0)
    works = rng.sample([name for name, count in KILLS.items() for _ in range(count)], sum(KILLS.values()))
    while works:
        name, state = works[-1], rng.choice(["old", "new"])
        shop.put(state)
        was_killed, _ = forked({"load": shop.load, "build": build}[name], rng.uniform(0, seconds[name]))
        if was_killed:
            works.pop()
            hits[name] += 1
        for table, found in shop.windows().items():
            strange = found - whole["old"][table] - whole["new"][table]
            assert not strange, f"{table} after {hits}"
            assert len(found) == len(whole["old"][table]), f"{table} after {hits}"
    shop.put("new")
    shop.load()
    build()
    found = shop.tables()
    assert hits == KILLS
    assert found.keys() == expected.keys()
    assert [table for table, rows in expected.items() if found[table] != rows] == []
    assert {table for table, rows in expected.items() if rows} >= FILLED


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_torn_parse_of_the_project_does_not_stop_dbt(
    dbt_target: Path, build, tmp_path, share: float
) -> None:
    """What dbt keeps of the last parse is written in place: a kill may leave any part of it."""
    kept = (dbt_target / "partial_parse.msgpack").read_bytes()
    (tmp_path / "partial_parse.msgpack").write_bytes(kept[: int(len(kept) * share)])
    done = dbtRunner().invoke(arguments("parse", tmp_path))
    assert done.success, done.exception
    assert len(done.result.nodes) > 20
