"""The intervals: do they cover the truth as often as they say, and are they the same twice?"""

import numpy as np
import pytest

from ml.metrics import intervals
from ml.metrics.intervals import bootstrap_mean, bootstrap_means, paired_lift, pooled_lift


@pytest.mark.parametrize("kind, truth", [("normal", 0.3), ("bernoulli", 0.3)])
def test_covers_the_true_mean_about_95_times_in_100(kind, truth):
    random = np.random.default_rng(11)
    samples = random.normal(truth, 1, (150, 1500)) if kind == "normal" else random.random((150, 1500)) < truth
    covered = [found.low <= truth <= found.high for found in bootstrap_means(samples)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_width_is_that_of_the_standard_error():
    values = np.random.default_rng(0).normal(5, 2, 4000)
    found = bootstrap_mean(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.06)


def test_the_seed_decides_and_chunks_keep_memory_flat(monkeypatch):
    values = np.random.default_rng(0).random(500)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)
    whole = bootstrap_mean(values, draws=50)
    monkeypatch.setattr(intervals, "CHUNK_NUMBERS", 1000)
    assert bootstrap_mean(values, draws=50) == whole


def test_users_without_value_are_left_out_and_counted():
    found = bootstrap_mean(np.array([1.0, np.nan, 1.0]))
    assert (found.mean, found.low, found.high, found.n, found.left_out) == (1, 1, 1, 2, 1)
    nobody = bootstrap_mean(np.array([np.nan]))
    assert np.isnan([nobody.mean, nobody.low, nobody.high]).all()
    assert (nobody.n, nobody.left_out) == (0, 1)
    assert not (nobody.above_zero)
    assert not (nobody.below_zero)


def test_pairing_sees_a_difference_that_separate_intervals_do_not():
    random = np.random.default_rng(0)
    twin = random.normal(0, 1, 400)
    bridge = twin + random.normal(0.05, 0.05, 400)
    a, b = bootstrap_mean(bridge), bootstrap_mean(twin)
    assert a.low < b.high  # overlapping
    assert paired_lift(bridge, twin).above_zero
    assert paired_lift(twin, bridge).below_zero
    assert not paired_lift(twin, twin).above_zero


def test_a_pair_needs_both_values():
    lift = paired_lift(np.array([3.0, np.nan, 1.0]), np.array([1.0, 1.0, np.nan]))
    assert (lift.mean, lift.n, lift.left_out) == (2, 1, 2)
    with pytest.raises(ValueError, match="same users"):
        paired_lift(np.zeros(2), np.zeros(3))


def test_pooling_weighs_users_and_not_targets():
    pooled = pooled_lift([(np.ones(3), np.zeros(3)), (np.full(1, 5.0), np.zeros(1))])
    assert (pooled.mean, pooled.n) == (2, 4)
    assert pooled_lift([]).n == 0


def test_columns_share_their_resamples_and_give_what_each_gives_alone(monkeypatch):
    values = np.random.default_rng(0).random((300, 3))
    values[:, 2] = values[:, 0] - values[:, 1]
    values[[5, 17]] = np.nan
    for chunk in (intervals.CHUNK_NUMBERS, 1000):
        monkeypatch.setattr(intervals, "CHUNK_NUMBERS", chunk)
        together = bootstrap_means(values, draws=200, seed=3)
        for found, column in zip(together, values.T, strict=True):
            alone = bootstrap_mean(column, draws=200, seed=3)
            assert (found.n, found.left_out) == (alone.n, alone.left_out) == (298, 2)
            assert (found.mean, found.low, found.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_a_user_without_value_in_one_column_is_left_out_of_all():
    first, second = bootstrap_means(np.array([[1.0, 2.0], [5.0, np.nan], [1.0, 2.0]]))
    assert (first.mean, second.mean, first.n, second.left_out) == (1, 2, 2, 1)
    nobody = bootstrap_means(np.full((2, 3), np.nan))
    assert [found.n for found in nobody] == [0, 0, 0]
    assert np.isnan([found.mean for found in nobody]).all()


def test_many_users_are_drawn_in_groups_and_come_out_alike(monkeypatch):
    # In order of their values: groups must not be of neighbours.
    values = np.sort(np.random.default_rng(4).exponential(size=3001))
    whole = bootstrap_mean(values)
    monkeypatch.setattr(intervals, "MOST_UNITS", 700)
    grouped = bootstrap_mean(values)
    assert grouped.mean == whole.mean
    assert grouped.n == 3001
    assert grouped.high - grouped.low == pytest.approx(whole.high - whole.low, rel=0.1)
    level = bootstrap_mean(np.full(3001, 0.1))
    assert (level.low, level.high) == (0.1, 0.1)


def test_either_end_is_the_outer_one_of_percentile_and_student():
    values = np.array([0, 0, 0, 0.5, 1.0])
    found, half = bootstrap_mean(values), 2.776 * values.std(ddof=1) / np.sqrt(5)
    assert found.low == pytest.approx(0.3 - half, abs=1e-3)
    # Skewed to the right: there the percentile reaches further.
    assert found.high > 0.3 + half + 0.02
    alone = bootstrap_mean(np.array([0.5]))
    assert (alone.low, alone.high, alone.p) == (0.5, 0.5, 1)
    assert found.low < 0 == found.within(0, 1).low
    assert np.isnan(bootstrap_mean(np.array([])).within(0, 1).low)
