"""The rules that the dbt project keeps: all is described, marts are typed, rules are tested, SQL is short."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.resources.dbt import PROJECT, dbt_project

pytestmark = pytest.mark.slow
SQL = sorted(PROJECT.glob("*/**/*.sql"))
CONFIGURATIONS = [PROJECT.parent / "landbridge.yaml", *sorted((PROJECT.parent / "examples").glob("*.yaml"))]
# Rules decide which lines count; the others only join or count what was decided.
RULES = re.compile(r"^int_.*(verdicts|duplicates|bot_days|excluded|matches|shared_items)")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDBRIDGE_HOME", str(tmp_path_factory.mktemp("home")))
        return json.loads(dbt_project().manifest_path.read_text())


@pytest.fixture(scope="module")
def models(manifest) -> list[dict[str, Any]]:
    return [n for n in manifest["nodes"].values() if n["resource_type"] in ("model", "snapshot")]


def test_every_model_says_its_grain(models) -> None:
    assert len(models) > 20
    assert [model["name"] for model in models if "One row per" not in model["description"]] == []


def test_every_source_and_each_of_its_columns_is_described(manifest) -> None:
    sources = manifest["sources"].values()
    assert [s["name"] for s in sources if not s["description"]] == []
    assert [s["name"] for s in sources if "One row per" not in s["description"]] == []
    assert [s["name"] for s in sources if not s["columns"]] == []
    columns = [(s["name"], name, c) for s in sources for name, c in s["columns"].items()]
    assert [(table, name) for table, name, column in columns if not column["description"]] == []


def test_every_column_of_a_mart_is_described_and_typed(models) -> None:
    marts = [model for model in models if model["schema"] == "marts"]
    columns = [(m["name"], name, column) for m in marts for name, column in m["columns"].items()]
    assert len(columns) > 60
    assert [(mart, name) for mart, name, column in columns if not column["description"]] == []
    assert [(mart, name) for mart, name, column in columns if not column["data_type"]] == []
    untyped = [m["name"] for m in marts if m["resource_type"] == "model" and not m["contract"]["enforced"]]
    assert untyped == []


def test_every_mart_has_a_test_of_its_grain(manifest, models) -> None:
    grains = ("unique_combination", "unique", "accounts_for_every_row")
    tests = [n for n in manifest["nodes"].values() if n["resource_type"] == "test"]
    tested = {t["attached_node"] for t in tests if (t.get("test_metadata") or {}).get("name") in grains}
    assert [m["name"] for m in models if m["schema"] == "marts" and m["unique_id"] not in tested] == []


def test_every_rule_has_a_unit_test(manifest, models) -> None:
    tested = {unit["model"] for unit in manifest["unit_tests"].values()}
    rules = [m["name"] for m in models if RULES.match(m["name"])]
    assert len(rules) >= 8
    assert [rule for rule in rules if rule not in tested] == []


def test_every_exposure_has_an_owner_and_knows_what_it_reads(manifest) -> None:
    exposures = manifest["exposures"].values()
    assert len(exposures) == 4
    for exposure in exposures:
        told = [exposure[key] for key in ("description", "maturity", "owner", "depends_on")]
        assert all(told), exposure["name"]
        assert exposure["owner"]["name"]
        assert exposure["depends_on"]["nodes"]


@pytest.mark.parametrize("path", SQL, ids=lambda path: path.stem)
def test_sql_is_short_and_knows_no_domain_by_name(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 80
    domains = {name for file in CONFIGURATIONS for name in yaml.safe_load(file.read_text())["domains"]}
    assert len(domains) > 4
    assert [name for name in domains if re.search(rf"'{re.escape(name)}'", text)] == []
