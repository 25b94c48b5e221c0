"""The search: the same trials again, a planted setting found, failures counted, trials as runs in MLflow."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest
from mlflow import MlflowClient
from transfer_case import AS_OF, TARGET, write_world

from ml.bridge import Training
from ml.bridge.protocol import Protocol
from ml.bridge.select import choose as choosing
from ml.bridge.select.search_space import OneOf, Range
from ml.demo.tiny_world import DAY, snapshot
from orchestration.config import Home
from orchestration.defs.transfer import bridge
from orchestration.pages import markdown_table
from orchestration.partitions import CONFIG
from orchestration.resources.search_runs import runs_of
from orchestration.search import best, candidates, in_short, search, study, trials_table
from orchestration.search_config import Search

TWO = {
    "union_als": {"rank": Range(4, 8, whole=True), "alpha": OneOf((5.0,)), "regularisation": OneOf((5.0,))},
    "ease": {"ridge": OneOf((-1.0,))},  # which is without meaning
}


@pytest.fixture(autouse=True)
def _few_users(monkeypatch):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 10)


def protocol(seed: int = 1) -> Protocol:
    return Protocol(snapshot(seed, users=220), "books", ("films",), 0.4, 12 * DAY, 0, "cpu")


def facts(trials):
    return [(t.number, t.name, t.settings, t.worth and t.worth.values, t.fault) for t in trials]


def test_the_same_data_and_seed_give_the_same_trials():
    said, found = [], []
    for _ in range(2):
        one = search(protocol(), Search(trials=3), 5, lambda _: nullcontext(lambda trial: None), said.append)
        assert set(one) == {"cold", "time"}
        found.append({scenario: facts(trials) for scenario, trials in one.items()})
    assert found[0] == found[1]
    assert len(found[0]["cold"]) == 3
    assert "3 trials, 0 failed" in said[0]


def test_a_planted_setting_becomes_a_candidate():
    """One of two strengths is right for the world: the search finds it and hands it on as a candidate."""
    split = protocol().cold("choose")
    families = {
        "union_als": {
            "rank": OneOf((6,)),
            "alpha": OneOf((5.0,)),
            "regularisation": OneOf((5.0, 100_000.0)),
        }
    }
    trials = study(split, families, Search(trials=6), 5)
    assert {t.name for t in trials} == {"union_als:f6-a5-l5", "union_als:f6-a5-l100000"}
    right = {"rank": 6, "alpha": 5.0, "regularisation": 5.0}
    assert candidates({"cold": trials}, 2) == {"cold": [("union_als:f6-a5-l5", right)]}


def test_a_trial_that_fails_is_counted_and_the_search_goes_on():
    trials = study(protocol().cold("choose"), TWO, Search(trials=8), 5)
    failed = [t for t in trials if t.worth is None]
    assert failed
    assert all("EASE with ridge -1.0" in t.fault for t in failed)
    assert [t.family for t in best(trials, 5)] == ["union_als"]
    assert f"8 trials, {len(failed)} failed" in in_short(trials, 2)
    table = trials_table(trials)
    assert table.header == ["settings", "trial", "value, cold", "ndcg, cold", "seconds"]
    assert len({row[0] for row in table.rows}) == len(table.rows)
    values = [float(row[2]) for row in table.rows]
    assert values == sorted(values, reverse=True)
    assert all(name in markdown_table(table) for name in {t.name for t in trials if t.worth})


def test_a_search_in_which_all_fails_finds_nothing():
    trials = study(protocol().cold("choose"), {"ease": TWO["ease"]}, Search(trials=2), 5)
    assert candidates({"cold": trials}, 2) == {"cold": []}
    assert in_short(trials, 2) == "2 trials, 2 failed, 0 s; tried in training: nothing"
    assert trials_table(trials).rows == []


def test_a_spent_budget_ends_the_search_after_one_trial():
    assert len(study(protocol().cold("choose"), TWO, Search(trials=50, seconds=1e-9), 5)) == 1


def test_of_a_family_one_trial_is_kept():
    trials = study(protocol().cold("choose"), {"union_als": TWO["union_als"]}, Search(trials=6), 5)
    kept = best(trials, 5)
    assert len(kept) == 1
    assert kept[0].value == max(t.value for t in trials)


def test_nobody_to_ask_makes_no_trial(monkeypatch):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 10_000)
    said = []
    assert search(protocol(), Search(trials=3), 5, nullcontext, said.append) == {}
    assert said == ["books: nothing to search (cold)", "books: nothing to search (time)"]


def test_without_optuna_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install optuna==5\.0\.0"):
        study(protocol().cold("choose"), TWO, Search(trials=1), 5)


@pytest.mark.slow
def test_nothing_imports_optuna_before_a_search():
    """It was loaded in this process by the tests above: a fresh one tells."""
    code = "import sys, orchestration.search, orchestration.config; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One home: creating MLflow's database takes seconds."""
    return Home(tmp_path_factory.mktemp("home"))


def runs(home: Home, experiment: str) -> tuple[dict, list]:
    """The searches by scenario, and their trials."""
    client = MlflowClient(home.tracking_uri, home.tracking_uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    parents = {r.info.run_name: r for r in found if r.data.tags["landbridge.kind"] == "search"}
    return parents, [r for r in found if r.data.tags["landbridge.kind"] == "trial"]


@pytest.mark.slow
def test_every_trial_is_a_nested_run_and_a_second_search_replaces_the_first(home):
    for trials in (4, 3):
        logged = runs_of(home, "landbridge-books", "2026-03-01", {"trials": trials, "seed": 0}, 5)
        with logged("cold") as log:
            made = study(protocol().cold("choose"), TWO, Search(trials=trials), 5, log)
    parents, nested = runs(home, "landbridge-books")
    parent = parents["search cold"]
    assert parent.data.params == {"as_of": "2026-03-01", "trials": "3", "seed": "0"}
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_value"] == pytest.approx(best(made, 1)[0].value)
    assert {r.data.tags["mlflow.parentRunId"] for r in nested} == {parent.info.run_id}
    assert sorted(r.info.run_name for r in nested) == sorted(t.name for t in made)
    whole = next(r for r in nested if r.data.params["family"] == "union_als")
    assert {"value", "value_cold", "ndcg_at_5_cold", "users_cold", "seconds"} == set(whole.data.metrics)
    for run in nested:
        failed = run.data.params["family"] == "ease"
        assert (run.info.status == "FAILED", "fault" in run.data.tags) == (failed, failed)


@pytest.mark.slow
def test_the_asset_searches_logs_and_trains_with_what_was_found(home, monkeypatch):
    monkeypatch.setenv("LANDBRIDGE_HOME", str(home.root))
    changed = CONFIG.model_copy(update={"search": Search(trials=2, keep=1)})
    monkeypatch.setattr("orchestration.defs.transfer.CONFIG", changed)
    write_world(home, items=40)
    before = {dep for deps in bridge.asset_deps.values() for dep in deps}
    result = dg.materialize(
        [bridge, *(dg.AssetSpec(key) for key in before)],
        selection=[bridge],
        partition_key=dg.MultiPartitionKey({"target": TARGET, "as_of": AS_OF}),
    )
    metadata = result.asset_materializations_for_node("bridge")[0].metadata
    assert "2 trials" in metadata["search_cold"].value
    training = Training.load(home.models / AS_OF / TARGET)
    found = training.selection["train_settings"]["found"]
    assert found
    for scenario, kept in found.items():
        assert len(kept) == 1
        assert kept[0][0] in metadata[f"search_{scenario}"].value
    parents, nested = runs(home, f"landbridge-{TARGET}")
    assert set(parents) == {f"search {scenario}" for scenario in found}
    assert len(nested) == 2 * len(found)
    assert json.loads(parents["search cold"].data.params["trials"]) == 2
