"""Who is hidden from what: the splits on random logs, the hash against hashlib, and cases by hand."""

import hashlib

import bridge_world
import numpy as np
import pytest
from bridge_world import AS_OF, DAY
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.bridge.protocol import Protocol, hash_fractions, scaled
from ml.data import Catalogue, Snapshot

HORIZON = 14 * DAY


def protocol_of(world, target="books", sources=("films", "tools"), share=0.2, horizon=HORIZON, seed=0):
    return Protocol(world, target, sources, share, horizon, seed, "cpu")


def pairs(log):
    return set(zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), strict=True))


@st.composite
def worlds(draw):
    """Two domains, times in 0..19, as-of 20."""
    n_users, n_items = draw(st.integers(1, 12)), 4
    logs = {}
    for domain in ("books", "films"):
        keys = st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1))
        found = draw(st.sets(keys, max_size=25))
        rows = [(u, draw(st.integers(0, 19)), i, float(draw(st.integers(1, 4)))) for u, i in sorted(found)]
        logs[domain] = bridge_world.log_of(rows, n_users, n_items)
    ids = np.array([f"i{i}" for i in range(n_items)])
    catalogue = Catalogue(ids, np.array([None] * n_items), np.array([None] * n_items))
    users = np.array(sorted(draw(st.sets(st.text("abc123", min_size=1), min_size=n_users, max_size=n_users))))
    return Snapshot(users, {"books": catalogue, "films": catalogue}, logs, 20)


def test_fractions_follow_sha1_mod_ten():
    users = np.array(["ann", "bob", "Zoë", "u-17", "", "0"])
    modulus = [int(hashlib.sha1(u.encode()).hexdigest(), 16) % 10 for u in users]
    assert np.floor(hash_fractions(users) * 10).astype(int).tolist() == modulus


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=20), st.integers(1, 9))
def test_a_user_keeps_the_fraction_whoever_else_is_there(ids, seed):
    together = hash_fractions(np.array(ids, dtype=object), seed)
    assert ((together >= 0) & (together < 1)).all()
    for user, fraction in zip(ids, together, strict=True):
        assert hash_fractions([user], seed)[0] == fraction


def test_fractions_are_uniform_and_a_seed_draws_others():
    users = np.array([f"user-{i}" for i in range(4000)])
    fractions = hash_fractions(users)
    assert np.abs(np.histogram(fractions, bins=10, range=(0, 1))[0] - 400).max() < 80
    assert abs(np.corrcoef(fractions, hash_fractions(users, seed=1))[0, 1]) < 0.1


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from([0.1, 0.2, 0.4]))
def test_cold_hides_the_target_history_of_hidden_users_and_nothing_else(world, share):
    protocol = protocol_of(world, sources=("films",), share=share)
    fractions = hash_fractions(world.users)
    asked = {}
    for stage, hidden_below in (("choose", 1.5 * share), ("measure", share)):
        split = protocol.cold(stage)
        hidden = fractions < hidden_below
        log, visible = world.interactions["books"], split.task.interactions["books"]
        assert pairs(visible) == pairs(log.of_users(~hidden))
        assert pairs(split.task.interactions["films"]) == pairs(world.interactions["films"])
        assert not visible.counts()[split.users].any()
        assert (split.truth.counts()[split.users] > 0).all()
        asked[stage] = set(split.users.tolist())
    assert asked["measure"] == set(np.flatnonzero((fractions < share) & (log.counts() > 0)).tolist())
    assert not asked["choose"] & asked["measure"]


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(1, 8))
def test_time_reads_nothing_at_or_after_the_cut(world, horizon):
    protocol = protocol_of(world, sources=("films",), horizon=horizon)
    asked = {}
    for stage, end in (("choose", 20 - horizon), ("measure", 20)):
        split = protocol.time(stage)
        cut = end - horizon
        for domain in ("books", "films"):
            log = world.interactions[domain]
            assert pairs(split.task.interactions[domain]) == pairs(log.before(cut))
        assert all(cut <= time < end for time in split.truth.times)
        log = world.interactions["books"]
        assert pairs(split.truth) == pairs(log.since(cut).before(end))
        assert (split.truth.counts()[split.users] > 0).all()
        assert (split.task.interactions["books"].counts()[split.users] > 0).all()
        asked[stage] = set(split.users.tolist())
    assert not asked["choose"] & asked["measure"]


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(1, 3))
def test_new_users_show_their_first_events_and_are_asked_for_the_rest(world, events):
    protocol = protocol_of(world, sources=("films",))
    cold = protocol.cold("measure")
    split = protocol.new_users(cold, events)
    log = world.interactions["books"]
    assert set(split.users) == {u for u in cold.users if log.counts()[u] > events}
    assert split.task is cold.task  # nothing is fitted again for what a new user does
    for row, user in enumerate(split.users):
        mine = np.flatnonzero(log.users == user)
        assert sorted(split.past.weights["books"][row].indices) == sorted(log.items[mine[:events]])
    assert (split.past.counts("books") == events).all()


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from([0.2, 0.5]))
def test_the_last_share_of_a_history_is_hidden_and_asked_for(world, share):
    protocol, log = protocol_of(world, sources=("films",)), world.interactions["books"]
    test = protocol.last("measure", share)
    for user in range(log.n_users):
        mine = log.items[log.users == user].tolist()
        hidden = max(1, round(share * len(mine))) if len(mine) >= 3 else 0
        shown = test.task.interactions["books"]
        assert shown.items[shown.users == user].tolist() == mine[: len(mine) - hidden]
        assert test.truth.items[test.truth.users == user].tolist() == mine[len(mine) - hidden :]
        assert (user in test.users) == (hidden > 0)
    choose = protocol.last("choose", share)
    assert not pairs(choose.truth) & pairs(test.truth)
    assert not pairs(choose.task.interactions["books"]) & (pairs(test.truth) | pairs(choose.truth))


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(1, 8))
def test_newcomers_are_known_elsewhere_and_come_after_the_cut(world, horizon):
    protocol = protocol_of(world, sources=("films",), horizon=horizon)
    books, films = (world.interactions[d] for d in ("books", "films"))
    for stage, end in (("choose", 20 - horizon), ("measure", 20)):
        split = protocol.newcomers(stage)
        cut = end - horizon
        came = set(books.since(cut).before(end).users) - set(books.before(cut).users)
        expected = {int(u) for u in came & set(films.before(cut).users)}
        assert set(split.users.tolist()) <= expected
        assert pairs(split.task.interactions["books"]) == pairs(books.before(cut))
    asked = [set(protocol.newcomers(stage).users.tolist()) for stage in ("choose", "measure")]
    assert not asked[0] & asked[1]


def test_both_scenarios_ask_somebody_of_the_world(world):
    protocol = protocol_of(world)
    for split in (
        protocol.cold("choose"),
        protocol.cold("measure"),
        protocol.time("choose"),
        protocol.time("measure"),
    ):
        assert len(split.users) > 3
        assert split.task.domains == ("films", "tools", "books")


def test_what_is_served_has_seen_everything(world):
    served = protocol_of(world).served()
    assert {d: len(log) for d, log in served.interactions.items()} == {
        d: len(log) for d, log in world.interactions.items()
    }
    assert max(log.times.max() for log in served.interactions.values()) < AS_OF


def test_only_the_named_sources_are_read(world):
    assert set(protocol_of(world, sources=("films",)).served().interactions) == {"books", "films"}


def test_weights_have_mean_one_in_every_domain(world):
    empty = bridge_world.without(world, "tools")
    logs = scaled(empty.interactions)
    assert logs["books"].weights.mean() == pytest.approx(1, abs=1e-5)
    assert np.allclose(
        logs["films"].weights * world.interactions["films"].weights.mean(),
        world.interactions["films"].weights,
    )
    assert len(logs["tools"]) == 0
