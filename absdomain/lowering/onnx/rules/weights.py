"""Affine maps with weights, and products of matrices."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy
import torch

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.lowering.activations import affine
from absdomain.lowering.onnx.rules.arithmetic import product, summed
from absdomain.lowering.onnx.rules.windows import cut, padding
from absdomain.lowering.onnx.table import Activation, Array, Call, Value, lowers


@lowers("MatMul")
def _matmul(call: Call, x: Value, y: Value) -> Activation:
    return call.reshaped(times(call, x, y), call.shape)


@lowers("Gemm")
def _gemm(call: Call, a: Value, b: Value, c: Value = None) -> Activation:
    """alpha A B + beta C, A and B perhaps transposed."""
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    left = _transposed(call, a) if call.attribute("transA", 0) else a
    right = _transposed(call, b) if call.attribute("transB", 0) else b
    if isinstance(left, Activation) and isinstance(right, numpy.ndarray):
        scaled = right if alpha == 1 else right * right.dtype.type(alpha)
        offset = None if not isinstance(c, numpy.ndarray) else c * c.dtype.type(beta)
        if offset is None or prod(offset.shape[:-1]) == 1:  # one offset for all rows
            row = None if offset is None else numpy.broadcast_to(offset.reshape(-1), (right.shape[1],))
            bias = None if row is None else call.tensor(row)
            y = call.apply(ops.Dense(call.tensor(scaled.T), bias), left)
            return y if offset is not None or c is None else summed(call, y, _scaled(call, c, beta), call.shape)
    y = times(call, left, right)
    y = y if alpha == 1 else affine(call, y, alpha)
    return y if c is None else summed(call, y, _scaled(call, c, beta), call.shape)


def _scaled(call: Call, c: Value, beta: float) -> Value:
    if isinstance(c, Activation):
        return c if beta == 1 else affine(call, c, beta)
    return call.constant(c, "an offset") * numpy.asarray(beta, call.constant(c, "an offset").dtype)


def _transposed(call: Call, x: Value) -> Value:
    """The last two axes exchanged."""
    if isinstance(x, numpy.ndarray):
        return numpy.swapaxes(x, -1, -2)
    x = call.active(x)
    rank, shape = len(x.shape), (*x.shape[:-2], x.shape[-1], x.shape[-2])
    order = (*range(rank - 1), rank, rank - 1)
    return call.known(call.raw(ops.Permute(order), call.viewed(x, x.shape)), shape)


def times(call: Call, x: Value, y: Value) -> Activation:
    """x y as NumPy multiplies matrices, a vector being a row on the left and a column on the right."""
    if isinstance(y, numpy.ndarray):
        if y.ndim == 1:
            return times(call, x, y.reshape(-1, 1))
        if prod(y.shape[:-2]) == 1:
            x = call.active(x)
            wide = call.known(x.name, (*(1,) * (y.ndim - len(x.shape)), *x.shape))
            return call.apply(ops.Dense(call.tensor(y.reshape(y.shape[-2:]).T)), wide)
    elif isinstance(x, numpy.ndarray):
        left, right = numpy.atleast_2d(x), call.active(y)
        columns = right if len(right.shape) > 1 else call.known(right.name, (*right.shape, 1))
        if prod(left.shape[:-2]) == 1:
            flipped = times(call, _transposed(call, columns), numpy.swapaxes(left, -1, -2))
            return call.active(_transposed(call, flipped))
        y = columns
    return _summed_products(call, _matrix(call, x, row=True), _matrix(call, y, row=False))


def _matrix(call: Call, x: Value, *, row: bool) -> Value:
    """A vector as a matrix of one row or column."""
    if x is None or len(x.shape) > 1:
        return x
    shape = (1, *x.shape) if row else (*x.shape, 1)
    return x.reshape(shape) if isinstance(x, numpy.ndarray) else call.known(call.active(x).name, shape)


def _summed_products(call: Call, x: Value, y: Value) -> Activation:
    """sum over k of x_ik y_kj; with a constant, every product an entry."""
    assert x is not None and y is not None
    (*lead, m, k), n = x.shape, y.shape[-1]
    batch = numpy.broadcast_shapes(tuple(lead), y.shape[:-2])
    if isinstance(x, Activation) and isinstance(y, Activation):
        wide = call.broadcast(x, (*batch, m, k)), call.broadcast(y, (*batch, k, n))
        both = (call.viewed(v, v.shape) for v in wide)
        return call.known(call.raw(ops.MatMul(), *both), (*batch, m, n))
    call.room(prod((*batch, m, n, k)))
    left = _inserted(call, x, (*x.shape[:-1], 1, k))
    flipped = _transposed(call, y)
    assert flipped is not None
    right = _inserted(call, flipped, (*y.shape[:-2], 1, n, k))
    each = product(call, left, right, (*batch, m, n, k))
    held = call.viewed(each, (*batch, m, n, k))
    return call.known(call.raw(ops.Sum((len(batch) + 3,)), held), (*batch, m, n))


def _inserted(call: Call, x: Value, shape: Shape) -> Value:
    return x.reshape(shape) if isinstance(x, numpy.ndarray) else call.known(call.active(x).name, shape)


@lowers("Conv")
def _conv(call: Call, x: Value, weight: Value, bias: Value = None) -> Activation:
    x, w, stride, dilation = _windows(call, x, weight)
    before, after = padding(call, x.shape[2:], w.shape[2:], stride, dilation)
    held = x.name
    if before != after:
        held = call.raw(ops.Pad(tuple(p for pair in zip(before[::-1], after[::-1], strict=True) for p in pair)), held)
        before = (0,) * len(stride)
    b = None if bias is None else call.tensor(call.constant(bias, "an offset"))
    op = ops.Conv(call.tensor(w), b, stride, before, dilation, call.attribute("group", 1))
    return call.known(call.raw(op, held), call.shape)


@lowers("ConvTranspose")
def _conv_transpose(call: Call, x: Value, weight: Value, bias: Value = None) -> Activation:
    """The whole transposed convolution, of which the padding is cut off."""
    x, w, stride, dilation = _windows(call, x, weight)
    axes = len(stride)
    more = tuple(call.attribute("output_padding", (0,) * axes))
    whole = tuple(
        (n - 1) * s + d * (k - 1) + 1 + m
        for n, k, s, d, m in zip(x.shape[2:], w.shape[2:], stride, dilation, more, strict=True)
    )
    before, after = cut(call, whole, call.shape[2:])
    b = None if bias is None else call.tensor(call.constant(bias, "an offset"))
    even = before == after
    padding = before if even else (0,) * axes
    op = ops.ConvTranspose(call.tensor(w), b, stride, padding, more, dilation, call.attribute("group", 1))
    full = call.raw(op, x.name)
    if even:
        return call.known(full, call.shape)
    shape = call.builder.shape(full)
    index = torch.arange(prod(shape)).view(shape)
    for axis, (start, size) in enumerate(zip(before, call.shape[2:], strict=True), 1):
        index = index.narrow(axis, start, size)
    return call.known(call.raw(ops.Gather(index.contiguous()), full), call.shape)


def _windows(call: Call, x: Value, weight: Value) -> tuple[Activation, Array, Shape, Shape]:
    """What a convolution reads, its weight, and the strides and dilations of its spatial axes."""
    x, w = call.active(x), call.constant(weight, "a weight")
    axes = w.ndim - 2
    if len(x.shape) != axes + 2 or x.shape[0] != 1:
        call.unsupported(f"is applied to {x.shape}", "keep the first axis for the batch, of one sample")
    if not 1 <= axes <= 3:
        call.unsupported(f"has {axes} spatial axes", "use one to three")
    stride, dilation = (tuple(call.attribute(name, (1,) * axes)) for name in ("strides", "dilations"))
    return x, w, stride, dilation


@lowers("BatchNormalization")
def _batch_norm(call: Call, x: Value, gain: Value, shift: Value, mean: Value, variance: Value) -> list[Activation]:
    if call.attribute("training_mode", 0) or len([name for name in call.node.output if name]) > 1:
        call.unsupported("is in training mode", "export the network in evaluation mode")
    if call.attribute("spatial", 1) == 0:
        call.unsupported("has statistics for each entry", "use spatial = 1")
    x = call.active(x)
    given = [call.constant(v, "statistics") for v in (gain, shift, mean, variance)]
    return [_normalised(call, x, given, call.attribute("epsilon", 1e-5))]


def _normalised(call: Call, x: Activation, given: list[Array], eps: float) -> Activation:
    g, b, m, v = map(call.tensor, given)
    if len(x.shape) < 2 or x.shape[0] != 1:  # the channels are not the first axis of what holds x
        w = g * torch.rsqrt(v + eps)
        along = (1, -1, *(1,) * (len(x.shape) - 2))
        scale: Any = ops.Scale(w.view(along), (b - m * w).view(along))
        return call.known(call.raw(scale, call.viewed(x, x.shape)), x.shape)
    return call.apply(ops.BatchNorm(m, v, g, b, eps, len(x.shape) - 2), x)
