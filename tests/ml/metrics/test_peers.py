"""The bridge against the best of its peers, worked by hand."""

import numpy as np
import pyarrow as pa
import pytest

from ml.bridge.lists import LISTS_SCHEMA
from ml.metrics.peers import peer_lifts
from ml.metrics.report import evaluate

# Hits of 4 relevant items, by cohort and candidate, a list of one user each.
HITS = {
    ("cold", "cold"): {
        "popularity": [0, 0],
        "twin": [0, 1],
        "bridge": [2, 4],
        "ease": [0, 1],
        "als_union": [1, 3],
    },
    ("time", "warm"): {
        "popularity": [0, 0],
        "twin": [1, 1],
        "bridge": [1, 1],
        "ease": [2, 3],
        "als_union": [1, 1],
    },
}


def report(without=(), hits=HITS):
    rows = [
        {
            "scenario": scenario,
            "cohort": cohort,
            "candidate": name,
            "user_id": f"u{user}",
            "items": [*range(count), *range(10, 14 - count)],
            "relevant": [0, 1, 2, 3],
        }
        for (scenario, cohort), by in hits.items()
        for name, counts in by.items()
        if name not in without
        for user, count in enumerate(counts)
    ]
    shuffled = np.random.default_rng(0).permutation(len(rows))
    return evaluate(pa.Table.from_pylist(rows, schema=LISTS_SCHEMA).take(shuffled), 20, k=4)


def test_the_best_peer_of_each_cohort_and_the_lift_over_it_by_hand():
    cold, warm, everyone = peer_lifts(report())
    assert (cold.cohort, cold.peer, cold.recall, cold.users) == ("cold", "als_union", 2 / 4, 2)
    assert cold.mean == pytest.approx(1 / 4)
    assert (cold.low, cold.high) == pytest.approx((1 / 4, 1 / 4))  # a quarter more for either user
    assert (warm.peer, warm.recall, warm.mean) == ("ease", pytest.approx(5 / 8), pytest.approx(-3 / 8))
    # Over everyone the peers are level (6 of 16 each): the first by name stands for them.
    assert (everyone.cohort, everyone.peer, everyone.recall) == ("all", "als_union", pytest.approx(6 / 16))
    assert everyone.mean == pytest.approx(2 / 16)


def test_a_peer_that_lists_what_is_popular_is_called_popularity():
    # Of these two cold users ease knows no more than popularity does.
    level = {name: hits for name, hits in HITS["cold", "cold"].items() if name != "als_union"}
    for name in ("popularity", "ease"):
        level[name] = [1, 1]
    found = report(hits={("cold", "cold"): level})
    assert [(lift.cohort, lift.peer, lift.recall) for lift in peer_lifts(found)] == [
        ("cold", "popularity", 1 / 4),
        ("all", "popularity", 1 / 4),
    ]


def test_a_report_of_the_three_alone_has_no_peer():
    assert peer_lifts(report(without=("ease", "als_union"))) == []


def test_a_report_read_again_gives_the_same():
    found = report()
    assert peer_lifts(type(found).from_json(found.to_json(), found.per_user)) == peer_lifts(found)


def test_the_champion_is_no_peer():
    with_champion = {place: {**by, "champion": [4, 4]} for place, by in HITS.items()}
    assert peer_lifts(report(hits=with_champion)) == peer_lifts(report())
    alone = report(without=("ease", "als_union"), hits=with_champion)
    assert peer_lifts(alone) == []
