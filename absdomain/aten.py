"""The table from ATen overloads to ops; a rule is a line or a few."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from absdomain import ops
from absdomain.kinds import Shape
from absdomain.live import Live
from absdomain.lowering import Activation, BatchSize, Call, Value, lowers

# Affine maps with weights


@lowers("aten.linear.default")
def _linear(call: Call, x: Value, weight: Value, bias: Value = None) -> Activation:
    if isinstance(weight, Live) and weight.read().dim() != 2:
        call.unsupported(f"has a weight of {weight.read().dim()} axes", "use a matrix; a vector is one with one column")
    return call.apply(ops.Dense(*_constants(call, weight, bias)), _active(call, x))


@lowers("aten.mm.default", "aten.matmul.default")
def _matmul(call: Call, x: Value, weight: Value) -> Activation:
    return _linear(call, x, _expression(call, lambda w: w.mT if w.dim() > 1 else w, weight))


@lowers("aten.addmm.default")
def _addmm(call: Call, bias: Value, x: Value, weight: Value, *, beta: float = 1, alpha: float = 1) -> Activation:
    if (beta, alpha) != (1, 1):
        call.unsupported(f"has beta {beta} and alpha {alpha}", "scale the weights in the module")
    return _linear(call, x, _expression(call, lambda w: w.t(), weight), bias)


@lowers("aten.conv1d.default", "aten.conv2d.default", "aten.conv1d.padding", "aten.conv2d.padding")
def _conv(
    call: Call, x: Value, weight: Value, bias: Value = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Activation:  # fmt: skip
    x = _active(call, x)
    weight, bias = _constants(call, weight, bias)
    kernel = tuple(weight.read().shape[2:])
    axes = len(kernel)
    if len(call.shape_of(x)) != axes + 1:
        call.unsupported("is applied to an input without a batch axis", f"give it {axes + 2} axes")
    dilation = _tuple(dilation, axes)
    if padding == "same":  # PyTorch puts the odd one at the end
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        x = call.apply(ops.Pad(tuple(p for t in reversed(total) for p in (t // 2, t - t // 2))), x)
    padding = (0,) * axes if isinstance(padding, str) else _tuple(padding, axes)
    return call.apply(ops.Conv(weight, bias, _tuple(stride, axes), padding, dilation, groups), x)


@lowers("aten._native_batch_norm_legit_no_training.default")
def _batch_norm(
    call: Call, x: Value, gain: Value, shift: Value, mean: Value, variance: Value, momentum: float, eps: float
) -> list[Activation]:
    x = _active(call, x)
    mean, variance, gain, shift = _constants(call, mean, variance, gain, shift)
    return [call.apply(ops.BatchNorm(mean, variance, gain, shift, eps, len(call.shape_of(x)) - 1), x)]


# Arithmetic


@lowers("aten.add.Tensor", "aten.add.Scalar")
def _add(call: Call, x: Value, y: Value, *, alpha: float = 1) -> Activation:
    return _sum(call, x, _scaled(call, y, alpha))


@lowers("aten.sub.Tensor", "aten.sub.Scalar")
def _sub(call: Call, x: Value, y: Value, *, alpha: float = 1) -> Activation:
    return _sum(call, x, _scaled(call, y, -alpha))


@lowers("aten.rsub.Tensor", "aten.rsub.Scalar")
def _rsub(call: Call, x: Value, y: Value, alpha: float = 1) -> Activation:
    return _sum(call, y, _scaled(call, x, -alpha))


@lowers("aten.neg.default")
def _neg(call: Call, x: Value) -> Value:
    return _scaled(call, x, -1)


@lowers("aten.mul.Tensor", "aten.mul.Scalar")
def _mul(call: Call, x: Value, y: Value) -> Activation:
    if isinstance(x, Activation) and isinstance(y, Activation):
        call.unsupported("multiplies two activations", "there is no rule for products yet; make one factor a constant")
    x, factor = (x, y) if isinstance(x, Activation) else (y, x)
    return call.apply(ops.Scale(_constant(call, factor), None), _expanded(call, x))


@lowers("aten.div.Tensor", "aten.div.Scalar")
def _div(call: Call, x: Value, y: Value) -> Activation:
    if not isinstance(x, Activation):
        call.unsupported("divides by an activation", "there is no rule for reciprocals yet")
    dtype = call.node.meta["val"].dtype  # an integer or a less precise divisor is inverted as precisely as it divides
    inverse = _expression(call, lambda c: c.to(torch.promote_types(c.dtype, dtype)).reciprocal(), _constant(call, y))
    return call.apply(ops.Scale(inverse, None), _expanded(call, x))


def _sum(call: Call, x: Value, y: Value) -> Activation:
    """x + y, at least one of which is an activation; a constant becomes an offset."""
    if isinstance(x, Activation) and isinstance(y, Activation):
        return call.apply(ops.Add(), _expanded(call, x), _expanded(call, y))
    x, offset = (x, y) if isinstance(x, Activation) else (y, x)
    return call.apply(ops.Scale(None, _constant(call, offset)), _expanded(call, x))


def _scaled(call: Call, x: Value, factor: float) -> Value:
    if factor == 1:
        return x
    if isinstance(x, Activation):
        return call.apply(ops.Scale(torch.tensor(float(factor), dtype=torch.float64), None), x)
    return _expression(call, lambda c: c * factor, _constant(call, x))


# Activations and pooling


@lowers("aten.relu.default")
def _relu(call: Call, x: Value) -> Activation:
    return call.apply(ops.ReLU(), x)


@lowers("aten.clamp.default", "aten.clamp_min.default")
def _clamp(call: Call, x: Value, low: Any = None, high: Any = None) -> Activation:
    if low != 0 or high is not None:
        call.unsupported(f"clamps to [{low}, {high}]", "there is only the rule for [0, None], which is ReLU")
    return call.apply(ops.ReLU(), x)


@lowers("aten.leaky_relu.default")
def _leaky_relu(call: Call, x: Value, slope: float = 0.01) -> Activation:
    return call.apply(ops.LeakyReLU(slope), x)


@lowers("aten.max_pool2d.default", "aten.max_pool2d_with_indices.default")
def _max_pool(
    call: Call, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Value:
    *channels, height, width = call.shape_of(x)
    kernel = _tuple(kernel, 2)
    stride = _tuple(stride, 2) if stride else kernel
    try:
        plane = ops.windows((height, width), kernel, stride, _tuple(padding, 2), _tuple(dilation, 2), ceil_mode)
    except ValueError as error:
        call.unsupported(str(error), "use less padding")
    start = torch.arange(_size(tuple(channels))).view(*channels, 1, 1, 1) * (height * width)
    pooled = call.apply(ops.Max(-3), call.apply(ops.Gather(start + plane), x))
    return pooled if call.target == "aten.max_pool2d.default" else [pooled]


@lowers("aten.amax.default", "aten.max.dim")
def _amax(call: Call, x: Value, axes: Any = (), keepdim: bool = False) -> Value:
    shape, several = call.shape_of(x), call.target == "aten.max.dim"
    rank = len(shape) + 1
    for axis in sorted(_axes(call, axes, rank), reverse=True):
        x = call.apply(ops.Max(axis - rank), x)
        rank -= 1
    target = call.shapes[0]
    x = _shaped(call, x, target)
    return [x] if several else x


@lowers("aten.avg_pool2d.default")
def _avg_pool(
    call: Call, x: Value, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor: int | None = None,
) -> Activation:  # fmt: skip
    if divisor is not None and divisor < 0:
        call.unsupported(f"has the divisor {divisor}", "take a positive one, and negate the output")
    kernel = _tuple(kernel, 2)
    stride = _tuple(stride, 2) if stride else kernel
    return call.apply(ops.AvgPool(kernel, stride, _tuple(padding, 2), ceil_mode, count_include_pad, divisor), x)


@lowers("aten.adaptive_avg_pool2d.default")
def _adaptive_avg_pool(call: Call, x: Value, size: Any) -> Activation:
    inputs, outputs = call.shape_of(x)[-2:], call.shape[-2:]
    if any(i % o for i, o in zip(inputs, outputs, strict=True)):
        call.unsupported(f"pools {inputs} to {outputs}, whose windows differ in size", "use avg_pool2d")
    kernel = (inputs[0] // outputs[0], inputs[1] // outputs[1])
    return call.apply(ops.AvgPool(kernel, kernel), x)


@lowers("aten.mean.dim", "aten.sum.dim_IntList")
def _reduce(call: Call, x: Value, axes: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Activation:
    _cast(call, x)
    kind = ops.Mean if call.target == "aten.mean.dim" else ops.Sum
    return call.apply(kind(_axes(call, axes, len(call.shape_of(x)) + 1), keepdim), x)


# Layout


@lowers(
    "aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", "aten.flatten.using_ints",
    "aten.unflatten.int", "aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims", "aten.unsqueeze.default",
)  # fmt: skip
def _reshape(call: Call, x: Value, *args: Any, **kwargs: Any) -> Activation:
    return _shaped(call, x, call.shape)


@lowers(
    "aten.clone.default", "aten.contiguous.default", "aten.detach.default", "aten.alias.default",
    "aten.lift_fresh_copy.default", "aten.dropout.default", "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
)  # fmt: skip
def _identity(call: Call, x: Value, *args: Any, **kwargs: Any) -> Value:
    return x  # evaluation mode: dropout is the identity, which the check against the module confirms


@lowers("aten.to.dtype", "aten._to_copy.default", "aten.to.dtype_layout", "aten.type_as.default")
def _cast(call: Call, x: Value, *args: Any, **kwargs: Any) -> Value:
    source = call.node.args[0]
    assert isinstance(source, torch.fx.Node)
    if call.node.meta["val"].dtype != source.meta["val"].dtype:
        call.unsupported(f"casts to {call.node.meta['val'].dtype}", "keep one dtype in the module")
    return x


@lowers("aten.permute.default")
def _permute(call: Call, x: Value, axes: Any) -> Activation:
    rank = len(axes)
    axes = tuple(axis % rank for axis in axes)
    if axes[0] != 0:
        call.unsupported(f"moves the batch axis: {axes}", "keep axis 0 first")
    return call.apply(ops.Permute(axes), x)


@lowers("aten.transpose.int")
def _transpose(call: Call, x: Value, first: int, second: int) -> Activation:
    axes = list(range(len(call.shape_of(x)) + 1))
    axes[first], axes[second] = axes[second], axes[first]
    return _permute(call, x, axes)


@lowers("aten.cat.default")
def _cat(call: Call, xs: Any, axis: int = 0) -> Activation:
    return call.apply(ops.Concat(axis % (len(call.shape) + 1)), *(_active(call, x) for x in xs))


@lowers("aten.stack.default")
def _stack(call: Call, xs: Any, axis: int = 0) -> Activation:
    axis %= len(call.shape) + 1
    target = (*call.shape[: axis - 1], 1, *call.shape[axis:])
    return call.apply(ops.Concat(axis), *(call.apply(ops.Reshape(target), _active(call, x)) for x in xs))


@lowers("aten.pad.default", "aten.constant_pad_nd.default")
def _pad(call: Call, x: Value, amounts: Any, *rest: Any, value: float | None = None) -> Activation:
    mode = next((r for r in rest if isinstance(r, str)), "constant")
    filled = next((r for r in rest if isinstance(r, float | int)), value)
    if mode != "constant" or min(amounts) < 0:
        return _move(call, x, amounts, *rest)
    if filled:
        call.unsupported(f"pads with {filled}", "pad with zeros, and add the constant's effect as an offset")
    return call.apply(ops.Pad(tuple(amounts)), x)


@lowers(
    "aten.slice.Tensor", "aten.select.int", "aten.narrow.default", "aten.expand.default", "aten.repeat.default",
    "aten.flip.default", "aten.roll.default", "aten.index_select.default", "aten.chunk.default", "aten.split.Tensor",
    "aten.split_with_sizes.default", "aten.unbind.int", "aten.pixel_shuffle.default", "aten.channel_shuffle.default",
)  # fmt: skip
def _move(call: Call, x: Value, *args: Any, **kwargs: Any) -> Any:
    """An operation that only moves entries: it is run on the entries' positions, which become a Gather."""
    size = _size(call.shape_of(x))
    positions = torch.arange(2 * size, dtype=torch.float64).view(2, *call.shape_of(x))
    target: Any = call.node.target
    moved = target(positions, *_plain(args), **kwargs)
    several = isinstance(moved, list | tuple)
    gathered = [_gather(call, x, m, size) for m in (moved if several else [moved])]
    return gathered if several else gathered[0]


@lowers("<built-in function getitem>")
def _getitem(call: Call, xs: Any, index: int) -> Value:
    if index >= len(xs):
        call.unsupported(f"uses output {index} of an operation of which only the first is known", "use its values only")
    return xs[index]


@lowers("aten.sym_size.int")
def _size_of(call: Call, x: Value, axis: int) -> Value:
    return BatchSize() if axis == 0 else call.shape_of(x)[axis - 1]


def _gather(call: Call, x: Activation, moved: Tensor, size: int) -> Activation:
    index = moved.long()
    if index.dim() < 1 or len(index) != 2 or not torch.equal(index[1], index[0] + size) or (index[0] >= size).any():
        call.unsupported("moves entries between samples", "keep axis 0 for the batch")
    first = index[0].contiguous()
    if tuple(first.shape) == call.shape_of(x) and torch.equal(first.flatten(), torch.arange(size)):
        return x
    return call.apply(ops.Gather(first), x)


# Arguments


def _active(call: Call, x: Value) -> Activation:
    if not isinstance(x, Activation):
        call.unsupported("has a constant where an activation is expected", "compute it from the input, or add it")
    return x


def _constant(call: Call, value: Value) -> Any:
    """A constant tensor: a Live one that broadcasts over the batch, or a Python number as a 0-dim tensor."""
    if isinstance(value, Activation):
        call.unsupported("has an activation where a constant is expected", "there is no rule for products yet")
    if isinstance(value, BatchSize):
        call.unsupported("depends on the batch size", "write it without x.shape[0]")
    if not isinstance(value, Live):
        return torch.tensor(float(value), dtype=torch.float64)
    present = value.read()
    if not present.is_floating_point():  # a mask has no modulus, and unsigned numbers no negative
        return _constant(call, _expression(call, lambda c: c.to(call.node.meta["val"].dtype), value))
    shape = tuple(present.shape)
    rank = len(call.shape) + 1
    if len(shape) == rank and shape[0] != 1:
        call.unsupported(f"has a constant of shape {shape} along the batch", "give it a batch axis of size 1")
    return Live(lambda: value.read()[0]) if len(shape) == rank else value


def _constants(call: Call, *values: Value) -> list[Any]:
    for value in values:
        if value is not None and not isinstance(value, Live):
            call.unsupported("has weights that depend on the input", "use parameters")
    return list(values)


def _expression(call: Call, f: Any, value: Value) -> Any:
    """f of a constant, computed anew at each use where the constant is."""
    if isinstance(value, Tensor):
        return f(value)
    if not isinstance(value, Live):
        call.unsupported("has an activation where a constant is expected", "there is no rule for products yet")
    return Live(lambda: f(value.read()))


def _expanded(call: Call, x: Activation) -> Activation:
    """x broadcast to the output's shape."""
    shape = call.shape_of(x)
    if shape == call.shape:
        return x
    index = torch.arange(_size(shape)).view(shape).expand(call.shape)
    return call.apply(ops.Gather(index.contiguous()), x)


def _shaped(call: Call, x: Activation, shape: Shape) -> Activation:
    return x if call.shape_of(x) == shape else call.apply(ops.Reshape(shape), x)


def _axes(call: Call, axes: Any, rank: int) -> tuple[int, ...]:
    listed = [axes] if isinstance(axes, int) else list(axes or range(rank))
    positive = tuple(axis % rank for axis in listed)
    if 0 in positive:
        call.unsupported(f"reduces over the batch: axes {listed}", "keep axis 0 for the batch")
    return positive


def _tuple(value: Any, length: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * length if len(values) == 1 else values


def _plain(args: Any) -> Any:
    """Arguments with which a movement can be run on two samples."""

    def plain(leaf: Any) -> Any:
        return 2 if isinstance(leaf, BatchSize) else leaf.read() if isinstance(leaf, Live) else leaf

    return torch.fx.node.map_aggregate(args, plain)


def _size(shape: Shape) -> int:
    size = 1
    for s in shape:
        size *= s
    return size
