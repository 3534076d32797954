"""The concrete operations, a few lines each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from absdomain.bounds import Bounds
from absdomain.kinds import Affine, Elementwise, Line, Nonlinear, Op, Shape, Slopes
from absdomain.live import live
from absdomain.rows import Rows


@dataclass(frozen=True, eq=False)
class Dense(Affine):
    """x -> W x + b on the last axis; W (m, n), or (B, m, n) with a matrix per sample, and b (m,) or (B, m)."""

    weight: Tensor = live(required=True)
    bias: Tensor | None = live()

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return F.linear(xs[0], w) if w.dim() == 2 else torch.matmul(w, xs[0].unsqueeze(-1)).squeeze(-1)

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.linear(xs[0], self.weight, self.bias) if self.weight.dim() == 2 else super().__call__(*xs)

    def shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], self.weight.shape[-2])

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return (y @ w,)

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        weight = self.weight
        flat = len(rows.shape) == 1
        if rows.unit is not None and flat:  # the rows of W themselves
            picked = weight[..., rows.unit, :]
            return (Rows.of(picked.unsqueeze(1) if weight.dim() == 2 else picked.transpose(0, 1)),)
        if weight.dim() == 2:
            return (Rows.of(rows.data @ weight),)
        data = rows.data.transpose(0, 1)  # (N or 1, K, m) against (B or 1, m, n)
        return (Rows.of(torch.matmul(data, weight).transpose(0, 1)),)

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


_CONVOLVE = {1: F.conv1d, 2: F.conv2d}
_CONVOLVE_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d}


@dataclass(frozen=True, eq=False)
class Conv(Affine):
    """x -> W * x + b over one or two spatial axes; W (C_out, C_in / groups, *kernel), b (C_out,), zero padding."""

    weight: Tensor = live(required=True)
    bias: Tensor | None = live()
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def offset(self) -> Tensor | None:
        bias = self.bias
        return None if bias is None else bias.view(-1, *(1,) * len(self.stride))

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return self._convolve(xs[0], w, None)

    def shape(self, *shapes: Shape) -> Shape:
        sizes = zip(shapes[0][1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        return (len(self.weight), *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes))

    def __call__(self, *xs: Tensor) -> Tensor:
        return self._convolve(xs[0], self.weight, self.bias)  # the bias fused

    def _convolve(self, x: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
        assert w is not None
        convolve = _CONVOLVE[len(self.stride)]
        return convolve(x, w, b, self.stride, self.padding, self.dilation, self.groups)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        if len(self.stride) == 2 and w.shape[1] <= 4 and self.groups == 1 and max(self.stride) > 1:
            return (self._by_phases(w, y, shapes[0]),)
        spatial = zip(shapes[0][1:], y.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        missed = tuple(size - ((out - 1) * s - 2 * p + d * (k - 1) + 1) for size, out, k, s, p, d in spatial)
        back = _CONVOLVE_TRANSPOSED[len(self.stride)]
        return (back(y, w, None, self.stride, self.padding, missed, self.groups, self.dilation),)

    def scaled(self, w: Tensor, b: Tensor) -> Conv | None:
        channels = (len(self.weight), *(1,) * len(self.stride))
        if any(v.dim() > 0 and tuple(v.shape) != channels for v in (w, b)):
            return None  # not one factor and one offset a channel
        w, b = w.to(self.weight), b.to(self.weight)
        bias = b if self.offset is None else w * self.offset + b
        weight = w.reshape(-1, *(1,) * (self.weight.dim() - 1)) * self.weight
        return replace(self, weight=weight, bias=bias.expand(channels).flatten())

    def _by_phases(self, w: Tensor, y: Tensor, shape: Shape) -> Tensor:
        """The transposed convolution into few channels, where PyTorch's is slow, as one convolution.

        An input place i = q s + r - p meets only the taps r + s m: one small kernel for each phase r, whose outputs
        are then interleaved (sub-pixel convolution, Shi et al. 2016). Dilation is first written out as zero taps.
        """
        (sh, sw), (ph, pw), (dh, dw) = self.stride, self.padding, self.dilation
        if max(self.dilation) > 1:
            spread = w.new_zeros(*w.shape[:2], dh * (w.shape[2] - 1) + 1, dw * (w.shape[3] - 1) + 1)
            spread[:, :, ::dh, ::dw] = w
            w = spread
        mh, mw = -(-w.shape[2] // sh), -(-w.shape[3] // sw)
        padded = F.pad(w, (0, mw * sw - w.shape[3], 0, mh * sh - w.shape[2]))
        taps = padded.unflatten(3, (mw, sw)).unflatten(2, (mh, sh))
        kernel = taps.permute(1, 3, 5, 0, 2, 4).flip(4, 5).flatten(0, 2)
        phases = F.conv2d(y, kernel, padding=(mh - 1, mw - 1)).unflatten(1, (w.shape[1], sh, sw))
        full = phases.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        (_, height, width) = shape
        return F.pad(full, (-pw, width + pw - full.shape[-1], -ph, height + ph - full.shape[-2]))


@dataclass(frozen=True, eq=False)
class Scale(Affine):
    """x -> w x + b, elementwise; w and b broadcast to x, whose shape they do not enlarge. w None is 1, b None is 0."""

    weight: Tensor | None = live()
    bias: Tensor | None = live()
    diagonal = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0] if w is None else w * xs[0]

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        return (y if w is None else w * y,)

    def after(self, previous: Op) -> Op | None:
        like = next(v for v in (self.weight, self.bias, torch.ones(())) if v is not None)
        w = torch.ones_like(like) if self.weight is None else self.weight
        return previous.scaled(w, torch.zeros_like(w) if self.bias is None else self.bias)

    def scaled(self, w: Tensor, b: Tensor) -> Scale:
        return Scale(w if self.weight is None else w * self.weight, b if self.bias is None else w * self.bias + b)


@dataclass(frozen=True, eq=False)
class BatchNorm(Affine):
    """x -> (x - mean) / sqrt(variance + eps) gain + shift per channel, by the running statistics."""

    mean: Tensor = live(required=True)
    variance: Tensor = live(required=True)
    gain: Tensor | None = live()
    shift: Tensor | None = live()
    eps: float = 1e-5
    axes: int = 2  # spatial axes after the channel
    diagonal = True

    @property
    def weight(self) -> Tensor:  # type: ignore[override]  # read-only here
        """gain / sqrt(variance + eps), (C, 1, ...)."""
        scale = torch.rsqrt(self.variance + self.eps)
        return self._channels(scale if self.gain is None else scale * self.gain)

    @property
    def bias(self) -> Tensor:  # type: ignore[override]
        """shift - mean weight, (C, 1, ...)."""
        offset = -self._channels(self.mean) * self.weight
        return offset if self.shift is None else offset + self._channels(self.shift)

    def _channels(self, v: Tensor) -> Tensor:
        return v.view(-1, *(1,) * self.axes)

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        assert w is not None
        return w * xs[0]

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        assert w is not None
        return (w * y,)

    def after(self, previous: Op) -> Op | None:
        return previous.scaled(self.weight, self.bias)

    def freeze(self) -> Affine:
        return Scale(self.weight, self.bias).freeze()


@dataclass(frozen=True, eq=False)
class Reshape(Affine):
    """x laid out as `target`, batch left out: Flatten, View, Squeeze and their like."""

    target: Shape
    diagonal = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].reshape(-1, *self.target)

    def shape(self, *shapes: Shape) -> Shape:
        return self.target

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        return (rows.reshape(shapes[0]),)


@dataclass(frozen=True, eq=False)
class Permute(Affine):
    """x with its axes in the order `axes`; the batch, axis 0, stays."""

    axes: tuple[int, ...]
    diagonal = True

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].permute(self.axes)


@dataclass(frozen=True, eq=False)
class Gather(Affine):
    """y[i] = x[index[i]] on the flat activation: windows, slices, selections, expansions."""

    index: Tensor  # (*output shape), flat positions

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].reshape(len(xs[0]), -1)[:, self.index.to(xs[0].device)]

    def shape(self, *shapes: Shape) -> Shape:
        return tuple(self.index.shape)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        flat = y.new_zeros(y.shape[0], prod(shapes[0]))
        return (flat.index_add(1, self.index.flatten().to(y.device), y.reshape(len(y), -1)).view(-1, *shapes[0]),)


@dataclass(frozen=True, eq=False)
class Pad(Affine):
    """x with zeros around it; `amounts` in the order of torch.nn.functional.pad (last axis first), none negative."""

    amounts: tuple[int, ...]

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return F.pad(xs[0], self.amounts)


@dataclass(frozen=True, eq=False)
class Add(Affine):
    """x_1 + ... + x_n, all of one shape."""

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return sum(xs[1:], start=xs[0])

    def shape(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def adjoint(self, rows: Rows, *shapes: Shape) -> tuple[Rows, ...]:
        return (rows,) * len(shapes)


@dataclass(frozen=True, eq=False)
class Concat(Affine):
    """x_1, ..., x_n one after another along `axis`, which counts the batch and is not it."""

    axis: int

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return torch.cat(xs, self.axis)

    def transpose(self, w: Tensor | None, y: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        return torch.split(y, [shape[self.axis - 1] for shape in shapes], self.axis)


@dataclass(frozen=True, eq=False)
class Mean(Affine):
    """The mean over `axes`, which count the batch and leave it out."""

    axes: tuple[int, ...]
    keepdim: bool = False

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].mean(self.axes, self.keepdim)


@dataclass(frozen=True, eq=False)
class Sum(Affine):
    """The sum over `axes`, which count the batch and leave it out."""

    axes: tuple[int, ...]
    keepdim: bool = False

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return xs[0].sum(self.axes, self.keepdim)


@dataclass(frozen=True, eq=False)
class AvgPool(Affine):
    """The mean over windows of the last two axes, zero padding counted or not as PyTorch's avg_pool2d."""

    kernel: Shape
    stride: Shape
    padding: Shape = (0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None

    def linear(self, w: Tensor | None, *xs: Tensor) -> Tensor:
        return F.avg_pool2d(
            xs[0], self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor
        )


@dataclass(frozen=True, eq=False)
class ReLU(Elementwise):
    """max(x, 0)."""

    lemma = "relu"
    increasing = True

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].relu()

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (torch.zeros_like(slope),)

    def settled(self, boxes: tuple[Bounds, ...]) -> tuple[Tensor, ...] | None:
        return ((boxes[0].lower >= 0) | (boxes[0].upper <= 0),)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        """u+ / (u+ - l-), and exactly 1 for an active neuron; widths below 1e-8 count as 1e-8 (finite derivative)."""
        (box,) = boxes
        below, above, active = (-box.lower).relu(), box.upper.relu(), (box.lower >= 0).to(box.lower)
        width = (below + above - 1e-8).relu() + 1e-8
        return (torch.addcmul(active, 1 - active, above / width),)

    def support(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        (box,) = boxes
        return ((box.upper > -box.lower).to(box.lower),), self.chord(boxes)

    def lines(self, below: Slopes, above: Slopes, boxes: tuple[Bounds, ...]) -> tuple[Line, Line]:
        """Slopes outside [f'(l), f'(u)] are moved to its nearest end: never looser for a convex f.

        The lower line then passes through the origin, and a stable neuron's lines are the neuron itself. Written with
        relu and products, since the derivatives of clamp and maximum are slow on CPU.
        """
        (box,) = boxes
        active = (box.lower >= 0).to(box.lower)
        unstable = (box.upper > 0).to(box.lower) - active
        s = torch.addcmul(active, unstable, F.hardtanh(above[0], 0.0, 1.0))
        shared = below[0] is above[0]
        a = s if shared else torch.addcmul(active, unstable, F.hardtanh(below[0], 0.0, 1.0))
        at_lower = s * (-box.lower).relu()  # f(l) - s l, and below f(u) - s u: the intercept is the larger
        intercept = at_lower + ((1 - s) * box.upper.relu() - at_lower).relu()
        return Line((a,), None), Line((s,), intercept)


@dataclass(frozen=True, eq=False)
class LeakyReLU(Elementwise):
    """max(x, 0) + slope min(x, 0)."""

    slope: float = 0.01
    lemma = "leaky_relu"

    @property
    def increasing(self) -> bool:  # type: ignore[override]
        """Whether f is nondecreasing: slope >= 0."""
        return self.slope >= 0

    def __call__(self, *xs: Tensor) -> Tensor:
        return F.leaky_relu(xs[0], self.slope)

    def critical(self, slope: Tensor, box: Bounds) -> tuple[Tensor, ...]:
        return (torch.zeros_like(slope),)

    def settled(self, boxes: tuple[Bounds, ...]) -> tuple[Tensor, ...] | None:
        return ((boxes[0].lower >= 0) | (boxes[0].upper <= 0),)

    def support(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        (box,) = boxes
        chord = self.chord(boxes)
        tangent = (torch.where(box.upper > -box.lower, 1.0, self.slope).to(box.lower),)
        return (tangent, chord) if self.slope <= 1 else (chord, tangent)


@dataclass(frozen=True, eq=False)
class Max(Nonlinear):
    """max over one axis, counted from the right (negative); windows are gathered before it."""

    axis: int
    lemma = "max"

    def __call__(self, *xs: Tensor) -> Tensor:
        return xs[0].amax(self.axis)

    def inner(self, slopes: Slopes, *xs: Tensor) -> Tensor:
        return (slopes[0] * xs[0]).sum(self.axis)

    def outer(self, slopes: Slopes, c: Tensor) -> tuple[Tensor, ...]:
        return (c.unsqueeze(self.axis) * slopes[0],)

    def inf(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """min over t in {max l} and {max(u_i, max l)} of t - sum_{a>0} a_i min(u_i, t) - sum_{a<0} a_i l_i."""
        (a,), (box,) = slopes, boxes
        floor = box.lower.amax(self.axis, keepdim=True)
        ends = torch.cat([floor, torch.maximum(box.upper, floor)], self.axis).movedim(self.axis, 0)
        positive, fixed = a.clamp(min=0), (a.clamp(max=0) * box.lower).sum(self.axis)
        gaps = [t - (positive * torch.minimum(box.upper, t.unsqueeze(self.axis))).sum(self.axis) for t in ends]
        return torch.stack(gaps).amin(0) - fixed

    def sup(self, slopes: Slopes, boxes: tuple[Bounds, ...]) -> Tensor:
        """sum_j h_j + max_i (sup (1 - a_i) x_i - h_i), where h_j = sup -a_j x_j."""
        (a,), (box,) = slopes, boxes
        h = torch.maximum(-a * box.lower, -a * box.upper)
        best = torch.maximum((1 - a) * box.lower, (1 - a) * box.upper)
        return h.sum(self.axis) + (best - h).amax(self.axis)

    def image(self, boxes: tuple[Bounds, ...]) -> Bounds:
        return Bounds(self(boxes[0].lower), self(boxes[0].upper))

    def _leader(self, box: Bounds) -> tuple[Tensor, Tensor]:
        """The entry of the largest lower end as a unit vector, and whether it is the largest whatever happens."""
        index = box.lower.argmax(self.axis, keepdim=True)
        leader = torch.zeros_like(box.lower).scatter(self.axis, index, 1.0)
        others = box.upper.masked_fill(leader.bool(), -torch.inf).amax(self.axis, keepdim=True)
        return leader, box.lower.amax(self.axis, keepdim=True) >= others

    def settled(self, boxes: tuple[Bounds, ...]) -> tuple[Tensor, ...] | None:
        return (self._leader(boxes[0])[1].expand_as(boxes[0].lower),)

    def chord(self, boxes: tuple[Bounds, ...]) -> Slopes:
        leader, wins = self._leader(boxes[0])
        return (leader * wins,)

    def support(self, boxes: tuple[Bounds, ...]) -> tuple[Slopes, Slopes]:
        leader, wins = self._leader(boxes[0])
        return (leader,), (leader * wins,)


def windows(
    size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape = (1, 1), ceil_mode: bool = False
) -> Tensor:
    """The flat positions of pooling windows in an (H, W) plane: (kernel size, H_out, W_out).

    A place in the padding holds the position of another entry of the same window, so that a max over the window is
    that of its entries inside the plane (padding by zero would be wrong for negative inputs).
    """
    axes = [_starts(*one, ceil_mode) for one in zip(size, kernel, stride, padding, dilation, strict=True)]
    rows, columns = axes
    flat = rows[:, None, :, None] * size[1] + columns[None, :, None, :]
    return flat.flatten(0, 1)


def _starts(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Tensor:
    """Positions (kernel, out) of one axis; those outside [0, size) are replaced by one of the same window inside."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    out = -(-span // stride) + 1 if ceil_mode else span // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:  # PyTorch drops a window that starts in the right padding
        out -= 1
    places = torch.arange(out) * stride - padding + torch.arange(kernel)[:, None] * dilation
    inside = (places >= 0) & (places < size)
    if not bool(inside.any(0).all()):
        raise ValueError(f"a window of {kernel} (dilation {dilation}, padding {padding}) misses all {size} entries")
    substitute = places.gather(0, inside.int().argmax(0, keepdim=True)).expand_as(places)
    return torch.where(inside, places, substitute)
