"""Shares, sentences and summands of a score, worked by hand and for any parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.bridge.contract import Parts
from ml.bridge.serve.reasons import Support, because, by_block, shortened, terms

# Two items; films' item 7 speaks through two blocks, once for and once against the second item.
PARTS = Parts(
    np.array([1.0, -5.0]),
    {
        "films": (np.array([7, 2, 7]), np.array([[2.0, 3.0], [1.0, -1.0], [1.0, -1.0]])),
        "books": (np.array([4]), np.array([[4.0, 0.0]])),
    },
    {"films": np.array(["text_profile", "union_als", "union_als"], dtype=object)},
    {("books", "region north"): np.array([1.0, 0.5])},
)


def title(domain: str, position: int) -> str:
    return f"{domain} {position}"


def test_shares_add_up_an_item_s_blocks_and_leave_out_what_speaks_against():
    support = Support.of(PARTS)
    assert support.helping().tolist() == [10.0, 2.5]
    shares = support.shares()
    assert shares["films"].tolist() == [0.4, 0.8]
    assert shares["books"].tolist() == [0.5, 0.2]
    assert support.crossed("books").tolist() == [0.4, 0.8]
    assert support.crossed("films").tolist() == [0.5, 0.2]


def test_an_item_for_which_nothing_speaks_has_no_shares():
    support = Support.of(Parts(np.array([-1.0]), {"films": (np.array([1]), np.array([[-2.0]]))}))
    assert support.crossed("books").tolist() == [0.0]
    assert because(support, 0, title) == "popular here"


def test_the_sentence_names_the_strongest_with_what_was_done():
    support = Support.of(PARTS)
    assert because(support, 0, title) == "because of books 4 in books: 40 %; films 7 in films: 30 %"
    verbs = {"books": "bought", "films": "watched"}
    assert (
        because(support, 0, title, verbs)
        == "because you bought books 4 in books: 40 %; you watched films 7 in films: 30 %"
    )
    assert because(support, 0, title, {"films": "watched"}).startswith("because of books 4")
    assert (
        because(support, 1, title) == "because of films 7 in films: 80 %; of your region north in books: 20 %"
    )


def test_a_verb_that_holds_for_both_is_said_once():
    parts = Parts(np.zeros(1), {"films": (np.array([1, 2]), np.array([[3.0], [1.0]]))})
    assert (
        because(Support.of(parts), 0, title, {"films": "watched"})
        == "because you watched films 1 in films: 75 %; films 2 in films: 25 %"
    )


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        ("a kettle", "a kettle"),
        ("a kettle, of steel", "a kettle…"),
        ("瓷瓷瓷瓷瓷瓷瓷瓷瓷瓷瓷瓷瓷瓷", "瓷瓷瓷瓷瓷瓷瓷瓷瓷瓷瓷…"),
        ("twelve chars", "twelve chars"),
    ],
)
def test_a_long_title_is_cut_after_a_word_and_says_so(whole, said):
    assert shortened(whole, 12) == said


def test_terms_have_every_past_item_once_with_its_blocks():
    found = terms(PARTS, 0)
    assert [(t.domain, t.what, t.value) for t in found] == [
        ("books", 4, 4.0),
        ("films", 7, 3.0),
        ("books", "region north", 1.0),
        ("films", 2, 1.0),
    ]
    assert found[1].blocks == {"text_profile": 2.0, "union_als": 1.0}
    assert found[0].blocks == {"": 4.0}
    assert found[2].blocks == {"user_attributes": 1.0}


@st.composite
def any_parts(draw) -> Parts:
    items = draw(st.integers(1, 3))
    numbers = st.floats(-1e3, 1e3, allow_nan=False)
    rows = []
    for domain in draw(st.sets(st.sampled_from(["films", "books", "tools"]))):
        past = draw(st.integers(0, 5))
        positions = draw(arrays(np.int64, past, elements=st.integers(0, 3)))
        blocks = draw(st.lists(st.sampled_from(["text", "als"]), min_size=past, max_size=past))
        values = draw(arrays(np.float64, (past, items), elements=numbers))
        rows.append((domain, positions, values, np.array(blocks, dtype=object)))
    return Parts.of(draw(arrays(np.float64, items, elements=numbers)), rows)


@settings(max_examples=60, deadline=None)
@given(any_parts())
def test_terms_and_blocks_with_the_constant_are_the_score(parts):
    for j, score in enumerate(parts.total()):
        assert parts.constant[j] + sum(t.value for t in terms(parts, j)) == pytest.approx(score, abs=1e-6)
        for term in terms(parts, j):
            assert sum(term.blocks.values()) == pytest.approx(term.value, abs=1e-6)
    blocks = sum(by_block(parts).values(), start=parts.constant)
    assert np.allclose(blocks, parts.total(), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(any_parts())
def test_shares_lie_between_0_and_1_and_leave_what_holds_for_all(parts):
    support = Support.of(parts)
    shares = sum(support.shares().values(), start=np.zeros(len(parts.constant)))
    assert ((shares >= 0) & (shares <= 1 + 1e-9)).all()
    rest = np.maximum(parts.constant, 0)
    assert np.allclose((1 - shares) * support.helping(), rest, atol=1e-6)
    for domain in ("films", "nowhere"):
        crossed = support.crossed(domain)
        assert ((crossed >= 0) & (crossed <= shares + 1e-9)).all()
