"""What the SVD asks of a matrix: products with it and with its transpose. It need not exist as entries.

A kernel's square root, a matrix in row groups on disk: each is factorised by the same solver as soon as it
can multiply.
"""

from __future__ import annotations

from typing import Protocol

import torch


class Operator(Protocol):
    """A fixed (m, n) linear map on a device, float32."""

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""

    @property
    def device(self) -> torch.device:
        """Where its operands and results lie."""

    @property
    def transposed(self) -> Operator:
        """The (n, m) transpose."""

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """(m, b) product with `dense` (n, b), in the operand's precision where it can."""

    def squared(self, dense: torch.Tensor) -> torch.Tensor:
        """(n, b) A'A times `dense` (n, b): what the search takes, in one pass where the operator is read."""

    def squared_norm(self) -> float:
        """The sum of its squared entries: what a factorisation's energy is a share of."""


class Product:
    """first (m, r) @ second (r, n)."""

    def __init__(self, first: Operator, second: Operator) -> None:
        if first.shape[1] != second.shape[0]:
            raise ValueError(f"shapes {first.shape} and {second.shape} cannot be multiplied")
        self._first, self._second = first, second
        self.shape, self.device = (first.shape[0], second.shape[1]), first.device

    @property
    def transposed(self) -> Product:
        """second.T @ first.T."""
        return Product(self._second.transposed, self._first.transposed)

    def matmul(self, dense: torch.Tensor) -> torch.Tensor:
        """From right to left."""
        return self._first.matmul(self._second.matmul(dense))

    def squared(self, dense: torch.Tensor) -> torch.Tensor:
        """A'(A dense)."""
        return self.transposed.matmul(self.matmul(dense))

    def squared_norm(self) -> float:
        """By products with the identity in blocks."""
        return norm_by_products(self)


def norm_by_products(operator: Operator, width: int = 256) -> float:
    """The sum of squared entries of any operator: exact, at the price of a product with the identity."""
    smaller = operator if operator.shape[1] <= operator.shape[0] else operator.transposed
    n, total = smaller.shape[1], 0.0
    for first in range(0, n, width):
        columns = torch.arange(first, min(first + width, n), device=operator.device)
        unit = torch.zeros((n, len(columns)), device=operator.device)
        unit[columns, columns - first] = 1
        total += float(torch.linalg.vector_norm(smaller.matmul(unit), dtype=torch.float64)) ** 2
    return total
