"""The main job on the tiny demo world, through the real command line.

`run`, `recommend` and `review` are processes of their own; what more is asked of the last two is asked in
this process, which has paid for the imports (8 s a command).
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from reviewer import reviewer, served, until
from test_ui import CHROMIUM, processes_of

from orchestration.cli import main

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@dataclass
class World:
    """A configuration, its home, and what the run and then some of its stages once more printed."""

    config: Path
    home: Path
    first: str = ""
    second: str = ""
    lists: dict[str, bytes] | None = None

    @property
    def places(self) -> dict[str, str]:
        return {"LANDBRIDGE_CONFIG": str(self.config), "LANDBRIDGE_HOME": str(self.home)}

    def landbridge(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.places, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "orchestration.cli", *arguments]
        return subprocess.run(command, cwd=self.home.parent, env=environment, capture_output=True, text=True)

    def here(self, *arguments: str) -> Result:
        """The command in this process; what it sets in the environment is put back."""
        with patch.dict(os.environ, self.places):
            return CliRunner().invoke(main, arguments)

    def run(self) -> str:
        done = self.landbridge("run")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, program: str) -> str:
        """What a program in a process of its own printed, on the instance that the run has used."""
        places = {**os.environ, **self.places, "PYTHONPATH": str(ROOT)}
        places["DAGSTER_HOME"] = str(self.home / "dagster")
        command = [sys.executable, "-W", "ignore", "-c", program]
        done = subprocess.run(command, cwd=self.home.parent, env=places, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def recommendations(self) -> dict[str, bytes]:
        tables = {p.stem: pq.read_table(p) for p in (self.home / "recommendations").glob("*.parquet")}
        return {name: table.to_pandas().to_csv(index=False).encode() for name, table in tables.items()}

    def list_of_books(self) -> tuple[int, list[str]]:
        """The version that made what readers get, and what they get."""
        path = self.home / "recommendations" / "books.parquet"
        return int(pq.read_schema(path).metadata[b"model_version"]), pq.read_table(path)[
            "item_id"
        ].to_pylist()


# That loading and cleaning again change nothing is shown in tests/dbt and tests/orchestration/landing.
SOME_STAGES_AGAIN = """
from datetime import date
from orchestration.commands.display import Progress, quiet
from orchestration.commands.outcome import print_outcome
from orchestration.commands.run import run_stages
from orchestration.config import Home
from orchestration.partitions import CONFIG
from orchestration.stages import newest_as_of, whole_path

home, day = Home(), newest_as_of(CONFIG)
log = home.root / "logs" / "again.log"
with quiet(log) as console:
    again = [stage for stage in whole_path(CONFIG, day) if stage.title in ("text", "snapshot", "→ books")]
    run_stages(again, home, Progress(console), log)
    print_outcome(console, CONFIG, home, date.fromisoformat(day), 0.0)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("demo")
    document = yaml.safe_load((ROOT / "landbridge.yaml").read_text())
    document["demo"] = {"size": "tiny"}
    config = folder / "landbridge.yaml"
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    made = World(config, folder / "home")
    made.first = made.run()
    made.lists = made.recommendations()
    made.second = made.python(SOME_STAGES_AGAIN)
    return made


def test_every_stage_is_reported_with_what_came_out(world):
    for stage in ("catalogues", "events", "text", "snapshot", "→ books", "→ garden"):
        assert re.search(rf"✓ {stage} +[\d.]+ s \S", world.first), stage
    assert "lines in quarantine" in world.first


def test_the_table_names_every_target_cohort_and_candidate(world):
    table = world.first[world.first.index("recall@10") : world.first.index("Where to look next")]
    for word in ("books", "films", "garden", "music", "cold", "popul.", "twin", "bridge", "lift", "95 %"):
        assert word in table
    assert re.search(r"[+-]\d?\.\d{4} … [+-]\d?\.\d{4}", table)
    for target in ("books", "films", "garden", "music"):
        assert re.search(rf"{target} serves (bridge|twin|popularity): \S", table)


def test_nothing_is_wider_than_a_terminal(world):
    lines = world.first[: world.first.index("Where to look next")].splitlines()
    assert max(map(len, lines)) <= 100


def test_stages_that_run_again_give_the_same_tables_and_embed_nothing(world):
    assert re.search(r"✓ text +[\d.]+ s 0 texts embedded, [1-9]\d* reused", world.second)
    assert world.recommendations() == world.lists
    assert set(world.lists) == {"books", "films", "garden", "music"}

    def results(text: str) -> str:
        return text[text.index("recall@10") : text.index("Done in")]

    assert results(world.second) == results(world.first)


def test_training_again_registers_no_second_version(world):
    listed = world.here("review", "list", "books").stdout
    assert "version 1 " in world.second
    assert "version 2 " not in world.second
    assert listed.count("books") == 1


def test_the_quiet_run_kept_what_the_tools_said(world):
    log = (world.home / "logs" / "run.log").read_text()
    assert "STEP_SUCCESS" in log
    assert "STEP_SUCCESS" not in world.first


def test_recommend_for_known_and_unknown_users(world):
    known = pq.read_table(world.home / "recommendations" / "books.parquet")["user_id"][0].as_py()
    (world.home / "users.txt").write_text(f"{known}\nnobody-has-this-id\n")
    out = world.home / "lists.parquet"
    asked = ("--target", "books", "--users", str(world.home / "users.txt"), "-k", "5", "--out", str(out))
    done = world.landbridge("recommend", *asked)
    assert done.returncode == 0, done.stderr
    assert "1 of them unknown" in done.stdout
    table = pq.read_table(out)
    assert table.column_names == ["user_id", "item_id", "score", "rank", "reason"]
    rows = table.to_pylist()
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5] * 2
    assert {row["user_id"] for row in rows} == {known, "nobody-has-this-id"}
    assert all(row["reason"] for row in rows if row["user_id"] == "nobody-has-this-id")


def test_lists_hold_what_is_in_stock_and_what_is_asked_for(world):
    lines = csv.DictReader((world.home / "demo/garden/items.csv").read_text().splitlines())
    told = {line["sku"].strip(): (line["shelf"], line["in_stock"]) for line in lines if line["in_stock"]}
    served = pq.read_table(world.home / "recommendations" / "garden.parquet")
    assert {told[item][1] for item in served["item_id"].to_pylist()} == {"yes"}
    users, out = world.home / "gardeners.txt", world.home / "garden.parquet"
    users.write_text("\n".join([*dict.fromkeys(served["user_id"].to_pylist()), "nobody"]))
    asked = ("recommend", "--target", "garden", "--users", str(users), "--out", str(out))
    done = world.here(*asked, "--only", "category=Pots,Lawn")
    assert done.exit_code == 0, done.output
    assert "items pass the filter" in done.stdout
    listed = {told[item] for item in pq.read_table(out)["item_id"].to_pylist()}
    assert listed == {("Pots", "yes"), ("Lawn", "yes")}
    world.here(*asked, "--only", "category=Pots,Lawn", "--include-unavailable", "-k", "100")
    listed = {told[item] for item in pq.read_table(out)["item_id"].to_pylist()}
    assert {stock for _, stock in listed} == {"yes", "no"}
    wrong = world.here(*asked, "--only", "category=Potts")
    assert wrong.exit_code == 1
    assert "did you mean Pots?" in wrong.stderr
    assert isinstance(wrong.exception, SystemExit), "a traceback"


def test_review_shows_and_approves(world):
    card = world.here("review", "show", "books", "1")
    assert card.exit_code == 0, card.output
    assert "recall@10" in card.stdout
    approved = world.landbridge("review", "approve", "books", "1", "--by", "a tester", "--note", "good")
    assert approved.returncode == 0, approved.stderr
    shown = world.here("review", "show", "books", "1").stdout
    assert "approved by a tester: good" in shown
    missing = world.here("review", "approve", "books", "99")
    assert missing.exit_code == 1
    assert "no version 99" in missing.stderr


def test_a_stage_that_fails_names_itself_its_partition_and_what_to_do(world):
    document = yaml.safe_load(world.config.read_text())
    del document["demo"]
    broken = world.config.with_name("broken.yaml")
    broken.write_text(yaml.safe_dump(document))
    done = world.landbridge("run", "--config", str(broken), "--home", str(world.home.with_name("empty")))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "domains.books.events.path" in done.stderr


def test_as_of_outside_the_calendar_says_what_is_possible(world):
    done = world.landbridge("run", "--as-of", "1999-01-01")
    assert done.returncode == 1
    assert "2026-04-01" in done.stdout + done.stderr


AN_OLDER_VERSION = """
import dagster as dg
from orchestration.definitions import defs
from orchestration.partitions import CONFIG
from orchestration.stages import measuring, run_stage, training

with dg.DagsterInstance.get() as instance:
    (books,) = (stage for stage in training(CONFIG, "2026-03-01") if stage.title == "→ books")
    for stage in (*measuring(CONFIG, "2026-03-01", ["books"])[:2], books):
        assert all(result.success for result in run_stage(stage, defs, instance)), stage.title
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser on the PATH")
def test_a_reviewer_approves_in_mlflow_and_goes_back(world):
    """Reads the card, sets the tag, sees users get the version; then back to the one before."""
    world.python(AN_OLDER_VERSION)
    lists = {1: world.list_of_books()}
    assert lists[1][0] == 1
    places = {**os.environ, **world.places, "PYTHONPATH": str(ROOT)}
    with served(places, world.home.parent) as ports, reviewer(*ports) as hands:
        for sensor in ("mlflow_reviews", "champion_moved"):
            hands.switch_on(sensor)
        hands.keep("sensors")
        for version in (2, 1):
            hands.open("books", version)
            hands.keep(f"version-{version}-before")
            hands.set_tag("review", "approved")
            until(
                lambda version=version: world.list_of_books()[0] == version, f"version {version} in the lists"
            )
            assert lists.setdefault(version, world.list_of_books()) == world.list_of_books()
            hands.page.reload()
            hands.page.get_by_text("champion").first.wait_for()
            hands.keep(f"version-{version}-champion")
        hands.page.goto(f"http://127.0.0.1:{hands.dagster}/runs")
        hands.page.get_by_text("review_decisions").first.wait_for()
        hands.keep("runs")
    assert processes_of(world.home) == set()
    assert lists[1][1] != lists[2][1]
    assert "approved by MLflow UI" in world.here("review", "show", "books", "2").output
