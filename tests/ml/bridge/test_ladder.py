"""The ladder names the rungs that differ, from the most knowledge to the least."""

from ml.bridge.select.blend import Blend
from ml.bridge.select.ladder import POPULARITY, in_words, ladders

BRIDGE, TWIN = Blend({"factor_bridge:x": 0.7, "popularity": 0.3}), Blend({"next_items:y@target": 1.0})


def rungs(blends) -> dict[str, list[str]]:
    return {cohort: [rung["candidate"] for rung in found] for cohort, found in ladders(blends).items()}


def test_rungs_that_are_the_same_blend_are_one():
    found = rungs(
        {
            "bridge": {"cold": BRIDGE, "sparse": TWIN, "warm": BRIDGE},
            "twin": {"cold": POPULARITY, "sparse": TWIN, "warm": TWIN},
            "popularity": {"cold": POPULARITY},
        }
    )
    assert found == {
        "cold": ["bridge", "popularity"],
        "sparse": ["twin", "popularity"],
        "warm": ["bridge", "twin", "popularity"],
    }


def test_a_cohort_without_evidence_gets_what_is_popular():
    found = rungs({"bridge": {}, "twin": {}, "popularity": {}})
    assert found == {cohort: ["popularity"] for cohort in ("cold", "sparse", "warm")}


def test_a_ladder_in_words():
    found = ladders({"bridge": {"warm": BRIDGE}, "twin": {"warm": TWIN}})
    assert in_words("warm", found["warm"]) == (
        "warm users: the bridge (70% factor_bridge:x, 30% popularity); should it fail, "
        "the twin (100% next_items:y@target); should it fail, the most popular items"
    )
    assert in_words("cold", found["cold"]) == "cold users: the most popular items"
