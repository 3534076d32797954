"""Sparse matrices of affine ops, and what else numpy and torch exchange on the way to a solver."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from absdomain.kinds import Affine, Shape
from absdomain.linear import Rows
from absdomain.linear.axes import flat as joined

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Columns = NDArray[np.int64]
_BLOCK = 2**21  # coefficients held at once while a matrix is written out


class Matrices:
    """The matrices of affine ops, each written out once, through its adjoint."""

    def __init__(self) -> None:
        self._made: dict[tuple[Affine, tuple[Shape, ...]], tuple[list[csr_array], Array]] = {}

    def of(self, op: Affine, shapes: tuple[Shape, ...], sample: int, like: Tensor) -> tuple[csr_array, Array]:
        """A (m, n) on the entries of all arguments laid end to end, and b (m,), for one sample."""
        if (op, shapes) not in self._made:
            self._made[op, shapes] = _written_out(op, shapes, like)
        matrices, offsets = self._made[op, shapes]
        return matrices[sample % len(matrices)], offsets[sample % len(offsets)]


def _written_out(op: Affine, shapes: tuple[Shape, ...], like: Tensor) -> tuple[list[csr_array], Array]:
    shape = op.shape(*shapes)
    matrices = written(lambda rows: op.adjoint(rows, *shapes), np.arange(prod(shape)), shape, shapes, like)
    offset = like.new_zeros(1) if op.offset is None else op.offset.to(like)
    batch = len(offset) if offset.dim() > len(shape) else 1
    return matrices, offset.expand(batch, *shape).reshape(batch, -1).detach().double().cpu().numpy()


def written(
    pull: Callable[[Rows], tuple[Rows, ...]], index: Columns, shape: Shape, shapes: tuple[Shape, ...], like: Tensor
) -> list[csr_array]:
    """The rows `index` of the linear map whose adjoint is `pull`: one matrix, or one per sample.

    The map is from arguments of the given shapes, laid end to end, to entries of `shape`.
    """
    from scipy import sparse

    width = sum(map(prod, shapes))
    blocks: list[list[csr_array]] = []
    for block in torch.from_numpy(index).to(like.device).split(max(1, _BLOCK // width)):
        parts = [joined(rows.data.detach(), 2) for rows in pull(Rows.units(block, shape, like))]
        many = max(part.shape[1] for part in parts)
        whole = torch.cat([part.expand(-1, many, -1) for part in parts], 2).double().cpu().numpy()
        blocks.append([sparse.csr_array(whole[:, sample]) for sample in range(many)])
    if not len(index):
        return [sparse.csr_array((0, width))]
    return [sparse.vstack(own, "csr") for own in zip(*blocks, strict=True)]


def widened(rows: csr_array, width: int) -> csr_array:
    """The same rows with columns of zeros on their right."""
    from scipy import sparse

    return sparse.csr_array((rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], width))


def flat(t: Tensor, sample: int) -> Array:
    """One sample's entries in double precision."""
    entries: Array = t[sample % len(t)].detach().double().cpu().numpy().ravel()
    return entries
