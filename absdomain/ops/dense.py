"""Matrices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.kinds import Affine, Op, Shape
from absdomain.kinds.live import live
from absdomain.linear import Rows


@dataclass(frozen=True, eq=False)
class Dense(Affine):
    """x -> W x + b on the last axis; W (m, n) and b (m,), or for x (B, n) one per sample: (B, m, n) and (B, m)."""

    weight: Tensor = live(required=True)
    bias: Tensor | None = live()

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        self._check(xs[0].dim() - 1)
        return F.linear(xs[0], w) if w.dim() == 2 else torch.matmul(xs[0].unsqueeze(1), w.transpose(1, 2)).squeeze(1)

    def _check(self, axes: int) -> None:
        """A matrix or offset per sample would be matched with the positions of an argument that has them."""
        if axes == 1:
            return
        bias = self.bias
        if self.weight.dim() > 2 or (bias is not None and bias.dim() > 1):
            given = f"weight {tuple(self.weight.shape)} and bias {None if bias is None else tuple(bias.shape)}"
            raise ValueError(
                f"Dense: {given} differ from sample to sample, but the argument has {axes} axes besides the batch; "
                "give such a matrix on the flattened argument, after a Reshape"
            )

    def __call__(self, *xs: Tensor) -> Tensor:
        weight = self.weight
        if weight.dim() > 2:
            return super().__call__(*xs)
        self._check(xs[0].dim() - 1)
        return F.linear(xs[0], weight, self.bias)

    def shape(self, *shapes: Shape) -> Shape:
        self._check(len(shapes[0]))
        m, n = self.weight.shape[-2:]
        if shapes[0][-1:] != (n,):
            raise ValueError(f"Dense: the last axis has {n} entries, as the weight has columns; got shape {shapes[0]}")
        return (*shapes[0][:-1], m)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return (y @ w,)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        weight, rows = self.weight, rows.dense()
        unit = rows.unit if len(rows.shape) == 1 else None  # the rows of W themselves
        if weight.dim() == 2:
            return (rows.with_data(rows.data @ weight if unit is None else weight[unit]),)
        if unit is not None and rows.columns is None:
            return (rows.with_data(weight[:, unit.squeeze(1)].transpose(0, 1)),)
        data = rows.data.transpose(0, 1)  # (N or 1, K, m) against (N or 1, m, n)
        return (rows.with_data(torch.matmul(data, rows.seen(weight)).transpose(0, 1)),)

    def followed_by(self, C: Tensor, d: Tensor) -> Dense | None:
        bias = self.bias
        return Dense(C @ self.weight, d if bias is None else torch.matmul(C, bias.unsqueeze(-1)).squeeze(-1) + d)

    def scaled(self, w: Tensor, b: Tensor) -> Dense | None:
        if self.weight.dim() > 2 or w.dim() > 1 or b.dim() > 1:
            return None
        w, b = w.to(self.weight), b.to(self.weight)  # numbers are float64, and with an axis they would promote
        bias = b if self.bias is None else w * self.bias + b
        return Dense(w.reshape(-1, 1) * self.weight, bias.expand(len(self.weight)))

    def after(self, previous: Op) -> Op | None:
        bias = self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias
        return previous.followed_by(self.weight, bias) if self.weight.dim() == 2 else None
