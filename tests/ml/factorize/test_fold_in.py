"""Fold-in against the factorisation itself (what it knows) and against a refit (what it does not)."""

import numpy as np
import pytest
from scipy import sparse

from ml.factorize.fold_in import fold_in_items, fold_in_users
from ml.factorize.svd import truncated_svd
from ml.factorize.weighting import weighting

RANK = 6


@pytest.fixture(scope="module")
def plain():
    """600 users of 6 tastes with 240 items: 30 % of the items of one's own taste, 1 % of the others."""
    random = np.random.default_rng(0)
    taste = random.integers(RANK, size=600), random.integers(RANK, size=240)
    odds = np.where(taste[0][:, None] == taste[1], 0.3, 0.01)
    return sparse.csr_matrix((random.random(odds.shape) < odds).astype(np.float32))


@pytest.mark.parametrize("kind", ["none", "degree", "tf_idf", "bm25"])
def test_known_users_and_items_get_the_factors_they_have(plain, kind):
    fitted = weighting(plain, kind)
    svd = truncated_svd(fitted.of_users(plain), RANK, tolerance=1e-4)
    users, items = fold_in_users(svd, fitted.of_users(plain)), fold_in_items(svd, fitted.of_items(plain))
    np.testing.assert_allclose(users, svd.u, atol=1e-5)
    # A'u = s v up to the residual: the stated tolerance.
    assert (np.linalg.norm(items - svd.v, axis=0) <= svd.residuals / svd.s + 1e-5).all()


def relative_gaps(ours, theirs):
    return np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)


@pytest.mark.parametrize("kind", ["degree", "tf_idf", "bm25"])
def test_new_users_get_nearly_the_scores_of_a_refit(plain, kind):
    known, new = plain[:-30], plain[-30:]
    fitted, whole = weighting(known, kind), weighting(plain, kind)
    svd = truncated_svd(fitted.of_users(known), RANK, tolerance=1e-3)
    refit = truncated_svd(whole.of_users(plain), RANK, tolerance=1e-3)
    ours = fold_in_users(svd, fitted.of_users(new)) * svd.s @ svd.v.T
    theirs = refit.u[-30:] * refit.s @ refit.v.T
    assert np.quantile(relative_gaps(ours, theirs), 0.9) < 0.12


@pytest.mark.parametrize("kind", ["degree", "tf_idf", "bm25"])
def test_new_items_get_nearly_the_scores_of_a_refit(plain, kind):
    known, new = plain[:, :-12].tocsr(), plain[:, -12:].tocsr()
    fitted, whole = weighting(known, kind), weighting(plain, kind)
    svd = truncated_svd(fitted.of_users(known), RANK, tolerance=1e-3)
    refit = truncated_svd(whole.of_users(plain), RANK, tolerance=1e-3)
    ours = fold_in_items(svd, fitted.of_items(new)) * svd.s @ svd.u.T
    theirs = refit.v[-12:] * refit.s @ refit.u.T
    assert np.quantile(relative_gaps(ours, theirs), 0.9) < 0.15


def test_an_empty_history_and_a_factor_of_no_strength_give_zeros():
    svd = truncated_svd(sparse.csr_matrix(np.outer(np.arange(1, 31), np.ones(20))), 3)
    rows = sparse.csr_matrix(np.stack([np.zeros(20), np.ones(20)]))
    found = fold_in_users(svd, rows)
    assert not found[0].any()
    assert found[1, 0] != 0
    assert not found[1, 1:].any()  # the matrix has rank one


def test_rows_of_another_catalogue_and_values_that_are_no_numbers_are_refused(plain):
    svd = truncated_svd(plain, 2)
    with pytest.raises(ValueError, match="3 entries each"):
        fold_in_users(svd, sparse.csr_matrix((1, 3)))
    with pytest.raises(ValueError, match="row 0, column 1"):
        fold_in_items(svd, sparse.csr_matrix(([np.nan], ([0], [1])), shape=(600, 2)))
