"""c-TF-IDF against values worked by hand, a reference in plain Python, and what must not change it."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.text.words.keywords import USERS_AT_ONCE, inverse_frequency, keywords, terms_of
from ml.text.words.segment import words

DOCUMENTS = ["iron pan", "iron pot pot pot", "green tea", None, "the", "black tea"]


def history(rows: list[dict[int, float]], items: int = len(DOCUMENTS)) -> sparse.csr_matrix:
    dense = np.zeros((len(rows), items), dtype=np.float32)
    for user, row in enumerate(rows):
        for item, weight in row.items():
            dense[user, item] = weight
    return sparse.csr_matrix(dense)


def test_terms_are_shares_of_a_document():
    terms = terms_of(DOCUMENTS, "en")
    assert terms.names.tolist() == ["black", "green", "iron", "pan", "pot", "tea"]
    expected = [
        [0, 0, 0.5, 0.5, 0, 0],
        [0, 0, 0.25, 0, 0.75, 0],
        [0, 0.5, 0, 0, 0, 0.5],
        [0] * 6,
        [0] * 6,
        [0.5, 0, 0, 0, 0, 0.5],
    ]
    np.testing.assert_array_equal(terms.shares.toarray(), expected)


def test_weights_by_hand():
    """u0: pan (weight 3) and green tea (1): iron 3/8, pan 3/8, green 1/8, tea 1/8. u1: black tea: halves.

    Means over the two: iron, pan 3/16, green 1/16, black 1/4, tea 5/16. u0: iron, pan 0.375 log(1 + 16/3) =
    0.692, green 0.125 log 17 = 0.354, tea 0.125 log(1 + 16/5) = 0.179. u1: black 0.805, tea 0.718.
    """
    terms = terms_of(DOCUMENTS, "en")
    rows = history([{0: 3, 2: 1}, {5: 2}])
    assert keywords(rows, terms).to_pylist() == [["iron", "pan", "green", "tea"], ["black", "tea"]]
    scaled = sparse.csr_matrix(np.array([[0.75, 0, 0.25, 0, 0, 0], [0, 0, 0, 0, 0, 1.0]]))
    np.testing.assert_allclose(
        inverse_frequency(scaled, terms.shares)[[0, 1, 2, 3, 5]],
        [log(1 + 4), log(1 + 16), log(1 + 16 / 3), log(1 + 16 / 3), log(1 + 16 / 5)],
    )


def reference(rows: list[dict[int, float]], documents: list[str | None], k: int) -> list[list[str]]:
    """The same from the formula, one user and word at a time."""
    counts = [Counter(words(text, "en")) if text else Counter() for text in documents]
    shares: list[dict[str, float]] = []
    for row in rows:
        total = sum(weight for item, weight in row.items() if counts[item])
        share: Counter[str] = Counter()
        for item, weight in row.items():
            for word, n in counts[item].items():
                share[word] += weight / total * n / counts[item].total()
        shares.append(dict(share))
    classes = max(1, sum(bool(share) for share in shares))
    mean: Counter[str] = Counter()
    for share in shares:
        for word, value in share.items():
            mean[word] += value / classes
    return [
        sorted(share, key=lambda word: (-round(share[word] * log(1 + 1 / mean[word]), 9), word))[:k]
        for share in shares
    ]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.integers(0, 5), st.sampled_from([0.5, 1, 2, 4]), max_size=6),
        min_size=1,
        max_size=6,
    ),
    k=st.integers(1, 5),
)
def test_the_formula_word_by_word(rows, k):
    found = keywords(history(rows), terms_of(DOCUMENTS, "en"), k).to_pylist()
    assert found == reference(rows, DOCUMENTS, k)


def test_what_must_not_change_a_profile():
    """The unit of the weights, how many users there are, and in how many pieces they are worked off."""
    terms = terms_of(DOCUMENTS, "en")
    rows = [{0: 3, 2: 1}, {5: 2}, {}, {1: 1, 4: 9}]
    once = keywords(history(rows), terms).to_pylist()
    assert keywords(history(rows) * 1000, terms).to_pylist() == once
    many = sparse.csr_matrix(sparse.vstack([history(rows)] * (USERS_AT_ONCE // 4 + 3)))
    assert keywords(many, terms).to_pylist() == once * (USERS_AT_ONCE // 4 + 3)


def test_a_shared_interest_stands_above_misprints_and_what_everybody_has():
    """5,000 users; one in fifty likes kettles. Everybody has sets, and every item a number of its own."""
    random = np.random.default_rng(0)
    documents = [
        f"kettle set ref{i:04d}x" if i < 40 else f"gadget{i % 37}q set ref{i:04d}x" for i in range(2000)
    ]
    rows = [
        {
            int(i): 1.0
            for i in (random.choice(40, 6, False) if user % 50 == 0 else 40 + random.choice(1960, 6, False))
        }
        for user in range(5000)
    ]
    found = keywords(history(rows, 2000), terms_of(documents, "en"), 3).to_pylist()
    assert {row[0] for row in found[::50]} == {"kettle"}


@pytest.mark.parametrize("rows", [[], [{}], [{3: 1.0}], [{4: 2.0, 3: 1.0}]])
def test_no_words_no_keywords(rows):
    assert keywords(history(rows), terms_of(DOCUMENTS, "en")).to_pylist() == [[] for _ in rows]
    nothing = terms_of([None] * len(DOCUMENTS), "en")
    assert keywords(history(rows), nothing).to_pylist() == [[] for _ in rows]


def test_a_count_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        keywords(history([{0: 1}]), terms_of(DOCUMENTS, "en"), 0)
