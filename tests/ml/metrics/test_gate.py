"""The gate on cases worked by hand: who is served follows from paired lifts by cohort."""

import numpy as np
import pyarrow as pa
import pytest

from ml.metrics.gate import decide, lifts


class MeasuredReport:
    """Only what the gate reads of a report."""

    def __init__(self, per_user: pa.Table) -> None:
        self.per_user = per_user


def measured(**gains: tuple[float, float]) -> MeasuredReport:
    """200 users a cohort, popularity at 0.1; gains: cohort=(twin - popularity, bridge - twin), some noise."""
    random = np.random.default_rng(5)
    rows: list[dict] = []
    for cohort, (twin, bridge) in gains.items():
        for user in range(200):
            noise = random.normal(0, 0.01, 2)
            values = np.cumsum([0.1, twin + noise[0], bridge + noise[1]])
            if bridge == 0:
                values[2] = values[1]
            for name, value in zip(("popularity", "twin", "bridge"), values, strict=True):
                scenario = "cold" if cohort == "cold" else "time"
                rows.append(
                    {
                        "scenario": scenario,
                        "cohort": cohort,
                        "candidate": name,
                        "user_id": f"u{user}",
                        "recall": float(value),
                    }
                )
    return MeasuredReport(pa.Table.from_pylist(rows))


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
    decision = decide(measured(**gains))
    assert decision.serve == served
    assert decision.passed == (served == "bridge")
    assert len(decision.reasons) == (1 if served == "bridge" else 2)


def test_the_reason_names_the_cohorts():
    assert "for cold users (cold +0.0" in decide(measured(cold=(0.0, 0.05))).reasons[0]
    assert "worse than the twin for warm users" in decide(measured(warm=(0.05, -0.05))).reasons[0]


def test_users_are_paired_by_id_whatever_the_order_of_the_rows():
    table = measured(cold=(0.02, 0.03)).per_user
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    assert lifts(table, "bridge", "twin") == lifts(shuffled, "bridge", "twin")


def test_users_without_relevant_items_are_left_out():
    report = measured(cold=(0.0, 0.05))
    recall = report.per_user["recall"].to_numpy().copy()
    recall[:30] = np.nan  # ten users, three candidates each
    report.per_user = report.per_user.set_column(4, "recall", pa.array(recall))
    assert lifts(report.per_user, "bridge", "twin")["cold"].n == 190


def test_nobody_measured_serves_popularity_and_says_so():
    empty = measured(cold=(0.0, 0.05)).per_user.slice(0, 0)
    decision = decide(MeasuredReport(empty))
    assert decision.serve == "popularity"
    assert "no user could be measured" in decision.reasons[0]
