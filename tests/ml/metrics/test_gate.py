"""The gate on cases worked by hand: who is served, and what keeps a version from becoming champion."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ml.bridge.lists import LISTS_SCHEMA
from ml.metrics.gate import Against, Decision, Rules, Trial, Verdict, certainly, decide, judge
from ml.metrics.report import BeyondRow, LiftRow, Report, evaluate

NOBODY = pa.table({"user_id": pa.array([], pa.string())})
NONE, COMPARED = Against("none", "There is no champion yet."), Against("compared", "It is version 3.")
WORKS = Trial(True, "It loads.", 4.0)


def lift(cohort, mean, of="bridge", over="twin", q=0.01, width=0.01):
    return LiftRow(cohort, "recall", mean, mean - width, mean + width, 200, of, over, q=q)


def measured(*rows: LiftRow) -> Report:
    """A report of nothing but lifts, with lists that show 12 % of the catalogue."""
    lifts = [row for row in rows if (row.of, row.over) == ("bridge", "twin")]
    others = [row for row in rows if (row.of, row.over) != ("bridge", "twin")]
    shown = [BeyondRow("all", name, "coverage", 0.12, 200) for name in ("bridge", "twin", "popularity")]
    return Report(10, [], lifts, NOBODY, beyond=shown, comparisons=others)


def ladder(**gains: tuple[float, float]) -> Report:
    """gains: cohort=(twin - popularity, bridge - twin), certain where it is not 0."""
    rows = []
    for cohort, (twin, bridge) in gains.items():
        rows += [
            lift(cohort, bridge, q=0.01 if bridge else 1.0),
            lift(cohort, twin, "twin", "popularity", q=0.01 if twin else 1.0),
        ]
    return measured(*rows)


@pytest.mark.parametrize(
    "gains, served",
    [
        ({"cold": (0.0, 0.05), "warm": (0.05, 0.0)}, "bridge"),
        ({"cold": (0.05, 0.05), "warm": (0.05, -0.05)}, "twin"),  # better for some is no excuse for worse
        ({"cold": (0.05, 0.0), "warm": (0.05, 0.0)}, "twin"),
        ({"cold": (-0.05, 0.0), "warm": (0.05, 0.0)}, "popularity"),
        ({"cold": (-0.05, -0.05)}, "popularity"),
    ],
)
def test_the_simplest_candidate_that_nothing_certainly_beats_is_served(gains, served):
    decision = decide(ladder(**gains))
    assert decision.serve == served
    assert decision.passed == (served == "bridge")
    assert len(decision.reasons) == (1 if served == "bridge" else 2)


def test_a_gain_for_some_that_may_be_a_loss_over_all_earns_nothing():
    rows = lift("cold", 0.05), lift("all", 0.004), lift("cold", 0.05, "twin", "popularity")
    refused = decide(measured(*rows))
    assert refused.serve == "twin"
    assert "for all users together the lower bound is -0.0060" in refused.reasons[0]
    assert decide(measured(*rows), margin=-0.01).serve == "bridge"


def test_the_reason_names_the_cohorts():
    assert "for cold users (cold +0.0500 recall)" in decide(ladder(cold=(0.0, 0.05))).reasons[0]
    assert "worse than the twin for warm users" in decide(ladder(warm=(0.05, -0.05))).reasons[0]


def test_nobody_measured_serves_popularity_and_says_so():
    decision = decide(measured())
    assert decision.serve == "popularity"
    assert "no user could be measured" in decision.reasons[0]


def test_certain_is_what_stays_certain_beside_the_other_cohorts():
    """An interval above 0 is not enough where three cohorts were asked and q says 6 %."""
    assert certainly(lift("cold", 0.02, q=0.06)) == 0
    assert [certainly(lift("cold", mean, q=0.05)) for mean in (0.02, -0.02)] == [1, -1]
    assert certainly(LiftRow("warm", "recall", np.nan, np.nan, np.nan, 0)) == 0


def test_a_report_of_an_older_release_asks_for_another_evaluation():
    with pytest.raises(ValueError, match="materialise evaluation again"):
        decide(measured(lift("cold", 0.02, q=float("nan"))))
    with pytest.raises(ValueError, match="does not compare twin with popularity"):
        decide(measured(lift("cold", 0.0, q=1.0)))


def judged(*rows, serve="bridge", rules=None, champion=NONE, trial=WORKS):
    """The conditions by name."""
    verdict = judge(measured(*rows), Decision(serve, True, []), rules or Rules(), champion, trial)
    assert verdict.passed == all(condition.passed for condition in verdict.conditions)
    return {condition.name: condition for condition in verdict.conditions}


GOOD = (lift("cold", 0.05), lift("all", 0.02))


def test_a_version_that_holds_up_passes_every_condition():
    found = judged(*GOOD)
    assert [name for name, condition in found.items() if not condition.passed] == []
    assert "+0.0200 recall@10 over the twin" in found["over_twin"].words
    assert found["over_champion"].words == "There is no champion yet."
    assert "no limit is set" in found["latency"].words


@pytest.mark.parametrize(
    "margin, passed", [(0.0, True), (0.01, True), (0.0101, False), (-1.0, True)], ids=str
)
def test_the_lower_bound_over_all_users_must_reach_the_margin(margin, passed):
    found = judged(*GOOD, rules=Rules(margin_twin=margin))
    assert found["over_twin"].passed is passed
    said = {0.0: "0.", -1.0: "the allowed -1.0000."}.get(margin, f"{margin:+.4f}.")
    verb = "is not below" if passed else "is below"
    assert found["over_twin"].words.endswith(f": the lower bound {verb} {said}")


def test_a_loss_within_a_negative_margin_is_tolerated():
    loss = lift("all", -0.002, "bridge", "champion", q=0.5, width=0.001)
    assert not judged(*GOOD, loss, champion=COMPARED)["over_champion"].passed
    found = judged(*GOOD, loss, champion=COMPARED, rules=Rules(margin_champion=-0.003))
    assert found["over_champion"].passed
    assert "-0.0020 recall@10 over the champion" in found["over_champion"].words


@pytest.mark.parametrize("mean, undecided", [(0.004, True), (-0.004, True), (-0.02, False)], ids=str)
def test_a_refusal_says_so_where_neither_is_certainly_better(mean, undecided):
    apart = lift("all", mean, "bridge", "champion", q=0.5, width=0.01)
    words = judged(*GOOD, apart, champion=COMPARED)["over_champion"].words
    assert ("Neither is certainly better" in words) is undecided


def test_the_twin_is_held_to_popularity_and_popularity_to_nothing():
    rows = (lift("all", -0.03), lift("all", 0.04, "twin", "popularity"))
    assert judged(*rows, serve="twin")["over_twin"].passed
    assert not judged(*rows, serve="bridge")["over_twin"].passed
    assert "nothing simpler" in judged(*rows, serve="popularity")["over_twin"].words


def test_no_cohort_may_lose_to_the_simpler_candidate_or_the_champion():
    loss = lift("warm", -0.01)
    assert not judged(*GOOD, loss)["no_cohort_worse"].passed
    lost = lift("sparse", -0.01, "bridge", "champion")
    gain = lift("all", 0.02, "bridge", "champion")
    found = judged(*GOOD, lost, gain, champion=COMPARED)
    assert found["over_champion"].passed
    assert (
        found["no_cohort_worse"].words == "The bridge is certainly worse than the champion for sparse users."
    )
    unsure = replace(lost, q=0.2)
    fine = judged(*GOOD, unsure, gain, champion=COMPARED)["no_cohort_worse"]
    assert (fine.passed, fine.words) == (
        True,
        "No cohort is certainly worse off than with the twin or with the champion.",
    )
    assert judged(*GOOD)["no_cohort_worse"].words.endswith("worse off than with the twin.")


def test_a_champion_that_changed_fails_and_one_that_cannot_be_compared_does_not():
    for state, passed in (("changed", False), ("not_comparable", True), ("none", True)):
        found = judged(*GOOD, champion=Against(state, "So it is."))
        assert (found["over_champion"].passed, found["over_champion"].words) == (passed, "So it is.")


def test_a_champion_nobody_could_be_compared_with_is_not_beaten():
    unmeasured = LiftRow("all", "recall", np.nan, np.nan, np.nan, 0, "bridge", "champion")
    found = judged(*GOOD, unmeasured, champion=COMPARED)
    assert not found["over_champion"].passed
    assert "no user could be measured" in found["over_champion"].words


def test_coverage_has_a_floor():
    assert judged(*GOOD, rules=Rules(least_coverage=0.12))["coverage"].passed
    assert not judged(*GOOD, rules=Rules(least_coverage=0.13))["coverage"].passed
    report = replace(measured(*GOOD), beyond=[])
    for floor, passed in ((0.0, True), (0.1, False)):
        verdict = judge(report, Decision("bridge", True, []), Rules(least_coverage=floor), NONE, WORKS)
        assert verdict.passed is passed


def test_latency_has_a_ceiling():
    assert judged(*GOOD, rules=Rules(most_milliseconds=4.0))["latency"].passed
    assert not judged(*GOOD, rules=Rules(most_milliseconds=3.9))["latency"].passed


def test_a_version_that_does_not_load_fails_and_its_speed_is_not_judged_without_a_limit():
    broken = Trial(False, "It does not load.")
    found = judged(*GOOD, trial=broken)
    assert (found["clean_process"].passed, found["latency"].passed) == (False, True)
    assert not judged(*GOOD, trial=broken, rules=Rules(most_milliseconds=1000))["latency"].passed


def test_the_verdict_in_words_names_what_failed_and_survives_json():
    report = measured(*GOOD, lift("warm", -0.01))
    verdict = judge(report, Decision("bridge", True, []), Rules(least_coverage=0.5), NONE, WORKS)
    assert verdict.words == (
        "The gate refuses this version. The bridge is certainly worse than the twin for warm users. "
        "The lists of all test users show 12.0% of the catalogue; at least 50.0% is asked."
    )
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_the_same_lists_as_the_champions_are_a_lift_of_exactly_0_and_pass():
    """From lists to verdict: identical lists have the interval [0, 0], which reaches a margin of 0."""
    random = np.random.default_rng(3)
    rows = []
    for user in range(120):
        relevant = sorted(random.choice(40, 5, replace=False).tolist())
        listed = {name: random.choice(40, 10, replace=False).tolist() for name in ("popularity", "twin")}
        listed["bridge"] = listed["champion"] = [*relevant[:3], *(i for i in range(40) if i not in relevant)]
        for name, items in listed.items():
            row = ("cold", "cold", name, f"u{user:03d}", items[:10], relevant)
            rows.append(dict(zip(LISTS_SCHEMA.names, row, strict=True)))
    report = evaluate(pa.Table.from_pylist(rows, schema=LISTS_SCHEMA), 40, 10)
    decision = decide(report)
    verdict = judge(report, decision, Rules(), COMPARED, WORKS)
    assert decision.serve == "bridge"
    assert verdict.passed
    assert "+0.0000 recall@10 over the champion" in verdict.words
    assert not judge(report, Decision("twin", False, []), Rules(), COMPARED, WORKS).passed
