"""Similarity of texts by hand, and what it says of items and users without any."""

from dataclasses import replace

import bridge_world
import numpy as np
import pytest
from bridge_world import log_of

from ml.bridge.contract import Task
from ml.bridge.histories import histories
from ml.bridge.scorers.similarity import TextSimilarity
from ml.data import Catalogue

NAMES = np.array([None] * 3, dtype=object)


def catalogue(rows):
    vectors = np.array(rows, np.float32)
    return Catalogue(np.array([f"i{i}" for i in range(len(rows))]), NAMES, NAMES, vectors)


@pytest.fixture
def small():
    """Three items each; the third of either has no text. Users: 0 knows both films, 1 one, 2 nothing."""
    films = log_of([(0, 1, 0, 3.0), (0, 2, 1, 1.0), (1, 1, 1, 2.0), (1, 2, 2, 5.0)], 3, 3)
    books = log_of([(1, 1, 0, 1.0)], 3, 3)
    catalogues = {
        "films": catalogue([[1, 0], [0, 1], [0, 0]]),
        "books": catalogue([[1, 0], [0.6, 0.8], [0, 0]]),
    }
    return Task("books", ("films",), {"films": films, "books": books}, catalogues, device="cpu")


def scores(small, measure):
    past = histories(small.interactions, np.arange(3))
    return TextSimilarity(measure, "raw").fit(small).score(past).numpy()


def test_cosine_by_hand(small):
    """User 0: (3, 1) over its length. User 1: film (0, 2), book (1, 0), a film without text."""
    found = scores(small, "cosine")
    assert np.allclose(found[0], np.array([3, 0.6 * 3 + 0.8, 0]) / np.sqrt(10), atol=1e-6)
    assert np.allclose(found[1], np.array([1, 0.6 + 0.8 * 2, 0]) / np.sqrt(5), atol=1e-6)
    assert not found[2].any()


def test_euclidean_by_hand_is_the_distance_up_to_what_all_items_share(small):
    found = scores(small, "euclidean")
    for user, mean in ((0, np.array([0.75, 0.25])), (1, np.array([1 / 3, 2 / 3]))):
        items = small.catalogues["books"].vectors[:2]
        distance = -np.square(items - mean).sum(axis=1)
        assert np.allclose(found[user, :2], distance + mean @ mean, atol=1e-6)
        assert found[user, 2] == -1
    assert not found[2].any()


def test_in_the_common_space_a_shifted_source_changes_nothing(task):
    """All film vectors moved alike: the raw similarity follows the shift, the common space does not."""
    moved = task.catalogues["films"].vectors.copy()
    moved[2:] += 1.0
    shifted = {**task.catalogues, "films": replace(task.catalogues["films"], vectors=moved)}
    other = replace(task, catalogues=shifted, memo={})
    past = histories(task.interactions, np.arange(120))
    common, raw = (
        [TextSimilarity("cosine", space).fit(t).score(past).numpy() for t in (task, other)]
        for space in ("common", "raw")
    )
    assert np.allclose(*common, atol=1e-3)
    assert np.abs(raw[0] - raw[1]).max() > 0.1


def test_a_source_without_vectors_is_left_out_and_a_target_without_is_refused(task, world):
    vectors = {d: task.catalogues[d].vectors for d in ("books", "tools")}
    bare = bridge_world.task_of(world.with_vectors(vectors))
    assert TextSimilarity().fit(bare).domains == ("tools", "books")
    with pytest.raises(ValueError, match="materialise item_embeddings"):
        TextSimilarity().fit(
            bridge_world.task_of(world.with_vectors({"films": task.catalogues["films"].vectors}))
        )


@pytest.mark.parametrize("wrong", [{"measure": "dot"}, {"space": "whitened"}])
def test_an_unknown_measure_or_space_says_what_there_is(wrong):
    with pytest.raises(ValueError, match="cosine or euclidean, and raw or common"):
        TextSimilarity(**wrong)
