"""The command line where no run is needed: help, faults, the doctor, user files, missing champions."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result

from orchestration.cli import main
from orchestration.commands.doctor import check_home, check_packages, check_port, locked_versions
from orchestration.commands.recommend import read_user_ids
from orchestration.config import Home

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Everything below one temporary folder; monkeypatch puts back what a command sets in the environment."""
    for name in ("LANDBRIDGE_CONFIG", "DAGSTER_HOME", "HF_HUB_OFFLINE", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("LANDBRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def landbridge(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def shop(tmp_path) -> Path:
    """A configuration of one domain with its two files."""
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu1,i1,1704067200\n")
    (tmp_path / "items.jsonl").write_text('{"item_id": "i1", "title": "a kettle"}\n')
    document = {
        "calendar": {"grain": "month", "start": "2024-01-01", "end": "2024-03-01"},
        "domains": {
            "shop": {
                "events": {
                    "path": "events.csv",
                    "format": "csv",
                    "columns": {"user": "user_id", "item": "item_id", "time": "timestamp"},
                    "time_unit": "s",
                },
                "items": {
                    "path": "items.jsonl",
                    "format": "jsonl",
                    "columns": {"item": "item_id", "text": ["title"]},
                },
            }
        },
    }
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def commands(group=main, path=()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in getattr(group, "commands", {}).items():
        found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_explains_itself(path):
    result = landbridge(*path, "--help")
    assert result.exit_code == 0
    described = [line.strip() for line in result.output.splitlines()[1:] if line.strip()]
    assert described[0] != "Options:", "no sentence on what it does"


def test_commands_of_the_design_exist():
    assert {"run", "ui", "recommend", "review", "doctor", "config"} <= set(main.commands)


def test_the_command_starts_without_dagster_torch_and_mlflow():
    script = "import sys, orchestration.cli; print({'dagster', 'torch', 'mlflow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_config_check_names_what_is_in_order(shop):
    result = landbridge("config", "check", shop)
    assert result.exit_code == 0, result.output
    assert "in order; domains: shop" in result.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(calender={}), "calender: unknown key"),
        (lambda d: d["domains"]["shop"]["events"].update(path="none.csv"), "domains.shop.events.path"),
        (lambda d: d["domains"]["shop"]["events"]["columns"].update(user="uid"), "no column 'uid'"),
        (lambda d: d["domains"]["shop"]["items"].update(path="${NO_LAKE}/i.jsonl"), "NO_LAKE is not set"),
    ],
    ids=["wrong key", "missing file", "missing column", "missing variable"],
)
@pytest.mark.parametrize("command", [("config", "check"), ("run",)], ids=" ".join)
def test_faults_are_lines_without_traceback(shop, change, says, command):
    document = yaml.safe_load(shop.read_text())
    change(document)
    shop.write_text(yaml.safe_dump(document))
    result = landbridge(*command, "--config", shop)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    lines = result.output.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(str(shop))
    assert says in lines[0]


def test_one_home_belongs_to_one_configuration(shop, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(shop.read_text())
    assert "no champion" in landbridge(*_recommend(tmp_path, shop, "u1")).output
    result = landbridge(*_recommend(tmp_path, other, "u1"))
    assert result.exit_code == 1
    assert "its own --home" in result.output


def _recommend(folder: Path, config: Path, users: str, target: str = "shop") -> list[str | Path]:
    (folder / "users.txt").write_text(users)
    arguments = ["--target", target, "--users", folder / "users.txt", "--out", folder / "lists.parquet"]
    return ["recommend", "--config", config, *arguments]


def test_recommend_without_a_champion_says_to_run(shop, tmp_path):
    result = landbridge(*_recommend(tmp_path, shop, "u1\n"))
    assert result.exit_code == 1
    assert "landbridge run" in result.output
    assert not (tmp_path / "lists.parquet").exists()


def test_recommend_for_an_unknown_target_names_those_there_are(shop, tmp_path):
    result = landbridge(*_recommend(tmp_path, shop, "u1\n", target="music"))
    assert result.exit_code == 1
    assert "'music'" in result.output
    assert "shop" in result.output


def test_recommend_for_nobody_is_an_error(shop, tmp_path):
    result = landbridge(*_recommend(tmp_path, shop, "\n \n"))
    assert result.exit_code == 1
    assert "names no user" in result.output


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("users.txt", "u1\n u2 \n\nu1\n"),
        ("users.csv", "age,user_id\n3,u1\n4,u2\n"),
        ("users", '\ufeff"user_id","age"\r\n"u1",3\r\n"u2",\r\n'),
        ("users.csv", "user_id\nu1\nu2\nu1\n"),
    ],
    ids=["lines", "csv", "quoted, byte order mark, no suffix", "one column"],
)
def test_user_ids_of_text_files(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_user_ids(tmp_path / name) == ["u1", "u2"]


def test_user_ids_of_a_parquet_file(tmp_path):
    pq.write_table(pa.table({"user_id": [7, None, 9]}), tmp_path / "users.parquet")
    assert read_user_ids(tmp_path / "users.parquet") == ["7", "9"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("u.csv", b"id\nu1\n", "no column user_id; it has: id"),
        ("u.parquet", b"not parquet", "not a Parquet file"),
        ("u.txt", b"\xff\xfe\x00", "neither UTF-8"),
    ],
)
def test_user_files_that_cannot_be_read(tmp_path, name, content, says):
    import click

    (tmp_path / name).write_bytes(content)
    with pytest.raises(click.ClickException, match=says):
        read_user_ids(tmp_path / name)


def test_review_before_any_run_says_to_run():
    result = landbridge("review", "list")
    assert result.exit_code == 1
    assert "landbridge run" in result.output


def test_doctor_reports_every_check(shop):
    result = landbridge("doctor", "--config", shop)
    assert result.exit_code == 0, result.output
    for check in ("python", "packages", "device", "encoder", "config", "home", "port 3000", "port 5000"):
        assert check in result.output


def test_doctor_fails_on_a_bad_configuration(shop):
    shop.write_text("calendar: 1")
    result = landbridge("doctor", "--config", shop)
    assert result.exit_code == 1
    assert "fail" in result.output


def test_doctor_sees_a_port_in_use():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert check_port("MLflow", port).level == "warn"
        assert "--mlflow-port" in check_port("MLflow", port).advice
    assert check_port("MLflow", port).level == "ok"


def test_doctor_compares_versions_with_the_lock(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"pytest=={pytest.__version__}\n")
    assert check_packages(lock).level == "ok"
    lock.write_text("pytest==0.1\n")
    assert check_packages(lock).level == "warn"
    lock.write_text("no-such-package==1.0\n")
    assert check_packages(lock).level == "fail"


def test_doctor_wants_a_home_it_can_write(tmp_path):
    (tmp_path / "file").write_text("")
    assert check_home(Home(tmp_path / "new" / "home")).level == "ok"
    assert check_home(Home(tmp_path / "file" / "home")).level == "fail"


def test_lock_holds_no_machine():
    text = (ROOT / "requirements.lock").read_text()
    assert all("+" not in version for version in locked_versions(ROOT / "requirements.lock").values())
    assert "--" not in text
    assert "file:" not in text
    assert "/" not in text
