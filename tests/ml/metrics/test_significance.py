"""p, q and the least detectable lift: by hand, against scipy, and on worlds whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from ml.metrics.intervals import bootstrap_mean, bootstrap_means
from ml.metrics.significance import benjamini_hochberg, bootstrap_p, detectable_lift, student, tail


def test_q_by_hand():
    # Ranks 1, 2, 3 of three: .01 * 3 / 1, .04 * 3 / 2, .05 * 3 / 3; the step-up takes the least from above.
    assert benjamini_hochberg(np.array([0.04, 0.01, 0.05])) == pytest.approx([0.05, 0.03, 0.05])
    assert benjamini_hochberg(np.array([0.02])) == pytest.approx([0.02])
    assert benjamini_hochberg(np.array([])).shape == (0,)


def test_a_cohort_without_users_is_no_member_of_the_family():
    q = benjamini_hochberg(np.array([np.nan, 0.03, 0.9]))
    assert np.isnan(q[0])
    assert q[1:] == pytest.approx([0.06, 0.9])


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg(np.array([0.1, 1.5]))


@given(arrays(float, st.integers(1, 12), elements=st.floats(0, 1)))
@settings(max_examples=60)
def test_q_is_scipys(p):
    q = benjamini_hochberg(p)
    np.testing.assert_allclose(q, stats.false_discovery_control(p, method="bh"), atol=1e-12)
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= -1e-12).all()


def test_the_tail_is_the_usual_one_for_many_users_and_thinner_for_few():
    assert tail(0.95, 10_000) == pytest.approx(0.025, abs=1e-4)
    assert tail(0.95, 1) == 0 < tail(0.95, 5) < tail(0.95, 50) < 0.025


def test_p_by_hand():
    means = np.column_stack([np.linspace(0.1, 1, 100), np.linspace(-1, 1, 100), np.zeros(100)])
    alone, even, nothing = bootstrap_p(means, users=10**6)
    assert alone == pytest.approx(1 / 101, rel=1e-3)  # no resample at 0 or below: the floor
    assert even == pytest.approx(1)
    assert nothing == 1
    assert bootstrap_p(means, users=2)[0] > 0.2  # two who agree prove little
    assert bootstrap_p(means, users=1).tolist() == [1, 1, 1]


def test_student_is_scipys():
    values = np.random.default_rng(3).normal(0.3, 1, (12, 4))
    half, p = student(values.mean(0), values.std(0, ddof=1), 12)
    theirs = stats.ttest_1samp(values, 0)
    np.testing.assert_allclose(p, theirs.pvalue)
    np.testing.assert_allclose(values.mean(0) + half, theirs.confidence_interval(0.95).high)
    level, apart = student(np.array([0.0, 0.5]), np.zeros(2), 12)[1]
    assert (level, apart) == (1, 0)


def test_p_says_what_the_interval_says():
    values = np.random.default_rng(0).normal(0.12, 1, (200, 300))
    for found in bootstrap_means(values):
        outside = found.above_zero or found.below_zero
        assert outside == (found.p < 0.05) or found.p == pytest.approx(0.05, abs=0.003)


def test_p_of_no_difference_is_seldom_small():
    random = np.random.default_rng(1)
    # Most users are level, as with recall.
    values = random.normal(size=(120, 2000)) * (random.random((120, 2000)) < 0.3)
    p = np.array([found.p for found in bootstrap_means(values)])
    assert (p <= 0.05).mean() == pytest.approx(0.045, abs=0.012)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=0.05)
    assert bootstrap_mean(np.zeros(40)).p == 1


def test_the_detectable_lift_by_hand_and_found_four_times_in_five():
    differences = np.array([1.0, -1.0, np.nan, 1.0, -1.0])
    assert detectable_lift(differences) == pytest.approx((1.95996 + 0.84162) * np.sqrt(4 / 3) / 2, rel=1e-5)
    assert np.isnan(detectable_lift(np.array([1.0, np.nan])))
    assert detectable_lift(np.full(9, 0.25)) == 0
    spread = np.random.default_rng(2).normal(0, 1, 100)
    least = detectable_lift(spread / spread.std(ddof=1))
    worlds = np.random.default_rng(3).normal(least, 1, (100, 1500))
    found = np.mean([row.above_zero for row in bootstrap_means(worlds, draws=1000)])
    assert found == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("users", [50, 200, 2000])
def test_intervals_of_recall_hold_the_truth_95_times_in_100(users):
    """Skewed values with many zeros; the other worlds and their figures: benchmarks/interval_coverage.py."""
    random = np.random.default_rng(17)
    shape = (users, 1500 if users < 2000 else 600)
    relevant, served = 1 + random.geometric(0.4, shape), random.random(shape) < 0.6
    found = random.beta(1, 2, shape)
    more = found + (1 - found) * random.beta(1, 4, shape)
    twin, bridge = (random.binomial(relevant, np.where(served, p, 0)) / relevant for p in (found, more))
    for values, truth in ((twin, 0.6 / 3), (bridge - twin, 0.6 * (2 / 3) * (1 / 5))):
        held = np.mean([row.low <= truth <= row.high for row in bootstrap_means(values)])
        assert held == pytest.approx(0.95, abs=0.02)
