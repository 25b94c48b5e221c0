"""Transferability: a source that shares taste is told from one that does not, before training and after."""

from dataclasses import replace

import numpy as np
import pytest
from bridge_world import DAY, log_of, shuffled, snapshot, task_of, without
from hypothesis import given
from hypothesis import strategies as st

from ml.bridge.histories import histories
from ml.bridge.protocol import Protocol
from ml.bridge.scorers.popularity import Popularity
from ml.bridge.select import choose
from ml.bridge.select import transferability as module
from ml.bridge.select.candidates import kind_of, scenario_candidates
from ml.bridge.select.transfer_matrix import Cell, Ground, Transferability, subsets
from ml.bridge.select.transferability import SHARES, estimate, estimated, ground, measure, text_overlap
from ml.data import Catalogue

K = 5


@pytest.fixture(scope="module")
def world():
    return snapshot(1, users=400)


def protocol(world, sources=("films", "tools")) -> Protocol:
    return Protocol(world, "books", sources, 0.3, 10 * DAY, 0, "cpu")


@pytest.fixture(scope="module")
def found(world):
    return estimate(protocol(world), K)


def of(cells, source, cohort="cold") -> Cell:
    return next(cell for cell in cells if (cell.source, cell.cohort) == (source, cohort))


def test_a_planted_source_is_found_before_training_and_confirmed_after(world, found):
    assert of(found, "films").low > 0
    assert not of(found, "tools").certain
    after = measure(protocol(world), found, K)
    assert of(after, "films").low > 0
    assert of(after, "films").share == of(found, "films").share
    assert of(after, "films").users > of(found, "films").users  # test users are twice as many


def test_shuffled_links_leave_no_certain_help(monkeypatch):
    monkeypatch.setattr(module, "SCENARIOS", ("cold",))
    worlds = [shuffled(snapshot(seed, 300), "films", seed) for seed in range(3)]
    cells = [cell for world in worlds for cell in estimate(protocol(world, ("films",)), K)]
    assert len(cells) == 3
    assert not any(cell.low > 0 for cell in cells)


def test_users_are_those_of_the_cohort_and_reached_those_with_a_history(world, found):
    split = protocol(world).cold("choose")
    known = split.task.interactions["films"].counts()[split.users] > 0
    cell = of(found, "films")
    assert (cell.users, cell.reached) == (len(split.users), known.sum())


def test_the_base_is_what_popularity_alone_recalls(world, found):
    split = protocol(world).cold("choose")
    scores = Popularity().fit(split.task.twin()).score(split.past).numpy()
    relevant = split.truth.matrix().toarray()[split.users] > 0
    listed = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    hits = np.take_along_axis(relevant, listed, axis=1).sum(axis=1)
    assert of(found, "films").base == pytest.approx((hits / relevant.sum(axis=1)).mean(), abs=1e-12)


def test_a_source_without_a_history_changes_no_list(world):
    cells = estimate(protocol(without(world, "films")), K)
    assert {(c.mean, c.low, c.high, c.reached) for c in cells if c.source == "films"} == {(0, 0, 0, 0)}


def test_users_unknown_to_the_source_keep_their_lists(world):
    split = protocol(world).cold("choose")
    base = Popularity().fit(split.task.twin())
    scorer = module.single_source(split.task, "tools").fit(split.task)
    own, *mixed = module._mixtures(base, scorer, "tools", split.past)
    unknown = split.past.counts("tools") == 0
    assert unknown.any()
    assert len(mixed) == len(SHARES)
    for scores in mixed:
        assert (scores[unknown] == own[unknown]).all()
        assert (scores[~unknown] != own[~unknown]).any()


def test_the_same_seed_gives_the_same_figures(world, found):
    assert estimate(protocol(world), K) == found


def test_too_few_users_give_no_cell(world, monkeypatch):
    monkeypatch.setattr(choose, "FEWEST_USERS", 10_000)
    assert estimate(protocol(world), K) == []
    assert estimate(protocol(world, ()), K) == []


def test_each_half_is_given_what_was_best_for_the_other():
    users = np.arange(40)
    fold = np.random.default_rng(0).permutation(40) % 2
    value = np.zeros((1 + len(SHARES), 40))
    value[4, fold == 0] = 1 + 0.01 * users[fold == 0]  # the first half fares best with the largest share
    value[2, fold == 1] = 1 + 0.01 * users[fold == 1]
    picked, _ = module._cross_fitted(value, 0)
    assert set(picked[fold == 0]) == {2}
    assert set(picked[fold == 1]) == {4}


def test_a_large_share_must_be_better_by_more_than_luck():
    value = np.zeros((1 + len(SHARES), 100))
    value[1], value[4] = 0.5, 0.5
    value[4, :2] += 0.1
    value[4, 2] -= 0.1  # two users of a hundred gain, one loses
    assert module._best(value) == 1
    value[4] = 0.6
    assert module._best(value) == 4


def test_text_overlap_by_hand():
    def catalogue(*vectors) -> Catalogue:
        names = np.array([str(i) for i in range(len(vectors))])
        return Catalogue(names, names, names, np.array(vectors, np.float32))

    target, source = catalogue([1, 0], [0, 1], [0, 0]), catalogue([1, 0], [0.6, 0.8])
    assert text_overlap(target, source) == pytest.approx((1.0 + 0.8) / 2)
    assert text_overlap(target, catalogue([0, 0])) is None
    assert text_overlap(target, replace(source, vectors=None)) is None


def test_ground_counts_the_users_of_both(world):
    both = set(world.interactions["books"].users) & set(world.interactions["films"].users)
    assert ground(world, "books", "films").shared_users == len(both)
    empty = world.with_interactions(films=log_of([], len(world.users), 50))
    assert ground(empty, "books", "films").shared_users == 0


def cell(source, cohort="cold", mean=0.01, low=0.005, users=100) -> Cell:
    return Cell(source, cohort, mean, low, mean + 0.005, users, 50, 0.05, 0.4)


def test_fewer_sources_are_those_that_certainly_help_and_the_best_one():
    cells = [cell("a", mean=0.02), cell("b"), cell("c", low=-0.01), cell("c", "warm", 0.03, -0.01)]
    assert subsets(cells, ["a", "b", "c"]) == {"cold": [("a", "b"), ("a",)], "time": [("c",)]}
    assert subsets(cells, ["a", "b"]) == {"cold": [("a",)], "time": []}  # all of them are tried anyway
    assert subsets([cell("a", mean=-0.01, low=-0.02)], ["a", "b"]) == {"cold": [], "time": []}
    assert subsets([cell("a", users=0)], ["a", "b"]) == {"cold": [], "time": []}


finite = st.floats(-1, 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), finite, finite, st.integers(0, 5)), max_size=8))
def test_subsets_are_proper_and_never_empty(drawn):
    cells = [cell(source, "cold", mean, low, users) for source, mean, low, users in drawn]
    for found in subsets(cells, ["a", "b", "c"]).values():
        assert all(0 < len(s) < 3 and len(set(s)) == len(s) for s in found)
        assert len(set(found)) == len(found) <= 2


def test_a_file_brings_everything_back(world, found):
    nothing = Cell("tools", "warm", *[float("nan")] * 3, 0, 0, float("nan"), 0.2)
    column = Transferability("books", "abc", K, {"films": Ground(3, None)}, (*found, nothing))
    back = Transferability.from_json(column.checked(found).to_json())
    assert back.estimated[:-1] == tuple(found) == back.measured
    assert np.isnan(back.estimated[-1].mean)
    assert back.estimated[-1].users == 0
    assert (back.ground, back.target, back.k) == (column.ground, "books", K)
    assert "NaN" not in column.to_json()


def test_fewer_sources_become_candidates_that_read_them_alone(world):
    task = replace(task_of(world), subsets={"cold": [("films",), ("films", "tools"), ("unknown",)]})
    added = {n: s for n, s in scenario_candidates("cold", task).items() if "@from-" in n}
    assert added
    assert all(name.endswith("@from-films") for name in added)
    assert {kind_of(name) for name in added} == {"ridge"}
    past = histories(task.interactions, np.arange(4))
    for scorer in added.values():
        assert scorer.domains == ("films",)
        assert scorer.fit(task).score(past).shape == (4, 40)
    assert not [n for n in scenario_candidates("time", task) if "@from-" in n]
    assert not [n for n in scenario_candidates("cold", task.twin()) if "@from-" in n]


def test_estimated_describes_every_source(world):
    column = estimated(protocol(world), K)
    assert set(column.ground) == {"films", "tools"}
    assert column.data_digest == world.digest
    assert column.subsets()["cold"][0] == ("films",)
