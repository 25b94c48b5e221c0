"""The gate on real versions: what it says becomes tags, a card and a decision; a broken model fails."""

import json
import shutil
from dataclasses import replace

import pytest
from registry_case import evidence

from ml.metrics.gate import Against, Rules
from orchestration.config import Home
from orchestration.resources import gatekeeper
from orchestration.resources.clean_process import some_users, tried
from orchestration.resources.decisions import Decisions
from orchestration.resources.gatekeeper import Judged, local
from orchestration.resources.registry import Registry
from orchestration.review.gating import CONDITIONS, GateCase, check_results, check_specs, in_words

pytestmark = pytest.mark.slow  # a version is tried in a Python of its own

ENABLED = GateCase("enabled")
HIGH = Rules(margin_twin=0.5)  # no version of these tests gains so much


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return Registry(Home(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def passed(registry):
    return registry.register(replace(evidence(registry.home, "held"), gate=ENABLED))


def again(registry, target, mode="auto", case=ENABLED, **facts):
    """Register the same content under another gate, and let the mode decide."""
    version = registry.register(replace(evidence(registry.home, target, **facts), gate=case))
    return version, registry.promote(version, target, mode)


def decisions(registry, target):
    return [(row.decision, row.note) for row in registry.log.rows(f"landbridge-{target}")]


def test_a_version_that_holds_up_says_so_everywhere(registry, passed):
    said = {name: passed.tags[name] for name in ("gate", "validation_status", "gate_failed")}
    assert said == {"gate": "enabled", "validation_status": "passed", "gate_failed": "none"}
    verdict = registry.verdict(passed)
    assert [condition.name for condition in verdict.conditions] == [*CONDITIONS]
    assert "12 users it knows and for one it does not know" in verdict.conditions[-1].words
    assert "no champion yet" in passed.description
    assert in_words("enabled", verdict) == verdict.words
    assert in_words("disabled", verdict) == "The gate is disabled: nothing was judged."


def test_every_condition_is_a_check_that_warns_on_a_dry_run_and_is_none_where_disabled(registry, passed):
    verdict = registry.verdict(passed)
    severities = {
        mode: {r.severity.value for r in check_results(mode, verdict)} for mode in ("enabled", "dry_run")
    }
    assert severities == {"enabled": {"ERROR"}, "dry_run": {"WARN"}}
    names = [spec.name for spec in check_specs("enabled", "model_version")]
    assert names == [result.check_name for result in check_results("enabled", verdict)] == [*CONDITIONS]
    assert check_specs("disabled", "model_version") == check_results("disabled", verdict) == []


@pytest.fixture
def no_trial(registry, passed, monkeypatch):
    """A trial takes seconds: that of the first version stands for every further one; how many were asked."""
    trial, asked = Judged.read(registry.client, passed.run_id).trial, []
    monkeypatch.setattr(gatekeeper, "tried", lambda *facts: asked.append(facts) or trial)
    return asked


def test_a_refused_version_gets_no_alias_in_any_mode_until_it_is_judged_anew(registry, no_trial):
    for mode in ("off", "manual", "auto"):
        version, decision = again(registry, "modes", mode, replace(ENABLED, rules=HIGH))
        assert (decision, registry.aliases("modes")) == ("refused", {})
    assert (version.tags["validation_status"], version.tags["gate_failed"]) == ("failed", "over_twin")
    assert decisions(registry, "modes") == [("refused", "failed: over_twin")]
    assert "is below +0.5000" in version.description
    version, decision = again(registry, "modes", "manual")
    assert (decision, registry.aliases("modes")) == ("queued", {"challenger": 1})
    assert (int(version.version), version.tags["validation_status"]) == (1, "passed")
    assert "the lower bound is not below 0." in version.description
    stale = replace(ENABLED, champion=Against("changed", "Version 7 is champion now; evaluate again."))
    _, decision = again(registry, "modes", "manual", stale)
    assert (decision, registry.aliases("modes")) == ("refused", {})  # it waits for a review no longer
    assert again(registry, "modes", "auto")[1] == "promoted"
    version, decision = again(registry, "modes", "auto", stale)
    assert (decision, version.tags["validation_status"]) == ("promoted", "passed")  # what users get stays
    assert registry.aliases("modes") == {"champion": 1}
    assert len(no_trial) == 1  # one version, one trial, however often it is judged


def test_a_later_version_that_passes_after_all_waits_though_a_person_chose_the_champion(registry, no_trial):
    again(registry, "later", "manual")
    Decisions(registry).approve("later", 1, "Mira", "the first")
    assert again(registry, "later", "manual", replace(ENABLED, rules=HIGH), seed=1)[1] == "refused"
    version, decision = again(registry, "later", "manual", seed=1)
    assert (int(version.version), decision) == (2, "queued")
    assert registry.aliases("later") == {"champion": 1, "challenger": 2}
    Decisions(registry).approve("later", 2, "Mira", "the second")
    Decisions(registry).rollback("later", "Mira", "complaints")
    assert again(registry, "later", "auto", seed=1)[1] == "approved"  # and nothing moves
    assert registry.aliases("later")["champion"] == 1


def test_judged_anew_after_a_person_chose_it_goes_on_waiting_and_is_not_promoted(registry, no_trial):
    for seed in (0, 1):
        assert again(registry, "chosen", "manual", seed=seed)[1] == "queued"
    Decisions(registry).approve("chosen", 1, "Mira")
    looser = replace(ENABLED, mode="dry_run")
    assert again(registry, "chosen", "manual", looser, seed=1)[1] == "queued"
    assert registry.aliases("chosen") == {"champion": 1, "challenger": 2}
    Decisions(registry).reject("chosen", 2, "Mira")  # its tags are those that were recorded
    assert again(registry, "chosen", "auto", seed=2)[1] == "promoted"
    Decisions(registry).rollback("chosen", "Mira")
    version, decision = again(registry, "chosen", "auto", looser, seed=2)
    assert (int(version.version), decision) == (3, "superseded")
    assert registry.aliases("chosen")["champion"] == 1


def test_a_dry_run_says_failed_and_stops_nobody(registry, no_trial):
    version, decision = again(registry, "dry", case=replace(ENABLED, mode="dry_run", rules=HIGH))
    assert (version.tags["gate"], version.tags["validation_status"]) == ("dry_run", "failed")
    assert (decision, registry.aliases("dry")) == ("promoted", {"champion": 1})
    assert in_words("dry_run", registry.verdict(version)).startswith(
        "The gate is on a dry run and stops nobody."
    )


def test_a_disabled_gate_tries_nothing(registry, no_trial):
    version, decision = again(registry, "disabled", case=GateCase("disabled", HIGH))
    assert (version.tags["gate"], decision) == ("disabled", "promoted")
    assert registry.verdict(version) is None
    assert not no_trial


def test_a_version_broken_on_purpose_does_not_pass_the_clean_process(registry, passed, tmp_path):
    """In this process the model predicts; what its copy of the code lacks is found where it runs alone."""
    broken = shutil.copytree(local(passed.source), tmp_path / "model")
    (broken / "code" / "ml" / "bridge" / "__init__.py").write_text("raise RuntimeError('half a copy')")
    found = tried(broken, ["u00"], 10)
    assert (found.passed, found.milliseconds) == (False, None)
    assert found.words.endswith("the version does not predict: RuntimeError: half a copy")


def test_a_version_without_a_list_for_somebody_does_not_pass(registry, passed, tmp_path):
    folder = shutil.copytree(local(passed.source), tmp_path / "model")
    program = next(folder.glob("pyfunc_model.py"))
    changed = program.read_text().replace(".to_pandas()", ".to_pandas().query(\"user_id != 'u03'\")")
    program.write_text(changed)
    found = tried(folder, some_users(evidence(registry.home, "held").model), 10)
    assert not found.passed
    assert "1 of 13 users get no list of 1 to 10 items, as 'u03'" in found.words


def test_the_verdict_lies_beside_the_card_in_the_run_of_the_version(registry, passed):
    files = {file.path for file in registry.client.list_artifacts(passed.run_id)}
    assert {"gate.json", "review_card.html", "review_card.md", "facts.json"} <= files
    path = registry.client.download_artifacts(passed.run_id, "gate.json")
    with open(path) as file:
        document = json.load(file)
    assert document["passed"]
    assert document["source"] == passed.source
    assert document["trial"]["milliseconds"] > 0
