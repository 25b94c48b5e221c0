"""Re-ranking where recommendations are made: what is served, saved and measured."""

from dataclasses import replace

import numpy as np
import pytest
from bridge_world import recommender_of, task_of

from ml.bridge.lists import Asked
from ml.bridge.protocol import Protocol
from ml.bridge.select.blend import Blend
from ml.bridge.serve.recommender import load
from ml.bridge.serve.reranked import plain_and_reranked, reranker_of
from ml.metrics.beyond import intra_list_diversity
from ml.metrics.item_facts import ItemFacts
from ml.retrieval.rerank import RerankRules

RULES = RerankRules(diversity=0.5, popularity_penalty=0.2, depth=20)
USERS = [f"u{i:04d}" for i in range(40)] + ["nobody", "u0119"]


@pytest.fixture(scope="module")
def plain(world, task):
    blends = {cohort: Blend({"all_to_items": 1.0}) for cohort in ("cold", "sparse", "warm")}
    return recommender_of(world, task, {"popularity": "popularity", "all_to_items": "ridge"}, blends)


@pytest.fixture(scope="module")
def model(plain, task):
    return replace(plain, reranker=reranker_of(RULES, task))


def cold_split(world):
    return Protocol(world, "books", ("films", "tools"), 0.3, 10**12, device="cpu").cold("measure")


@pytest.fixture(scope="module")
def asked(world):
    return Asked.of(cold_split(world))


def pairs(table):
    return set(zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


def test_lists_are_drawn_from_the_best_and_never_hold_what_was_seen(plain, model, world, task):
    shown = model.recommend(USERS, k=5)
    assert shown.group_by("user_id").aggregate([("rank", "max")])["rank_max"].unique().to_pylist() == [5]
    assert pairs(shown) <= pairs(plain.recommend(USERS, k=RULES.depth))
    assert pairs(shown) != pairs(plain.recommend(USERS, k=5))
    log = task.interactions["books"]
    seen = zip(world.users[log.users], world.catalogues["books"].item_ids[log.items], strict=True)
    assert not pairs(shown) & set(seen)


def test_what_is_not_allowed_stays_out(model, asked):
    allowed = np.arange(40) % 3 == 0
    ranked, _ = model.rank(asked.past, 10, allowed=allowed)
    assert allowed[ranked[ranked >= 0]].all()
    assert (ranked >= 0).sum(axis=1).min() > 0


def test_scores_stay_those_that_explanations_add_up_to(model):
    shown = model.recommend(["u0003"], k=5)
    parts = model.explain("u0003", shown["item_id"].to_pylist())
    assert shown["score"].to_numpy() == pytest.approx(parts.total(), abs=1e-4)


def test_a_saved_model_shows_the_same_lists(model, plain, tmp_path):
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").recommend(USERS, k=5).equals(model.recommend(USERS, k=5))
    plain.save(tmp_path / "plain")
    assert load(tmp_path / "plain").reranker is None


def test_lists_become_more_diverse_and_less_popular(plain, model, world, task, asked):
    facts = ItemFacts.of(world.catalogues["books"], task.interactions["books"])
    before, after = (found.rank(asked.past, 5)[0] for found in (plain, model))
    gained = np.nanmean(intra_list_diversity(after, facts.vectors))
    assert gained > np.nanmean(intra_list_diversity(before, facts.vectors)) + 0.05
    assert facts.percentile[after].mean() < facts.percentile[before].mean()


def test_measured_lists_are_the_plain_ones_with_the_re_ranked_beside(plain, model, asked):
    lists, shown = plain_and_reranked("bridge", plain, asked, 5, model.reranker)
    assert lists.equals(asked.table("bridge", plain.rank(asked.past, 5)[0]))
    assert shown.equals(asked.table("bridge", model.rank(asked.past, 5)[0]))
    alone = plain_and_reranked("bridge", plain, asked, 5, None)
    assert alone[0].equals(lists)
    assert alone[1] is None


def test_without_strength_there_is_no_re_ranker(task):
    assert reranker_of(None, task) is None
    assert reranker_of(RerankRules(depth=9), task) is None


def test_it_reads_what_the_task_may_read(world):
    """A test user's hidden history is not in the popularity that lists are measured with."""
    cold = cold_split(world).task
    hidden, whole = (reranker_of(RULES, task).popularity for task in (cold, task_of(world)))
    assert not np.array_equal(hidden, whole)
