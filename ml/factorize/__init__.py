"""Factorisations of sparse interaction matrices: truncated SVD and weighted ALS, in torch."""
