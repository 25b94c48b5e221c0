"""Popularity with and without decay, by hand."""

import numpy as np
import pytest
from bridge_world import DAY, log_of

from ml.bridge.contract import Task
from ml.bridge.histories import histories
from ml.bridge.scorers.popularity import Popularity

# Item 0 twice long ago, item 1 once at the end, item 2 never.
LOG = log_of([(0, 0, 0, 1.0), (1, 0, 0, 5.0), (2, 20 * DAY, 1, 1.0)], 3, 3)


def scores(half_life, log=LOG):
    scorer = Popularity(half_life).fit(Task("books", (), {"books": log}, {}, device="cpu"))
    return scorer.score(histories({"books": log}, np.array([0])))[0].tolist()


def test_by_hand():
    assert scores(None) == pytest.approx(np.log1p([2, 1, 0]))
    assert scores(10.0) == pytest.approx(np.log1p([2 / 4, 1, 0]))
    assert scores(1e12) == pytest.approx(scores(None))


def test_an_empty_log_has_no_newest_day():
    assert scores(10.0, log_of([], 3, 3)) == [0, 0, 0]


def test_settings_name_a_decay_only_where_there_is_one():
    assert Popularity().settings == {}
    assert Popularity(30.0).settings == {"half_life_days": 30.0}


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan")])
def test_a_half_life_without_meaning_is_refused(days):
    with pytest.raises(ValueError, match="give days above 0, or None"):
        Popularity(days)
