"""The report on lists worked by hand, and against means taken the long way."""

import json

import numpy as np
import pyarrow as pa
import pytest

from ml.metrics.report import CHAMPION, Report, evaluate

SCHEMA = pa.schema(
    [
        ("scenario", pa.string()),
        ("cohort", pa.string()),
        ("candidate", pa.string()),
        ("user_id", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("relevant", pa.list_(pa.int32())),
    ]
)


def lists(*rows):
    names = SCHEMA.names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMA)


HAND = lists(
    ("cold", "cold", "popularity", "a", [0, 1], [1, 2]),
    ("cold", "cold", "twin", "a", [0, 1], [1, 2]),
    ("cold", "cold", "bridge", "a", [1, 2], [1, 2]),
    ("cold", "cold", "popularity", "b", [0, 1], [3]),
    ("cold", "cold", "twin", "b", [0, 1], [3]),
    ("cold", "cold", "bridge", "b", [3], [3]),
    ("time", "warm", "popularity", "a", [0, 1], []),
    ("time", "warm", "twin", "a", [0, 1], []),
    ("time", "warm", "bridge", "a", [0, 1], []),
)


def figure(report, cohort, candidate, metric):
    return next(r for r in report.rows if (r.cohort, r.candidate, r.metric) == (cohort, candidate, metric))


def test_by_hand():
    report = evaluate(HAND, catalogue_size=4, k=2)
    assert figure(report, "cold", "twin", "recall").mean == pytest.approx((1 / 2 + 0) / 2)
    assert figure(report, "cold", "bridge", "recall").mean == pytest.approx((1 + 1) / 2)
    assert figure(report, "cold", "bridge", "precision").mean == pytest.approx((1 + 1 / 2) / 2)
    assert figure(report, "cold", "bridge", "ndcg").mean == pytest.approx(1)
    lift = next(row for row in report.lifts if (row.cohort, row.metric) == ("cold", "recall"))
    assert (lift.mean, lift.users) == (pytest.approx(0.75), 2)


def test_users_without_relevant_items_count_nowhere_and_are_kept():
    report = evaluate(HAND, catalogue_size=4, k=2)
    assert figure(report, "warm", "bridge", "recall").users == 0
    assert np.isnan(figure(report, "warm", "bridge", "recall").mean)
    assert figure(report, "all", "bridge", "recall").users == 2
    assert len(report.per_user) == len(HAND)


def test_lists_longer_than_k_are_cut_and_the_order_of_rows_is_no_matter():
    report = evaluate(HAND, catalogue_size=4, k=1)
    assert figure(report, "cold", "bridge", "recall").mean == pytest.approx((1 / 2 + 1) / 2)
    shuffled = HAND.take(np.random.default_rng(1).permutation(len(HAND)))
    assert evaluate(shuffled, 4, k=1).to_json() == report.to_json()


def test_further_candidates_are_measured_below_the_three():
    peer = [("cold", "cold", "ease", "a", [2, 0], [1, 2]), ("cold", "cold", "ease", "b", [3], [3])]
    unmeasured = ("time", "warm", "ease", "a", [0, 1], [])
    three = evaluate(HAND, 4, k=2)
    report = evaluate(pa.concat_tables([HAND, lists(*peer, unmeasured)]), 4, k=2)
    assert figure(report, "cold", "ease", "recall").mean == pytest.approx((1 / 2 + 1) / 2)
    assert [row for row in report.rows if row.candidate != "ease"] == pytest.approx(three.rows)
    assert report.lifts[:3] == three.lifts[:3]
    assert [row.candidate for row in report.rows][:4] == ["popularity", "twin", "bridge", "ease"]


def test_candidates_with_lists_for_different_users_are_refused():
    with pytest.raises(ValueError, match=r"different cold users.*train again"):
        evaluate(HAND.slice(1), 4, k=2)
    other = pa.concat_tables([HAND, lists(("cold", "cold", "ease", "z", [1], [1]))])
    with pytest.raises(ValueError, match="different cold users"):
        evaluate(other, 4, k=2)


def test_json_keeps_every_figure():
    report = evaluate(HAND, catalogue_size=4, k=2)
    again = Report.from_json(report.to_json(), report.per_user)
    assert again.to_json() == report.to_json()
    assert set(json.loads(report.to_json())) == {
        "k",
        "rows",
        "lifts",
        "beyond",
        "price",
        "comparisons",
    }


def test_no_lists_make_an_empty_report():
    report = evaluate(lists(), catalogue_size=4, k=2)
    assert (report.rows, report.lifts, len(report.per_user)) == ([], [], 0)


def worlds(**hits):
    """Lists of 20 users each in the three cohorts; candidate -> whether it finds the one relevant item."""
    places = [("cold", "cold"), ("time", "sparse"), ("time", "warm")]
    return lists(
        *(
            (scenario, cohort, name, f"u{user:02d}", [1 if user < found[place] else 0], [1])
            for place, (scenario, cohort) in enumerate(places)
            for name, found in hits.items()
            for user in range(20)
        )
    )


def differences(report):
    rows = [*report.lifts, *report.comparisons]
    return {(r.of, r.over, r.cohort): r for r in rows if r.metric == "recall"}


def test_pairs_that_the_gate_asks_for_and_their_figures():
    found = differences(evaluate(worlds(popularity=[0, 5, 5], twin=[0, 5, 9], bridge=[12, 5, 9]), 2, k=1))
    assert {key[:2] for key in found} == {("bridge", "twin"), ("twin", "popularity")}
    cold, sparse, warm = (found["bridge", "twin", cohort] for cohort in ("cold", "sparse", "warm"))
    assert (cold.mean, cold.differing, cold.users) == (pytest.approx(12 / 20), 12, 20)
    assert (sparse.differing, sparse.p, sparse.detectable, warm.q) == (0, 1, 0, 1)
    assert cold.p < 0.01
    assert cold.q == pytest.approx(3 * cold.p)  # the least of three cohorts
    spread = np.array([1.0] * 12 + [0.0] * 8).std(ddof=1)
    assert cold.detectable == pytest.approx(2.8016 * spread / np.sqrt(20), rel=1e-4)
    everyone = found["bridge", "twin", "all"]
    assert (everyone.differing, everyone.q) == (12, everyone.p)  # a family of its own
    assert found["twin", "popularity", "warm"].mean == pytest.approx(4 / 20)


def test_the_champion_is_compared_with_all_three_and_is_not_one_of_them():
    hits = {"popularity": [3, 3, 3], "twin": [4, 4, 4], "bridge": [9, 9, 2], CHAMPION: [4, 4, 4]}
    report = evaluate(worlds(**hits), 2, k=1)
    found = differences(report)
    assert {of for of, over, _ in found if over == CHAMPION} == {"bridge", "twin", "popularity"}
    level = found["twin", CHAMPION, "all"]
    assert (level.mean, level.low, level.high, level.p) == (0, 0, 0, 1)  # the same recipe
    assert found["bridge", CHAMPION, "warm"].mean == pytest.approx(-2 / 20)
    assert all(row.over == "twin" for row in report.lifts)
    again = Report.from_json(report.to_json(), report.per_user)
    assert again.comparisons == report.comparisons


def test_a_cohort_that_nobody_measured_does_not_weigh_on_the_others():
    found = differences(evaluate(HAND, 4, k=2))
    cold, warm = (found["bridge", "twin", cohort] for cohort in ("cold", "warm"))
    assert cold.q == cold.p
    assert np.isnan([warm.p, warm.q, warm.detectable]).all()
