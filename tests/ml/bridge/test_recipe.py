"""A recipe followed on the splits it came from gives the lists it gave; what cannot be followed says why."""

import json
from dataclasses import asdict, replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bridge_world import DAY, SIZES, snapshot

from ml.bridge.measure import asked_of, measured
from ml.bridge.recipe import NotComparableError, Recipe, follow, settings_of
from ml.bridge.select.blend import Blend
from ml.bridge.train import CANDIDATES, TrainSettings, protocol_of
from ml.metrics.report import CHAMPION, evaluate
from ml.retrieval.rerank import RerankRules

SETTINGS = TrainSettings(
    k=5,
    cold_user_fraction=0.3,
    horizon=12 * DAY,
    device="cpu",
    subsets={"cold": [("films",)]},
    found={"time": [("ease:r77-tau4", {"ridge": 77.0, "tau": 4.0})]},
    rerank=RerankRules(diversity=0.4, depth=10),
)
KEY = [("scenario", "ascending"), ("cohort", "ascending"), ("user_id", "ascending")]


@pytest.fixture(scope="module")
def world():
    return snapshot(1, users=160)


@pytest.fixture(scope="module")
def selection(world):
    """What a training chose, by hand, and as it comes back from selection.json."""
    chosen = {
        "cold": {"bridge": {"item_bridge:r10-t1": 0.5, "popularity": 0.5}, "twin": {"popularity": 1.0}},
        "warm": {"bridge": {"ease:r77-tau4": 1.0}, "twin": {"next_items:tau3-r20@target": 1.0}},
    }
    facts = {"target": "books", "sources": ["films", "tools"], "data_digest": world.digest}
    return json.loads(json.dumps({**facts, "train_settings": asdict(SETTINGS), "cohorts": chosen}))


@pytest.fixture(scope="module")
def lists(world, selection):
    """The measured lists of that training, made as `train` makes them."""
    protocol, _ = protocol_of(world, "books", ["films", "tools"], SETTINGS)
    blends = {
        name: {c: Blend(shares) for c, shares in Recipe.of(selection, name).blends.items()}
        for name in CANDIDATES
    }
    asked = asked_of(protocol, cold_items=False).values()
    return pa.concat_tables([plain for part in asked for plain, _ in measured(part, blends, SETTINGS.k)])


def of_candidate(lists, name):
    part = lists.filter(pc.equal(lists["candidate"], name)).sort_by(KEY)
    return part.drop_columns(["candidate"])


def another(recipe, **blends):
    """The recipe with a blend that no candidate of the training has."""
    return replace(recipe, blends={**recipe.blends, **blends})


def test_settings_survive_json(selection):
    found = settings_of(selection["train_settings"])
    assert replace(found, found={}) == replace(SETTINGS, rerank=None, found={})
    assert found.found["time"] == [("ease:r77-tau4", {"ridge": 77.0, "tau": 4.0})]
    assert settings_of({"k": 5}) == TrainSettings(k=5)  # of a release that knew of nothing else
    assert settings_of(json.loads(json.dumps({**asdict(SETTINGS), "of_a_later_release": 1}))).k == 5


def test_fitted_again_on_its_own_splits_a_recipe_gives_its_own_lists(world, lists, selection):
    """The copy for equal recipes is a short cut and nothing else: the long way ends in the same lists."""
    touched = another(Recipe.of(selection, "bridge"), sparse={"popularity": 1.0})
    found, how = follow(touched, lambda: world, selection, lists)
    for cohort, candidate in (("cold", "bridge"), ("warm", "bridge"), ("sparse", "popularity")):
        theirs, mine = (table.filter(pc.equal(table["cohort"], cohort)) for table in (found, lists))
        assert len(theirs) > 5, cohort
        assert of_candidate(theirs, CHAMPION).equals(of_candidate(mine, candidate)), cohort
    assert how == "its recipe, fitted again on this version's splits"


@pytest.mark.parametrize("candidate", ["bridge", "twin", "popularity"])
def test_an_equal_recipe_is_copied_without_a_fit_and_its_lift_is_0(lists, selection, candidate):
    def never():
        raise AssertionError("nothing has to be fitted")

    found, how = follow(Recipe.of(selection, candidate), never, selection, lists)
    assert of_candidate(found, CHAMPION).equals(of_candidate(lists, candidate))
    assert "recipe is that of" in how
    report = evaluate(pa.concat_tables([lists, found]), SIZES["books"], 5)
    apart = [row for row in report.comparisons if (row.of, row.over) == (candidate, CHAMPION)]
    assert {(row.mean, row.low, row.high) for row in apart if row.users} == {(0.0, 0.0, 0.0)}


def test_a_recipe_of_fewer_sources_is_fitted_on_those_and_asked_the_same(world, lists, selection):
    elsewhere = {**selection["train_settings"], "seed": 9}
    fewer = Recipe.of({**selection, "sources": ["films"], "train_settings": elsewhere}, "bridge")
    found, how = follow(fewer, lambda: world, selection, lists)
    assert "chosen with another seed: perhaps on users measured here" in how
    theirs, ours = of_candidate(found, CHAMPION), of_candidate(lists, "bridge")
    assert theirs.select(["user_id", "relevant"]).equals(ours.select(["user_id", "relevant"]))
    assert not theirs["items"].equals(ours["items"])


@pytest.mark.parametrize(
    "change, why",
    [
        ({"blends": {"cold": {"crystal_ball:f7": 1.0}}}, "nothing is called crystal_ball:f7"),
        ({"sources": ("films", "gone")}, "no domain gone"),
    ],
)
def test_what_is_gone_is_named(world, lists, selection, change, why):
    with pytest.raises(NotComparableError, match=why):
        follow(replace(Recipe.of(selection, "bridge"), **change), lambda: world, selection, lists)


def test_another_snapshot_is_no_fair_comparison(world, lists, selection):
    recipe = another(Recipe.of(selection, "bridge"), cold={"joint_svd:f64": 1.0})
    with pytest.raises(NotComparableError, match="snapshot changed"):
        follow(recipe, lambda: replace(world, digest="other"), selection, lists)
