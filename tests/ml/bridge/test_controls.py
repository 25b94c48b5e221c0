"""Controls take out what they say and nothing else; under them the lift vanishes and the gate says no."""

import numpy as np
import pytest
from bridge_world import AS_OF, DAY, SIZES, snapshot

from ml.bridge.controls import per_domain, random_text, shuffled_links, unlinked
from ml.bridge.protocol import Protocol
from ml.bridge.select import choose as choosing
from ml.bridge.select.choose import choose
from ml.bridge.train import TrainSettings, train
from ml.metrics.gate import decide
from ml.metrics.report import evaluate

SETTINGS = TrainSettings(k=5, cold_user_fraction=0.4, horizon=12 * DAY, seed=0, device="cpu")


@pytest.fixture(scope="module")
def plenty():
    return snapshot(4, users=300)


def cold(world, stage="measure"):
    return Protocol(world, "books", ("films", "tools"), 0.4, 12 * DAY, 0, "cpu").cold(stage)


def sequences(log):
    """Every user's own sequence of (item, time, weight), in order, without the user's name."""
    cuts = np.cumsum(log.counts())[:-1]
    rows = list(zip(log.items.tolist(), log.times.tolist(), log.weights.tolist(), strict=True))
    found = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return sorted(map(tuple, (s for s in found if s)))


def test_per_domain_keeps_every_log_and_shares_no_user(plenty):
    apart = per_domain(plenty)
    assert list(apart.users) == sorted(apart.users)
    known = {d: set(apart.users[np.unique(log.users)]) for d, log in apart.interactions.items()}
    for domain, users in known.items():
        log = plenty.interactions[domain]
        assert users == {f"{domain}:{u}" for u in plenty.users[np.unique(log.users)]}
        assert sequences(apart.interactions[domain]) == sequences(log)
        assert (np.diff(apart.interactions[domain].users) >= 0).all()
    assert not known["books"] & known["films"]


def test_unlinked_training_knows_nobody_twice_and_asks_the_same_users_with_the_same_truth(plenty):
    split, whole = unlinked(cold(plenty)), cold(plenty)
    counts = {d: log.counts() > 0 for d, log in split.task.interactions.items()}
    assert not (counts["books"] & counts["films"]).any()
    assert not (counts["tools"] & counts["films"]).any()
    assert np.array_equal(split.user_ids[split.users], whole.user_ids[whole.users])
    assert len(set(split.user_ids)) == len(split.user_ids)
    for domain in split.task.domains:
        assert sequences(split.task.interactions[domain]) == sequences(whole.task.interactions[domain])
        assert (split.past.weights[domain] != whole.past.weights[domain]).nnz == 0
    assert np.array_equal(
        split.truth.matrix()[split.users].toarray(), whole.truth.matrix()[whole.users].toarray()
    )


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_known_links_are_a_share_of_users(plenty, share):
    split, whole = unlinked(cold(plenty), share), cold(plenty)
    both = [
        ((s.task.interactions["books"].counts() > 0) & (s.task.interactions["films"].counts() > 0)).sum()
        for s in (split, whole)
    ]
    assert abs(both[0] / both[1] - share) < 0.1
    assert share < 1 or both[0] == both[1]


def test_shuffled_links_give_every_history_to_somebody_else(plenty):
    moved = shuffled_links(plenty, "films", 1)
    before, after = plenty.interactions["films"], moved.interactions["films"]
    assert sequences(before) == sequences(after)
    assert (before.matrix() != after.matrix()).nnz > 0.9 * len(before)
    assert moved.interactions["books"] is plenty.interactions["books"]


def test_random_text_is_of_the_same_items_and_of_one_length(plenty):
    noisy = random_text(plenty, 1)
    for domain, catalogue in noisy.catalogues.items():
        assert np.array_equal(catalogue.has_vector, plenty.catalogues[domain].has_vector)
        lengths = np.linalg.norm(catalogue.vectors[catalogue.has_vector], axis=1)
        assert np.allclose(lengths, 1, atol=1e-5)
    assert noisy.interactions is plenty.interactions


def judged(world):
    training = train(world, "books", ["films"], SETTINGS)
    report = evaluate(training.lists, SIZES["books"], 5)
    lifts = {lift.cohort: lift for lift in report.lifts if lift.metric == "recall"}
    return training, decide(report), lifts


def test_where_identities_end_at_the_domain_the_bridge_is_the_twin(plenty):
    """Nobody to learn from by behaviour, nobody to ask about by text: no harm, and the gate says no."""
    training, decision, lifts = judged(per_domain(plenty))
    assert not decision.passed
    assert (lifts["cold"].mean, lifts["cold"].low, lifts["cold"].high) == (0, 0, 0)
    assert set(training.candidates["bridge"].members) == set(training.candidates["twin"].members)


@pytest.mark.slow
def test_the_gate_sees_the_planted_transfer_and_not_the_shuffled(plenty):
    assert judged(plenty)[1].passed
    _, decision, lifts = judged(shuffled_links(plenty, "films", 2))
    assert not decision.passed
    assert lifts["cold"].low <= 0


def test_with_no_link_selection_takes_what_reads_texts(plenty, monkeypatch):
    monkeypatch.setattr(choosing, "FEWEST_USERS", 15)
    assert plenty.as_of == AS_OF
    found = choose(unlinked(cold(plenty, "choose")), 5, str)["cold"]
    assert found.evidence["sources_earned_their_place"]
    assert any(name.startswith("transferred_text") for name in found.bridge.weights)


def test_agreement_moves_the_tastes_of_further_domains_alone():
    """With none, films tell nothing of books; books, catalogues and who is known where stay as they are."""
    one, none = snapshot(3, 200), snapshot(3, 200, agreement=0.0)
    assert np.array_equal(one.interactions["books"].items, none.interactions["books"].items)
    assert np.array_equal(one.catalogues["films"].vectors, none.catalogues["films"].vectors)
    for world, same in ((one, True), (none, False)):
        mine, theirs = (
            np.stack([np.bincount(log.users[log.items % 4 == group], minlength=200) for group in range(4)])
            for log in (world.interactions["books"], world.interactions["films"])
        )
        both = (mine.sum(axis=0) > 2) & (theirs.sum(axis=0) > 2)
        share = (mine.argmax(axis=0) == theirs.argmax(axis=0))[both].mean()
        assert share > 0.6 if same else share < 0.4
