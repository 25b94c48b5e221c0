"""Which pairs are drawn: those of a sequence worked out by hand, and never one that the protocol hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from colour_world import AS_OF, DAY, NOUNS

from ml.bridge.protocol import Protocol, hash_fractions
from ml.data import Catalogue, Interactions, Snapshot
from ml.text.adapt.pairs import HELD_OUT_SALT, PairRules, Visibility, find_pairs, visible

SEQUENCE = [("a", 1), ("b", 2), ("b", 1), ("b", 0), ("a", 0), ("a", 2)]
TEXTS = {"a": ["same", "a1", "a2", *(f"x{i:02d}" for i in range(41))], "b": ["same", "b1", None]}


def one_sequence() -> Snapshot:
    """User 0 takes up SEQUENCE, a day each; every other user two items of a that nobody else has so."""
    events = [(0, domain, item, day) for day, (domain, item) in enumerate(SEQUENCE)]
    events += [(user, "a", 3 + user + step, step) for user in range(1, 40) for step in (0, 1)]
    catalogues, logs = {}, {}
    for domain, texts in TEXTS.items():
        mine = np.array(sorted((user, day, item) for user, d, item, day in events if d == domain))
        logs[domain] = Interactions(
            mine[:, 0].astype(np.int32), mine[:, 2].astype(np.int32), np.ones(len(mine), np.float32),
            mine[:, 1] * DAY, 40, len(texts),
        )  # fmt: skip
        ids = np.array([f"{domain}{i:02d}" for i in range(len(texts))])
        catalogues[domain] = Catalogue(ids, np.array(texts, object), np.array(texts, object))
    return Snapshot(np.array([f"u{user}" for user in range(40)]), catalogues, logs, AS_OF)


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        # The item without text takes no place. "same" is a text of both, and so of a, the first: it stands
        # left of b1, and right of a2 in the order of texts.
        (1, {("a1", "b1"), ("same", "b1"), ("a2", "same")}),
        (2, {("a1", "b1"), ("same", "b1"), ("a2", "same"), ("a1", "same")}),
        (4, {("a1", "b1"), ("same", "b1"), ("a2", "same"), ("a1", "same"), ("a2", "b1"), ("a1", "a2")}),
    ],
)
def test_pairs_of_a_sequence_by_hand(reach, expected):
    # The first seed that holds out neither user 0 nor a text of theirs, and a pair of somebody else.
    shown = Visibility(cold_user_fraction=1e-9, horizon=DAY, seed=10)
    found = find_pairs(one_sequence(), shown, PairRules(pairs=1000, reach=reach, held_out=0.3))
    drawn = {(found.texts[a], found.texts[b]) for a, b in found.select(np.arange(len(found)))}
    assert {pair for pair in drawn if not pair[0].startswith("x")} == expected
    known = {(found.texts[i], found.texts[j]) for i, j in zip(*found.known.nonzero(), strict=True)}
    assert {pair for pair in known if not pair[0].startswith("x")} == expected | {(b, a) for a, b in expected}
    assert {(found.texts[a], found.texts[b]) for a, b in found.select(found.crosses)} == {
        pair for pair in expected if "b1" in pair
    }


def test_hidden_users_and_later_events_are_not_visible(world, hidden):
    logs = visible(world, hidden)
    fractions = hash_fractions(world.users)
    for log in logs.values():
        assert len(log)
        assert fractions[log.users].min() >= 0.3
        assert log.times.max() < world.as_of - 2 * hidden.horizon


def test_no_split_asks_about_a_visible_interaction(world, hidden):
    """What the protocol takes for truth, in choosing and in measuring, shares no row with what is learned."""
    logs = visible(world, hidden)
    for target, source in (tuple(NOUNS), tuple(reversed(NOUNS))):
        protocol = Protocol(world, target, (source,), hidden.cold_user_fraction, hidden.horizon)
        for scenario in ("cold", "time"):
            for stage in ("choose", "measure"):
                split = getattr(protocol, scenario)(stage)
                truth = split.truth.matrix()[split.users]
                learned = logs[target].matrix()[split.users]
                if scenario == "cold":
                    assert truth.nnz
                    assert logs[source].matrix()[split.users].nnz == 0
                assert truth.multiply(learned).nnz == 0


def test_planted_evidence_of_hidden_users_changes_no_pair(world, hidden, rules, pairs):
    """Exchange the whole history of everybody hidden, and everything late: the pairs stay the same."""
    low = hash_fractions(world.users) < 0.3
    planted = {}
    for domain, log in world.interactions.items():
        secret = low[log.users] | (log.times >= world.as_of - 2 * hidden.horizon)
        items = np.where(secret, (log.items + 7) % log.n_items, log.items).astype(np.int32)
        planted[domain] = replace(log, items=items)
    again = find_pairs(world.with_interactions(**planted), hidden, rules)
    assert np.array_equal(again.select(np.arange(len(again))), pairs.select(np.arange(len(pairs))))


def held_out(ids: np.ndarray, share: float) -> np.ndarray:
    return hash_fractions(ids, HELD_OUT_SALT) < share


def test_held_out_pairs_share_no_text_with_training(pairs, rules):
    assert min(len(pairs.training), len(pairs.validation)) > 200
    assert not np.intersect1d(pairs.training, pairs.validation).size
    assert held_out(pairs.texts, rules.held_out)[pairs.validation].all()


@pytest.mark.parametrize(("held", "side"), [(True, "training"), (False, "validation")])
def test_users_of_one_side_change_nothing_of_the_other(world, hidden, rules, pairs, held, side):
    """Exchange the whole history of everybody held out (or of everybody else): neither the other side's pairs
    nor what is no negative of them changes, but for the negatives of validation, which anybody may tell."""
    planted = {}
    for domain, log in world.interactions.items():
        theirs = (held_out(world.users, rules.held_out) == held)[log.users]
        items = np.where(theirs, (log.items + 7) % log.n_items, log.items).astype(np.int32)
        planted[domain] = replace(log, items=items)
    again = find_pairs(world.with_interactions(**planted), hidden, replace(rules, pairs=10**6))
    before = find_pairs(world, hidden, replace(rules, pairs=10**6))
    order = [np.unique(getattr(found, side), axis=0) for found in (before, again)]
    assert np.array_equal(*order)
    if held:
        learned = np.flatnonzero(~held_out(pairs.texts, rules.held_out))
        assert (before.known[learned][:, learned] != again.known[learned][:, learned]).nnz == 0
    assert (before.known != again.known).nnz


def test_a_pair_is_drawn_once_whoever_took_it_up(pairs):
    rows = pairs.select(np.arange(len(pairs)))
    assert len(np.unique(np.sort(rows, axis=1), axis=0)) == len(rows)


@pytest.mark.parametrize("across", [0.0, 0.25, 1.0])
def test_the_share_across_domains_is_kept(world, hidden, across):
    found = find_pairs(world, hidden, PairRules(pairs=400, reach=3, across=across))
    assert len(found.training) == 400
    assert found.crosses[~found.held_out].sum() == round(400 * across)


def test_too_little_data_says_what_to_do(world):
    with pytest.raises(ValueError, match=r"leave encoder.adaptation out"):
        find_pairs(world, Visibility(0.2, AS_OF), PairRules())
