"""`landbridge quarantine`: what it shows, writes and replays, and what it says where it cannot."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from log_world import QUARANTINED, REPOSITORY, World

from orchestration.cli import main
from orchestration.commands.replay import in_words
from orchestration.landing.replay import LEFT_OUT, Outcome
from orchestration.quarantine import ADVICE, printable
from orchestration.resources.warehouse import Warehouse

COLUMNS = ["domain", "kind", "window_start", "source_file", "source_line", "raw_line", "reason"]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """monkeypatch puts back what a command sets in the environment."""
    for name in ("LANDBRIDGE_CONFIG", "DAGSTER_HOME", "HF_HUB_OFFLINE", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def quarantine(world: World, *arguments: str | Path) -> Result:
    _ = world.config
    place = ["--config", world.folder / "landbridge.yaml", "--home", world.folder / "home"]
    return CliRunner().invoke(main, ["quarantine", *(str(a) for a in (arguments[0], *place, *arguments[1:]))])


def landbridge(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, where the definitions are those of this configuration."""
    _ = world.config
    command = [sys.executable, "-W", "ignore", "-m", "orchestration.cli", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=world.environment, capture_output=True, text=True)


@pytest.mark.slow
def test_show_counts_every_reason_and_says_what_to_do(judged: World) -> None:
    result = quarantine(judged, "show")
    assert result.exit_code == 0, result.output
    rows = [row.split() for row in result.output.splitlines() if row.startswith("│")]
    table = {tuple(row[1:6:2]): row for row in rows}
    for reason in QUARANTINED:
        assert table["books", "events", reason][7] == "1"
        assert f"  {reason}: " in result.output
    assert table["films", "events", "unparsable"][7:11] == ["1", "│", "33.3", "%"]
    assert "books.csv:9 (books, window 2026-01-01) bad_time\n    u1,b1,yesterday,view," in result.output


@pytest.mark.slow
def test_show_takes_some_of_each_reason_and_says_what_it_left_out(judged: World) -> None:
    result = quarantine(judged, "show", "--limit", "2")
    assert result.output.count("books.csv:") == 2
    assert "9 more" in result.output
    assert "--out rejected.csv" in result.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "filters",
    [
        ("--domain", "films", "--reason", "bot"),
        ("--window", "2026-01-02..2026-01-02"),
        ("--kind", "users"),
    ],
    ids=" ".join,
)
def test_show_says_that_nothing_is_there(judged: World, filters) -> None:
    with Warehouse().write() as connection:
        connection.execute("delete from raw.events where window_start = '2026-01-02'")
        connection.execute("delete from intermediate.int_event_verdicts where window_start = '2026-01-02'")
    result = quarantine(judged, "show", *filters)
    assert result.exit_code == 0, result.output
    assert result.output == "no line is in quarantine for what was asked; leave an option out to see more\n"


@pytest.mark.parametrize("command", ["show", "export", "replay"])
@pytest.mark.parametrize(
    ("filters", "says"),
    [
        (("--domain", "music"), "there are: books, films"),
        (("--reason", "ugly"), "there are: unparsable, unknown_domain, missing_user"),
        (("--window", "January"), "expected a day"),
        (("--window", "2026-01-02..2026-01-01"), "lies before the first"),
    ],
    ids=["domain", "reason", "no day", "wrong order"],
)
def test_what_cannot_be_asked_is_named(world: World, command, filters, says) -> None:
    out = ("--out", "f.csv") if command == "export" else ()
    result = quarantine(world, command, *filters, *out)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert says in result.output


def test_without_a_warehouse_it_says_what_to_run(world: World) -> None:
    result = quarantine(world, "show")
    assert result.exit_code == 1
    assert "does not exist yet" in result.output


def test_lines_that_were_loaded_but_not_judged(world: World) -> None:
    world.load()
    result = quarantine(world, "show")
    assert result.exit_code == 1
    assert "no line has been judged yet; `landbridge run`" in result.output


def test_the_home_of_another_configuration_is_refused(world: World, tmp_path: Path) -> None:
    quarantine(world, "show")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(world.document))
    other = ["--config", str(tmp_path / "other.yaml"), "--home", str(world.home)]
    result = CliRunner().invoke(main, ["quarantine", "replay", *other])
    assert result.exit_code == 1
    assert "its own --home" in result.output


def read_back(path: Path) -> list[dict[str, str]]:
    """The rows of an exported file, every value as text, '' for null."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_export_holds_every_row_and_column(judged: World, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"rejected.{suffix}"
    result = quarantine(judged, "export", "--out", out)
    assert result.output == f"{out}: {sum(QUARANTINED.values())} rejected lines\n"
    expected = judged.rows(
        f"select {', '.join(COLUMNS)} from marts.quarantine "
        "order by domain, kind, window_start, source_file, source_line"
    )
    assert read_back(out) == [
        {name: "" if value is None else str(value) for name, value in zip(COLUMNS, row, strict=True)}
        for row in expected
    ]


@pytest.mark.slow
def test_export_refuses_an_unknown_suffix_and_leaves_the_file(judged: World, tmp_path: Path) -> None:
    (tmp_path / "rejected.xlsx").write_text("mine")
    result = quarantine(judged, "export", "--out", tmp_path / "rejected.xlsx", "--reason", "bad_time")
    assert result.exit_code == 1
    assert ".csv, .jsonl, .parquet" in result.output
    assert (tmp_path / "rejected.xlsx").read_text() == "mine"


def test_a_log_does_not_steer_the_terminal() -> None:
    assert printable("a\x1b[31m\nü\t\u202e") == "a\\x1b[31m\\nü\\t\\u202e"


def test_the_sum_of_a_replay_in_words() -> None:
    outcomes = [Outcome("bad_time", "kept", 300), Outcome("bad_time", "bad_time", 12)]
    assert in_words(outcomes) == (
        "312 lines replayed (bad_time 312): 300 kept now, 12 still rejected (bad_time 12)"
    )
    moved = [Outcome("bad_time", LEFT_OUT, 2), Outcome("bot", "kept", 1_000)]
    assert in_words(moved) == (
        "1,002 lines replayed (bot 1,000, bad_time 2): 1,000 kept now, 2 left out by `where`, none rejected"
    )


def test_every_reason_of_the_models_has_advice_in_their_order() -> None:
    schema = yaml.safe_load((REPOSITORY / "dbt_project/models/intermediate/intermediate.yml").read_text())
    (model,) = [model for model in schema["models"] if model["name"] == "int_event_verdicts"]
    (column,) = [column for column in model["columns"] if column["name"] == "reason"]
    (accepted,) = [test["accepted_values"] for test in column["data_tests"] if "accepted_values" in test]
    assert accepted["arguments"]["values"] == list(ADVICE)


@pytest.mark.slow
def test_a_corrected_mapping_is_replayed_as_a_dagster_run(judged: World) -> None:
    judged.document["domains"]["books"]["event_weights"]["stare"] = 2
    done = landbridge(judged, "quarantine", "replay", "--reason", "unknown_event")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 line replayed (unknown_event 1): 1 kept now, none rejected" in done.stdout
    assert judged.rows("select weight from marts.fct_interactions where event_types = 'stare'") == [(2.0,)]
    assert judged.rows("select count(*) from marts.quarantine where reason = 'unknown_event'") == [(0,)]
    runs = judged.python(
        "import dagster as dg, os\n"
        "instance = dg.DagsterInstance.from_config(os.environ['LANDBRIDGE_HOME'] + '/dagster')\n"
        "with instance: print([run.status.value for run in instance.get_runs()])"
    )
    assert runs.stdout.strip() == "['SUCCESS']"


@pytest.mark.slow
def test_a_replay_that_failed_is_completed_by_the_next_whatever_that_selects(judged: World) -> None:
    judged.document["domains"]["books"]["event_weights"]["stare"] = 2
    judged.document["identity"] = {"map": "people.csv"}
    failed = landbridge(judged, "quarantine", "replay", "--reason", "unknown_event")
    assert failed.returncode == 1
    assert "What next: put that right and give the same command again" in failed.stdout
    assert judged.rows("select count(*) from marts.quarantine where reason = 'unknown_event'") == [(1,)]

    del judged.document["identity"]
    done = landbridge(judged, "quarantine", "replay", "--reason", "bot")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "an earlier replay was interrupted; completing it first" in done.stdout
    assert "1 line replayed (unknown_event 1): 1 kept now" in done.stdout
    assert "nothing to replay" in done.stdout
    assert judged.rows("select count(*) from marts.quarantine where reason = 'unknown_event'") == [(0,)]
    assert judged.rows("from raw.replay_pending") == []
