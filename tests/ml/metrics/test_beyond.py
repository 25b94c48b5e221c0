"""What lists are like: worked by hand, against the long way, and the price of changing them."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.bridge.lists import LISTS_SCHEMA
from ml.data import Catalogue, Interactions
from ml.metrics.beyond import MEANING, beyond, gini, intra_list_diversity
from ml.metrics.item_facts import ItemFacts
from ml.metrics.price import price
from ml.metrics.report import Report, evaluate

# Four users: item 0 is everybody's, item 1 two users', item 2 one user's, item 3 nobody's.
ALL, HALF, ONE, NOBODY = range(4)
RIGHT, UP, NOTHING = [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]
FACTS = ItemFacts(np.array([4, 2, 1, 0]), 4, np.array([RIGHT, RIGHT, UP, NOTHING], np.float32))


def lists(*rows):
    """Rows of cohort, candidate, user, items and relevant items."""
    return pa.Table.from_pylist(
        [
            {"scenario": "cold" if row[0] == "cold" else "time"}
            | dict(zip(["cohort", "candidate", "user_id", "items", "relevant"], row, strict=True))
            for row in rows
        ],
        schema=LISTS_SCHEMA,
    )


def value(rows, metric, cohort="cold", candidate="bridge"):
    return next(r.value for r in rows if (r.cohort, r.candidate, r.metric) == (cohort, candidate, metric))


def test_by_hand():
    found = beyond(
        lists(("cold", "bridge", "a", [ALL, HALF], []), ("cold", "bridge", "b", [ONE], [])), FACTS, 2
    )
    assert value(found, "coverage") == 3 / 4
    assert value(found, "novelty") == ((0 + 1) / 2 + 2) / 2  # bits: 4 of 4, 2 of 4 and 1 of 4 users
    assert value(found, "diversity") == pytest.approx(0)  # one list has a pair, of the same direction
    # Percentiles .875, .625, .375 and .125 of items 0 to 3.
    assert value(found, "popularity") == ((0.875 + 0.625) / 2 + 0.375) / 2
    # Exposures 0, 1, 1, 1 of four items: (-3 * 0 - 1 + 1 + 3) / (4 * 3).
    assert value(found, "gini") == 3 / 12
    assert {row.metric for row in found} == set(MEANING)
    assert {row.users for row in found} == {2}
    assert {row.cohort for row in found} == {"cold", "all"}


def test_lists_are_cut_at_k_and_empty_ones_count_nowhere():
    rows = lists(("cold", "bridge", "a", [HALF, ALL], []), ("cold", "bridge", "b", [], []))
    found = beyond(rows, FACTS, 1)
    assert value(found, "novelty") == 1
    assert value(found, "coverage") == 1 / 4
    assert next(row.users for row in found) == 1
    assert np.isnan(value(found, "diversity"))


def test_an_item_nobody_has_surprises_like_one_user_s():
    assert FACTS.surprise.tolist() == [0, 1, 2, 2]


def test_fame_falls_with_surprise():
    assert FACTS.fame.tolist() == [1, 0.5, 0, 0]
    assert ItemFacts(np.array([3, 3]), 3, np.zeros((2, 1), np.float32)).fame.tolist() == [1, 1]


def test_nothing_listed_is_no_figure_and_no_failure():
    found = beyond(lists(("cold", "bridge", "a", [], [])), FACTS, 3)
    assert value(found, "coverage") == 0
    assert all(np.isnan(value(found, metric)) for metric in set(MEANING) - {"coverage"})
    assert beyond(LISTS_SCHEMA.empty_table(), FACTS, 3) == []


def test_lists_of_another_catalogue_are_refused():
    with pytest.raises(ValueError, match="train again"):
        beyond(lists(("cold", "bridge", "a", [4], [])), FACTS, 3)


@given(st.integers(0, 2**32 - 1))
def test_diversity_is_that_of_all_pairs(seed):
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((9, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[random.random(9) < 0.3] = 0
    ranked = np.array([random.permutation(9)[:5] for _ in range(4)])
    ranked[random.random(ranked.shape) < 0.3] = -1
    for row, found in zip(ranked, intra_list_diversity(ranked, vectors), strict=True):
        known = [i for i in row if i >= 0 and vectors[i].any()]
        pairs = [1 - vectors[a] @ vectors[b] for a in known for b in known if a < b]
        assert found == pytest.approx(np.mean(pairs) if pairs else np.nan, abs=1e-5, nan_ok=True)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_gini_is_half_the_relative_mean_difference(exposure):
    shown = np.array(exposure, float)
    expected = np.abs(shown[:, None] - shown).mean() / (2 * shown.mean()) if shown.any() else np.nan
    assert gini(np.array(exposure)) == pytest.approx(expected, nan_ok=True)


def log_of(rows, items):
    users, held = np.array(sorted(rows)).T.astype(np.int32)
    ones = np.ones(len(users), np.float32)
    return Interactions(users, held, ones, np.zeros(len(users), np.int64), int(users.max()) + 2, items)


def test_facts_count_users_and_centre_texts():
    vectors = np.array([[0.8, 0.6], [0.6, 0.8], [0, 0]], np.float32)
    texts = np.array(["a", "b", None], object)
    facts = ItemFacts.of(
        Catalogue(np.array(["x", "y", "z"]), texts, texts, vectors), log_of([(0, 0), (1, 0), (1, 2)], 3)
    )
    assert facts.counts.tolist() == [2, 0, 1]
    assert facts.users == 2
    assert facts.vectors[0] @ facts.vectors[1] == pytest.approx(-1, abs=1e-5)  # about their middle
    assert not facts.vectors[2].any()


def test_without_text_items_are_alike_by_who_has_them():
    rows = [(u, i) for u in range(12) for i in ((0, 1) if u % 2 else (2, 3))]
    ids, none = np.array(["a", "b", "c", "d"]), np.full(4, None, object)
    vectors = ItemFacts.of(Catalogue(ids, none, none), log_of(rows, 4)).vectors
    assert vectors[0] @ vectors[1] == pytest.approx(1, abs=1e-4)
    assert vectors[0] @ vectors[2] < 0


def test_a_domain_without_interactions_has_facts():
    none = np.full(3, None, object)
    empty = Interactions(*(np.zeros(0, t) for t in (np.int32, np.int32, np.float32, np.int64)), 5, 3)
    facts = ItemFacts.of(Catalogue(np.array(["a", "b", "c"]), none, none), empty)
    assert facts.users == 0
    assert np.isfinite(facts.surprise).all()


PLAIN = lists(
    ("cold", "bridge", "a", [ALL, HALF], [HALF]),
    ("cold", "bridge", "b", [ALL, HALF], [ALL]),
    ("cold", "ease", "a", [ALL], [HALF]),
    ("cold", "ease", "b", [ALL], [ALL]),
)
CHANGED = lists(
    ("cold", "bridge", "b", [ALL, ONE], [ALL]),
    ("cold", "bridge", "a", [ALL, ONE], [HALF]),
)


def test_the_price_is_paired_by_user_and_candidate():
    found = {(r.cohort, r.candidate, r.metric): r for r in price(PLAIN, CHANGED, FACTS, 2)}
    recall = found["cold", "bridge", "recall"]
    assert (recall.plain, recall.mean, recall.users) == (1.0, -0.5, 2)
    assert recall.low == -1
    assert found["cold", "bridge", "diversity"].mean == pytest.approx(1)
    assert found["all", "bridge", "novelty"].mean == pytest.approx(0.5)
    assert found["cold", "bridge", "coverage"].mean == 0
    assert {candidate for _, candidate, _ in found} == {"bridge"}


def test_unchanged_lists_cost_nothing():
    assert {row.mean for row in price(PLAIN, PLAIN, FACTS, 2) if row.mean == row.mean} == {0.0}


def test_lists_of_other_users_have_no_price():
    with pytest.raises(ValueError, match="different users"):
        price(PLAIN, CHANGED.slice(1), FACTS, 2)


def test_reports_keep_both_and_older_ones_load():
    three = [("cold", name, user, [ALL], [ALL]) for name in ("popularity", "twin", "bridge") for user in "ab"]
    plain = evaluate(lists(*three), 4, k=2)
    whole = replace(plain, beyond=beyond(lists(*three), FACTS, 1), price=price(PLAIN, CHANGED, FACTS, 2)[:1])
    assert Report.from_json(whole.to_json(), whole.per_user).price == whole.price
    again = Report.from_json(whole.to_json(), whole.per_user)
    assert again.to_json() == whole.to_json()
    older = '{"k": 2, "rows": [], "lifts": []}'
    assert Report.from_json(older, plain.per_user).beyond == []
