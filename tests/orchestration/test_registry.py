"""The registry on a real MLflow store and a real warehouse: versions, aliases, decisions and reruns."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from registry_case import evidence, files_below

from orchestration.config import Home
from orchestration.resources.decisions import Decisions
from orchestration.resources.evidence import figures, flatten, folder_digest
from orchestration.resources.mlflow_store import connect
from orchestration.resources.registry import Registry

pytestmark = pytest.mark.slow  # MLflow alone takes seconds to import


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One home for all tests, each with a target of its own: creating MLflow's database takes seconds."""
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def registry(home):
    return Registry(home)


def registered(registry, target, mode="auto", **facts):
    version = registry.register(evidence(registry.home, target, **facts))
    return version, registry.promote(version, target, mode)


def decisions(registry, target):
    return [(row.version, row.decision, row.decided_by) for row in registry.log.rows(f"landbridge-{target}")]


def runs(registry, target):
    experiment = registry.client.get_experiment_by_name(f"landbridge-{target}")
    return {
        run.data.tags["landbridge.kind"]: run
        for run in registry.client.search_runs([experiment.experiment_id])
    }


def artifacts(registry, run):
    return {file.path for file in registry.client.list_artifacts(run.info.run_id)}


def test_a_version_carries_its_card_its_lineage_and_its_evidence(registry):
    version, _ = registered(registry, "card")
    found = runs(registry, "card")
    assert set(found) == {"parent", "bridge", "twin", "popularity"}
    assert version.run_id == found["bridge"].info.run_id
    assert {run.data.tags.get("mlflow.parentRunId") for name, run in found.items() if name != "parent"} == {
        found["parent"].info.run_id
    }
    assert version.description.startswith("Serve the bridge: recall@10 of cold users is +0.3000")
    expected = {
        "served": "bridge",
        "validation_status": "passed",
        "as_of": "2026-03-01",
        "encoder": "minilm-0",
    }
    assert expected.items() <= version.tags.items()
    assert artifacts(registry, found["parent"]) == {
        "facts.json",
        "per_user.parquet",
        "recall_by_cohort.png",
        "review_card.html",
        "review_card.md",
        "selection.json",
    }
    assert found["parent"].inputs.dataset_inputs[0].dataset.digest == "ab" * 8


def test_metrics_are_named_for_mlflow_and_are_those_of_the_report(registry):
    case = evidence(registry.home, "metrics")
    registry.register(case)
    found = runs(registry, "metrics")
    bridge = found["bridge"].data.metrics
    assert bridge["recall_at_10_cold"] == pytest.approx(0.5)
    assert bridge["recall_at_10_cold_ci_low"] <= 0.5 <= bridge["recall_at_10_cold_ci_high"]
    assert found["parent"].data.metrics["lift_recall_at_10_cold"] == pytest.approx(0.3)
    assert bridge["users_cold"] == 150
    assert found["twin"].data.metrics == figures(case.report, 10, "twin")
    assert not any("@" in name or value != value for name, value in bridge.items())


def test_every_peer_has_a_run_of_its_own_and_is_no_candidate_for_serving(registry):
    case = evidence(registry.home, "peers", peers=("ease", "ease_union"))
    version = registry.register(case)
    found = runs(registry, "peers")
    assert set(found) == {"parent", "bridge", "twin", "popularity", "ease", "ease_union"}
    assert found["ease_union"].data.tags["mlflow.parentRunId"] == found["parent"].info.run_id
    assert found["ease_union"].data.metrics == figures(case.report, 10, "ease_union")
    assert found["ease_union"].data.metrics["recall_at_10_cold"] == pytest.approx(0.3)
    assert found["ease_union"].data.params["scorer.cold"] == "ease_union:first"
    assert version.run_id == found["bridge"].info.run_id
    assert "★ .3000" in version.description
    assert registry.register(case).version == version.version
    assert {n: r.info.run_id for n, r in runs(registry, "peers").items()} == {
        n: r.info.run_id for n, r in found.items()
    }


def test_the_same_run_twice_is_one_version_and_one_decision(registry):
    first, _ = registered(registry, "twice")
    before = {name: run.info.run_id for name, run in runs(registry, "twice").items()}
    second, decision = registered(registry, "twice")
    assert (second.version, decision) == (first.version, "promoted")
    assert {name: run.info.run_id for name, run in runs(registry, "twice").items()} == before
    assert decisions(registry, "twice") == [(1, "promoted", "gate")]
    experiment = registry.client.get_experiment_by_name("landbridge-twice").experiment_id
    assert len(registry.client.search_logged_models([experiment])) == 1


def test_another_model_for_the_same_as_of_is_another_version(registry):
    registered(registry, "changed")
    version, decision = registered(registry, "changed", seed=1, gain=4)
    assert (int(version.version), decision) == (2, "promoted")
    assert int(registry.champion("changed").version) == 2
    source = registry.client.get_run(registry.version("changed", 1).run_id)
    assert source.info.lifecycle_stage == "active"  # the first version keeps the run it came from


def test_a_killed_registration_is_completed_and_leaves_nothing(registry):
    case = evidence(registry.home, "killed")
    version = registry.register(case)
    # Killed after the model was logged and before it was registered, with the runs cut short as well.
    registry.client.delete_model_version(version.name, version.version)
    parent = runs(registry, "killed")["parent"].info.run_id
    registry.client.update_run(parent, status="RUNNING")
    again = registry.register(case)
    assert registry.promote(again, "killed", "auto") == "promoted"
    experiment = registry.client.get_experiment_by_name("landbridge-killed").experiment_id
    assert len(registry.client.search_runs([experiment])) == 4
    models = registry.client.search_logged_models([experiment])
    assert [model.artifact_location for model in models] == [again.source]


def test_a_killed_promotion_is_completed(registry):
    version = registry.register(evidence(registry.home, "halfway"))
    registry.client.set_registered_model_alias(version.name, "champion", version.version)  # killed right here
    assert registry.promote(version, "halfway", "auto") == "promoted"
    assert decisions(registry, "halfway") == [(1, "promoted", "gate")]


def test_the_past_moves_no_alias(registry):
    registered(registry, "past")
    version, decision = registered(registry, "past", as_of="2026-02-01")
    assert decision == "superseded"
    assert int(registry.champion("past").version) == 1 != int(version.version)


def test_manual_mode_waits_for_a_person_and_off_for_nobody(registry):
    _, queued = registered(registry, "manual", mode="manual")
    assert queued == "queued"
    assert registry.champion("manual") is None
    assert registry.aliases("manual") == {"challenger": 1}
    assert registry.review_list("manual")[0]["review"] == "pending"
    _, decision = registered(registry, "off", mode="off")
    assert decision == "registered"
    assert registry.aliases("off") == {}


def test_a_rerun_does_not_undo_a_rollback(registry):
    registered(registry, "rollback")
    registered(registry, "rollback", seed=1, gain=4)
    Decisions(registry).approve("rollback", 1, "anna")
    _, decision = registered(registry, "rollback", seed=1, gain=4)
    assert decision == "promoted"  # what was decided about version 2, not what is done now
    assert int(registry.champion("rollback").version) == 1


def test_a_fallback_is_registered_as_what_it_is(registry):
    version, _ = registered(registry, "fallback", gain=0)
    assert (version.tags["served"], version.tags["validation_status"]) == ("popularity", "failed")
    assert registry.load(version).settings["candidate"] == "popularity"


def test_everything_lies_below_the_home_and_nothing_is_pickled(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    version, _ = registered(registry, "places")
    assert files_below(tmp_path) == set()
    folder = Path(version.source.removeprefix("file://"))
    assert folder.is_relative_to(registry.home.mlflow / "artifacts" / "landbridge-places")
    names = files_below(folder)
    assert {
        "pyfunc_model.py",
        "code/ml/bridge/serve/recommender.py",
        "artifacts/bridge/weights.safetensors",
    } <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib", ".pyc"))]
    pinned = (folder / "requirements.txt").read_text().split()
    assert all("==" in line and "+" not in line for line in pinned)


CLEAN_PROCESS = """
import sys, json
assert not any("orchestration" in name or name == "ml" for name in sys.modules)
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/landbridge-clean@champion")
out = model.predict(pd.DataFrame({"user_id": ["u00", "stranger"]}), params={"k": 4})
import ml
rows, ours = out.to_dict("records"), "orchestration" in sys.modules
print(json.dumps({"rows": rows, "ml": ml.__file__, "orchestration": ours}))
"""


def test_a_version_predicts_in_a_process_that_has_never_seen_this_repository(registry, tmp_path):
    version, _ = registered(registry, "clean")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", CLEAN_PROCESS, registry.home.tracking_uri],
        cwd=tmp_path,
        env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["ml"].startswith(version.source.removeprefix("file://"))
    assert not found["orchestration"]
    rows = found["rows"]
    assert [(row["user_id"], row["rank"]) for row in rows] == [
        (user, rank) for user in ("u00", "stranger") for rank in (1, 2, 3, 4)
    ]
    expected = registry.load(version).recommend(["u00", "stranger"], k=4).to_pylist()
    assert [row["item_id"] for row in rows] == [row["item_id"] for row in expected]
    assert "unknown user" in rows[-1]["reason"]


def test_parallel_steps_create_the_store_once(tmp_path):
    # Not a multiprocessing.Pool: leaving one terminates its processes, and MLflow's threads can hang on that.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(connect_and_count, [str(tmp_path)] * 2)) == [1, 1]


def connect_and_count(root):
    return len(connect(Home(Path(root))).search_experiments())


def test_nested_settings_become_flat_params():
    tree = {"a": {"b": {"c": 1.5}, "d": [1, 2]}, "e": "text", "f": None}
    assert flatten(tree) == {"a.b.c": "1.5", "a.d": "[1, 2]", "e": "text", "f": "null"}


def test_a_folder_digest_sees_names_contents_and_nothing_else(tmp_path):
    def digest(**files):
        for path in tmp_path.iterdir():
            path.unlink()
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return folder_digest(tmp_path)

    assert digest(a="1", b="2") == digest(b="2", a="1")
    assert (
        len({digest(a="1", b="2"), digest(a="2", b="1"), digest(a="12", b=""), digest(a="1"), digest()}) == 5
    )
