"""The three sparse products that every factorisation needs, each on its fastest kernel.

On two CPU cores scipy's CSR times dense beats torch's by 2-9x (19k x 7k, 85k entries, 64 columns: 3.2 ms
against 12.9 ms; the transposed shape: 2.4 against 21.7), so the CPU path multiplies with scipy on shared
memory; CUDA uses torch.sparse. The sampled product is torch's on both (3.0 ms against 120 ms for gather,
multiply, sum).
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy import sparse


def check_matrix(matrix: sparse.spmatrix, what: str = "matrix") -> sparse.csr_matrix:
    """The matrix as a canonical CSR (sorted, duplicates summed); ValueError where a value is NaN or
    infinite.
    """
    csr = sparse.csr_matrix(matrix)
    if not csr.has_canonical_format:
        csr = csr.copy()  # csr_matrix() shares its argument's arrays, and sum_duplicates sorts in place
        csr.sum_duplicates()
    bad = np.count_nonzero(~np.isfinite(csr.data))
    if bad:
        first = np.flatnonzero(~np.isfinite(csr.data))[0]
        row = int(np.searchsorted(csr.indptr, first, side="right") - 1)
        raise ValueError(
            f"{what} has {bad} NaN or infinite values, the first at row {row}, column {csr.indices[first]}: "
            "clean the weights before factorising"
        )
    return csr


class SparseOperator:
    """A fixed (m, n) sparse matrix on a device; `dtype` is float32 or float64."""

    def __init__(
        self, matrix: sparse.csr_matrix, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.shape = matrix.shape
        self.dtype, self.device = dtype, device
        self.csr = matrix.astype(np.float32 if dtype == torch.float32 else np.float64)
        self._torch = _to_torch(self.csr, device)
        self._transposed: SparseOperator | None = None

    @property
    def transposed(self) -> SparseOperator:
        """The (n, m) transpose, built once: a CSR product with the transpose is far faster than a CSC one."""
        if self._transposed is None:
            self._transposed = SparseOperator(self.csr.T.tocsr(), self.device, self.dtype)
            self._transposed._transposed = self
        return self._transposed

    @property
    def values(self) -> torch.Tensor:
        """(nnz,) stored values in row order."""
        return self._torch.values()

    def matmul(self, dense: torch.Tensor, values: torch.Tensor | None = None) -> torch.Tensor:
        """(m, k) product with `dense` (n, k); `values` (nnz,) stand in for the stored ones."""
        if self.device.type == "cpu":
            csr = self.csr
            if values is not None:
                csr = sparse.csr_matrix(
                    (values.numpy(), csr.indices, csr.indptr), shape=self.shape, copy=False
                )
            return torch.from_numpy(csr @ dense.contiguous().numpy())
        return (self._torch if values is None else self._with(values)) @ dense

    def sampled(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """(nnz,) inner products `left[i] . right[j]` at the stored entries (i, j); left (m, k), right (n,
        k).
        """
        if self.csr.nnz == 0:
            return torch.zeros(0, dtype=self.dtype, device=self.device)
        return torch.sparse.sampled_addmm(self._torch, left, right.T, beta=0.0).values()

    def _with(self, values: torch.Tensor) -> torch.Tensor:
        crow, columns = self._torch.crow_indices(), self._torch.col_indices()
        return torch.sparse_csr_tensor(crow, columns, values, size=self.shape, check_invariants=False)


def _to_torch(csr: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    with warnings.catch_warnings():  # torch announces on every start that its CSR support is in beta
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(csr.indptr.astype(np.int64)),
            torch.from_numpy(csr.indices.astype(np.int64)),
            torch.from_numpy(csr.data),
            size=csr.shape,
            device=device,
            check_invariants=False,
        )
