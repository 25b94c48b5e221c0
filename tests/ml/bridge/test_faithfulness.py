"""A named past item is taken out of the history: the score falls as its part foretold, and the rank falls."""

from dataclasses import replace

import numpy as np
import pytest
from bridge_world import SCORERS, recommender_of

from ml.bridge.histories import histories
from ml.bridge.select.blend import Blend
from ml.bridge.serve.crossing import as_cohort, crossing
from ml.bridge.serve.faithfulness import Question, Removals, questions, removals, without
from ml.bridge.serve.recommender import Member

KINDS = {
    "popularity": "popularity",
    "union_als": "union_als",
    "all_to_items": "ridge",
    "item_knn": "item_knn",
}
BLENDS = {
    "cold": Blend({"all_to_items": 0.5, "union_als": 0.5}),
    "sparse": Blend({"popularity": 0.2, "item_knn": 0.8}),
    "warm": Blend({"all_to_items": 0.5, "union_als": 0.5}),
}


@pytest.fixture(scope="module")
def model(world, task):
    return recommender_of(world, task, KINDS, BLENDS)


@pytest.mark.parametrize("name", ["item_knn", "ease", "ease_of_users", "joint_svd", "kernel_svd_given"])
def test_without_a_normalisation_the_score_falls_by_exactly_the_part(task, name):
    scorer, items = SCORERS[name]().fit(task), np.arange(40)
    for user in (3, 8, 21):
        past = histories(task.interactions, np.array([user]))
        parts, before = scorer.parts(past, items), scorer.score(past)[0].numpy()
        for domain, (positions, values) in parts.by_domain.items():
            for position, value in zip(positions, values, strict=True):
                asked = [Question(user, 0, domain, int(position), 0.0)]
                left = histories(without(task.interactions, asked), np.array([user]))
                assert np.allclose(scorer.score(left)[0].numpy() - before, -value, atol=1e-4)


def test_only_the_asked_user_loses_the_item(task):
    asked = [
        Question(
            3,
            0,
            "books",
            int(task.interactions["books"].items[task.interactions["books"].users == 3][0]),
            0.0,
        )
    ]
    left = without(task.interactions, asked)
    assert len(left["books"]) == len(task.interactions["books"]) - 1
    assert left["books"].counts()[3] == task.interactions["books"].counts()[3] - 1
    assert len(left["films"]) == len(task.interactions["films"])


@pytest.mark.parametrize("cohort", ["cold", "sparse", "warm"])
def test_without_the_named_item_score_and_rank_fall_more_than_without_another(model, cohort):
    shown, users = as_cohort(model, cohort)
    named, other = (
        removals(shown, questions(shown, users[:28].tolist(), 5, pick)) for pick in ("named", "random")
    )
    assert len(named.change) == len(other.change) > 20
    assert (named.foretold < 0).all()
    assert named.fell > 0.85
    assert named.sank > other.sank
    assert named.change.mean() < other.change.mean()
    assert named.agreement > 0.5


def test_a_question_s_ranks_are_those_of_the_list(model):
    users = as_cohort(model, "warm")[1][:12].tolist()
    asked = questions(model, users, 5, "named")
    found = removals(model, asked)
    for question, rank in zip(asked, found.before, strict=True):
        listed = model.recommend([str(model.user_ids[question.user])], 5)["item_id"].to_pylist()
        assert listed[rank - 1] == model.item_ids["books"][question.item]


def test_the_figures_of_removals_by_hand():
    found = Removals(
        np.array([-2.0, -1.0, -3.0, -2.0]),
        np.array([-1.0, 0.5, -3.0, -1.5]),
        np.array([1, 2, 3, 4]),
        np.array([4, 1, 9, 4]),
    )
    assert (found.fell, found.sank, found.rose) == (0.75, 0.5, 0.25)
    assert found.error == (1 + 1.5 + 0 + 0.5) / 8
    assert found.agreement == pytest.approx(3.5 / np.sqrt(2 * 6.25))


def test_shares_that_crossed_follow_what_the_target_knows(model):
    found = {row.cohort: row for row in crossing(model, users=15, k=5)}
    assert list(found) == ["cold", "sparse", "warm"]
    assert all(row.users == 15 for row in found.values())
    cold, warm = found["cold"].shares, found["warm"].shares
    assert cold["books"] == 0
    assert cold["films"] + cold["tools"] > 0.5
    assert warm["books"] > 0.2
    for row in found.values():
        assert 0 < sum(row.shares.values()) <= 1 + 1e-9


def test_nothing_crosses_into_a_model_of_the_target_alone(model, task):
    twin = task.twin()
    member = Member("union_als", SCORERS["union_als"]().fit(twin))
    alone = replace(
        model,
        logs={"books": task.interactions["books"]},
        members={"popularity": model.members["popularity"], "own": member},
        blends=dict.fromkeys(("cold", "sparse", "warm"), Blend({"own": 1.0})),
    )
    found = crossing(alone, users=10, k=5)
    assert [row.cohort for row in found] == ["sparse", "warm"]  # of a cold user nothing is known
    assert all(set(row.shares) == {"books"} for row in found)


def test_the_column_crossed_is_1_where_only_sources_speak_and_0_where_nothing_is_known(model):
    shown, users = as_cohort(replace(model, blends={"cold": Blend({"union_als": 1.0})}), "cold")
    lists = shown.recommend([str(shown.user_ids[users[0]]), "nobody"], 4, explain=True)
    assert np.allclose(lists["crossed"].to_numpy()[:4], 1.0)
    assert lists["crossed"].to_pylist()[4:] == [0.0] * 4
    assert "crossed" not in shown.recommend(["nobody"], 4).column_names


def test_the_sample_is_seeded(model):
    first = crossing(model, 5, 5, seed=1)
    assert crossing(model, 5, 5, seed=1) == first
    assert crossing(model, 5, 5, seed=2) != first
