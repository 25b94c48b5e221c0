"""Reviews in a snapshot: beside their interactions through files and splits; none leave no trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.reviews import REVIEWS_FILE, Reviews
from ml.snapshot_files import read_snapshot, write_snapshot

INTERACTIONS = pa.table(
    {
        "domain": ["a", "a", "a", "b"],
        "user_id": ["u1", "u1", "u2", "u1"],
        "item_id": ["i1", "i2", "i1", "j1"],
        "event_time": pa.array([30, 10, 20, 5], pa.timestamp("us", tz="UTC")),
        "weight": [1.0, 2.0, 3.0, 1.0],
    }
)
ITEMS = pa.table(
    {
        "domain": ["a", "a", "b"],
        "item_id": ["i1", "i2", "j1"],
        "title": ["x", "y", "z"],
        "text_hash": ["1", "2", "3"],
    }
)
# Of u1 on i1 (disliked), of u2 on i1 (the same words, nothing known), of a pair that has no interaction.
REVIEWS = pa.table(
    {
        "domain": ["a", "a", "a"],
        "user_id": ["u2", "u1", "u2"],
        "item_id": ["i1", "i1", "i2"],
        "text_hash": ["same", "same", "other"],
        "sentiment": [None, -0.5, 1.0],
    }
)


def test_reviews_lie_beside_their_interactions(tmp_path) -> None:
    path = write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=REVIEWS)
    snapshot = read_snapshot(path)
    log = snapshot.interactions["a"]
    assert log.items.tolist() == [1, 0, 0]  # u1 on i2, u1 on i1, u2 on i1
    assert log.reviews is not None
    assert log.reviews.taste.tolist() == [1.0, 0.25, 1.0]
    assert log.reviews.rows.tolist() == [-1, 0, 0]
    assert log.reviews.hashes.tolist() == ["same"]
    assert snapshot.interactions["b"].reviews is None
    assert not log.reviews.embedded.any()
    embedded = snapshot.with_review_vectors({"a": np.ones((1, 2), np.float32)}, "key").interactions["a"]
    assert embedded.reviews.embedded.tolist() == [False, True, True]
    assert embedded.before(25).reviews.rows.tolist() == [-1, 0]
    assert embedded.of_users(np.array([False, True])).reviews.taste.tolist() == [1.0]


def test_without_reviews_nothing_is_different(tmp_path) -> None:
    without = write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100)
    assert write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=REVIEWS.slice(0, 0)) == without
    assert write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=REVIEWS.slice(2)) == without
    assert not (without / REVIEWS_FILE).exists()
    assert read_snapshot(without).interactions["a"].reviews is None


def test_reviews_count_in_the_digest_whatever_their_order(tmp_path) -> None:
    path = write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=REVIEWS)
    assert write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=REVIEWS.take([2, 1, 0])) == path
    changed = REVIEWS.set_column(4, "sentiment", pa.array([None, -0.25, 1.0]))
    assert write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=changed) != path
    assert write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100) != path


def test_a_review_without_text_still_says_whether_it_was_liked(tmp_path) -> None:
    silent = REVIEWS.set_column(3, "text_hash", pa.nulls(3, pa.string()))
    reviews = (
        read_snapshot(write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=silent))
        .interactions["a"]
        .reviews
    )
    assert reviews.taste.tolist() == [1.0, 0.25, 1.0]
    assert reviews.rows.tolist() == [-1, -1, -1]
    assert len(reviews.hashes) == 0


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12), st.data())
def test_a_saved_model_keeps_the_texts_it_uses_and_no_others(rows: list[int], data) -> None:
    vectors = np.array([[1, 0], [0, 0], [0, 2], [3, 3]], np.float32)  # text 1 is not embedded
    reviews = Reviews(
        np.linspace(0, 1, len(rows), dtype=np.float32), np.array(rows, np.int32), None, vectors, "k"
    )
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    kept = reviews.select(mask)
    again = Reviews.restore(kept.arrays(texts=True))
    assert np.array_equal(again.taste, kept.taste)
    assert np.array_equal(again.embedded, kept.embedded)
    assert np.array_equal(again.vectors[again.rows[again.embedded]], vectors[kept.rows[kept.embedded]])
    assert len(again.vectors) == len(
        {row for row, m in zip(rows, mask, strict=True) if m and row not in (-1, 1)}
    )
    bare = Reviews.restore(kept.arrays(texts=False))
    assert bare.vectors is None
    assert not bare.embedded.any()
    assert not replace(kept, vectors=None).embedded.any()


def test_two_texts_of_one_pair_are_refused(tmp_path) -> None:
    twice = pa.concat_tables([REVIEWS, REVIEWS.set_column(3, "text_hash", pa.array(["x", "y", "z"]))])
    with pytest.raises(ValueError, match="one row"):
        write_snapshot(tmp_path, INTERACTIONS, ITEMS, 100, reviews=twice)
