"""Zonotopes: affine functions of the input and of noise symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from absdomain.domain import Domain, Traits, argumentwise
from absdomain.kinds import Affine, Nonlinear
from absdomain.linear import Bounds, Ends, Rows
from absdomain.linear.axes import flat, spread
from absdomain.linear.bounds import ordered
from absdomain.region import Region
from absdomain.relations import levels
from absdomain.runtime import memory

_BLOCK = 2**21  # coefficients held at once while bounds are read
_NARROW = 16.0  # a band of so many units of rounding is not worth a symbol

Linear = Callable[..., Tensor]  # jointly linear in its arguments, (B, *shape) each


@dataclass(frozen=True, eq=False)
class Noise:
    """{ sum_k e_k ray_k : |e_k| <= 1 }, over the symbols that one relaxation made, each for an entry of its output.

    A symbol is known by its relaxation and entry, never by its place: branches that meet again, one of them with fewer
    symbols or with more, are matched by these names.
    """

    source: object  # the relaxation, by identity
    entries: Tensor  # (E, B) flat entries of the relaxation's output, distinct for each sample
    rays: Tensor  # (E, B, *shape); zero where a sample has fewer symbols than E


@dataclass(frozen=True, eq=False)
class Affinity:
    """{ M x + b + sum_k e_k ray_k + r : x in region, |e_k| <= 1, |r| <= slack }; all activations share x and e.

    Of a `free` entry nothing is known: it is any number, whatever the others are.
    """

    region: Region
    inputs: Tensor  # M, (inputs, B or 1, *shape): 1 until it depends on the sample
    constant: Tensor  # b, (B or 1, *shape)
    noise: tuple[Noise, ...] = ()
    slack: Tensor | None = None  # (B, *shape), >= 0; None: zero
    free: Tensor | None = None  # (B, *shape), boolean; None: nowhere

    @property
    def spread(self) -> Tensor:
        """sum_k |ray_k| + slack, (B or 1, *shape): the reach of all that is not the input."""
        reaches = [torch.linalg.vector_norm(block.rays, ord=1, dim=0) for block in self.noise]
        reaches += [] if self.slack is None else [self.slack]
        return sum(reaches, start=torch.zeros_like(self.constant))


@dataclass(frozen=True)
class Zonotope(Domain[Affinity]):
    """{ M x + b + sum_k e_k ray_k + r : x in region, |e_k| <= 1, |r| <= slack }: DeepZ, and the zonotopes of DiffAI.

    A relaxation takes one slope per argument, the chord, and its band is the range of a fresh symbol for every entry
    that is not settled (Singh et al. 2018, section 3; Mirman et al. 2018, section 4). The input stands for itself, not
    for symbols of its hull, so that bounds are taken by the region's support function. For each sample at most
    `symbols` noise symbols are kept, those with the largest rays; the sum of the others' rays is added to `slack`,
    whose entries vary apart from all else, so that every value stays inside. None keeps all.
    Memory: inputs + symbols numbers for every neuron and sample; while a relaxation is taken, its fresh symbols beside
    those it is given, up to twice as many.
    """

    lemma = "zonotope"
    traits = Traits(relational=True)
    symbols: int | None = None

    def __post_init__(self) -> None:
        if self.symbols is not None and (type(self.symbols) is not int or self.symbols < 0):
            raise ValueError(f"symbols is {self.symbols!r}; give the number of noise symbols to keep, or None for all")

    def lift(self, region: Region) -> Affinity:
        like = region.centre
        shape = tuple(like.shape[1:])
        _room(prod(shape), like, prod(shape))
        identity = torch.eye(prod(shape), dtype=like.dtype, device=like.device)
        return Affinity(region, identity.view(-1, 1, *shape), like.new_zeros(1, *shape))

    def affine(self, op: Affine, *args: Affinity) -> Affinity:
        weight = op.weight
        held = _image(args, lambda *xs: op.linear(weight, *xs), op.modulus, op)
        return held if len(args) == 1 else _reduced(held, self.symbols)  # branches bring different symbols

    def relax(self, op: Nonlinear, args: tuple[Affinity, ...], boxes: tuple[Bounds, ...] | None) -> Affinity:
        boxes = self.boxes(op, args) if boxes is None else boxes
        slopes, band, marks = levels.band(op, op.chord(boxes), boxes)
        line = op.linearised(slopes)
        held = _image(args, line, line.modulus, lambda *xs: line(*xs) + band.centre)
        reach = line.modulus(*(torch.maximum(b.lower.abs(), b.upper.abs()) for b in boxes))
        reach = torch.where(reach == reach, reach, 0.0).detach()  # 0 times an infinite box
        rounding = _NARROW * torch.finfo(reach.dtype).eps * reach
        if marks is not None:
            unknown = marks.below | marks.above
            held = replace(held, free=unknown if held.free is None else unknown | held.free)
        return _reduced(_with_fresh(held, band.radius, rounding, self.symbols), self.symbols)

    def boxes(
        self, op: Nonlinear, args: tuple[Affinity, ...], asked: tuple[Tensor, ...] | None = None
    ) -> tuple[Bounds, ...]:
        return argumentwise(lambda e, where: _hull(e, e.region.whole, where), args, asked)

    def bounds(self, e: Affinity, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
        return _hull(e, e.region, where, ends)

    def planes(self, e: Affinity) -> tuple[Rows, Tensor]:
        planes = flat(e.inputs, 2).permute(2, 1, 0).unflatten(2, e.region.centre.shape[1:])
        return Rows.of(planes), -flat(_bounded(e, -e.constant - e.spread), 1).t()


def _hull(e: Affinity, region: Region, where: Tensor | None = None, ends: Ends = Ends.BOTH) -> Bounds:
    """M x + b over the region, widened by the spread; where no sample asks, -inf and inf."""
    if where is None:
        found = Bounds.of(ends, lambda: _end(e, region, 1), lambda: -_end(e, region, -1))
        return ordered(found.lower, found.upper) if ends is Ends.BOTH else found
    index = flat(where, 1).any(0).nonzero().squeeze(1)
    unknown = region.centre.new_full((len(where), prod(where.shape[1:])), torch.inf)
    if not len(index):
        return Bounds(-unknown.view(where.shape), unknown.view(where.shape))
    constant, spread = flat(e.constant, 1)[:, index], flat(e.spread, 1)[:, index]
    lower = constant + _least(e, region, 1, index) - spread
    upper = constant - _least(e, region, -1, index) + spread
    if e.free is not None:
        free = flat(e.free, 1)[:, index]
        lower, upper = torch.where(free, -torch.inf, lower), torch.where(free, torch.inf, upper)
    low, high = (-unknown).index_copy(1, index, lower), unknown.index_copy(1, index, upper)
    return ordered(low.view(where.shape), high.view(where.shape))


def _end(e: Affinity, region: Region, sign: int) -> Tensor:
    """min of sign times the activation, (B, *shape)."""
    least = _least(e, region, sign).reshape(-1, *e.constant.shape[1:])
    return _bounded(e, sign * e.constant + least - e.spread)


def _bounded(e: Affinity, lower: Tensor) -> Tensor:
    """The lower bounds of entries of e or of their negatives, -inf where nothing is known."""
    return lower if e.free is None else torch.where(e.free, -torch.inf, lower)


def _least(e: Affinity, region: Region, sign: int, index: Tensor | None = None) -> Tensor:
    """min of sign <M_i, x> over the region, for all entries i or those of the index, (B, entries)."""
    columns = flat(e.inputs, 2) if index is None else flat(e.inputs, 2)[..., index]
    size = max(1, _BLOCK // (len(columns) * len(region.centre)))
    rows = [sign * part.permute(2, 1, 0).unflatten(2, region.centre.shape[1:]) for part in columns.split(size, 2)]
    return torch.cat([region.minimum(Rows.of(part)) for part in rows]).t()


def _image(args: Sequence[Affinity], linear: Linear, modulus: Linear, whole: Linear) -> Affinity:
    """The image under whole(xs) = linear(xs) + a constant, where |linear(xs)| <= modulus(|xs|)."""
    # over inputs or symbols, the first axis: weights may depend on the sample; a lambda, since vmap prints what it maps
    along = torch.vmap(lambda *xs: linear(*xs))
    constant = whole(*_common([e.constant for e in args], 0))
    _fitting(args, constant.shape)
    inputs = along(*_common([e.inputs for e in args], 1))
    noise = tuple(Noise(source, entries, along(*rays)) for source, entries, rays in _matched(args))
    slack = None if all(e.slack is None for e in args) else modulus(*_common([_or_zero(e, e.slack) for e in args], 0))
    free = None
    if any(e.free is not None for e in args):
        free = modulus(*_common([_or_zero(e, e.free) for e in args], 0)) > 0
    return Affinity(args[0].region, inputs, constant, noise, slack, free)


def _fitting(args: Sequence[Affinity], shape: torch.Size) -> None:
    """TooLarge where an image (B, *shape) would not: it has an entry for each input and symbol that an argument has."""
    counts = [e.inputs.shape[:2].numel() + sum([b.rays.shape[:2].numel() for b in e.noise]) for e in args]
    _room(max(counts), args[0].constant, shape[1:].numel())


def _room(symbols: int, like: Tensor, entries: int) -> None:
    """TooLarge where this many inputs and symbols, counted for each sample, over so many entries would not fit."""
    what = f"a zonotope of {symbols} inputs and symbols over {entries} entries"
    memory.needed(symbols * entries * like.element_size(), like.device, what)


def _or_zero(e: Affinity, t: Tensor | None) -> Tensor:
    return torch.zeros_like(e.constant) if t is None else t.to(e.constant)


def _common(ts: list[Tensor], axis: int) -> list[Tensor]:
    """The tensors with one batch size, at this axis."""
    batch = max([t.shape[axis] for t in ts])
    return [t.expand(*t.shape[:axis], batch, *t.shape[axis + 1 :]) for t in ts]


def _matched(args: Sequence[Affinity]) -> Iterator[tuple[object, Tensor, list[Tensor]]]:
    """The arguments' symbols by name: source, entries (E, B), and the rays (E, B, *shape) in each argument."""
    if len(args) == 1:
        yield from ((block.source, block.entries, [block.rays]) for block in args[0].noise)
        return
    for source in dict.fromkeys([block.source for e in args for block in e.noise]):
        own = [[block for block in e.noise if block.source is source] for e in args]  # one each, or none
        entries = _union([block.entries for blocks in own for block in blocks])
        rays = []
        for e, blocks in zip(args, own, strict=True):
            none = e.constant.new_zeros(()).expand(*entries.shape, *e.constant.shape[1:])
            rays.append(_renamed(blocks[0], entries) if blocks else none)
        yield source, entries, rays


def _union(names: list[Tensor]) -> Tensor:
    """The entries, (E, B), that any of the blocks names."""
    if all(name is names[0] for name in names):
        return names[0]
    size = max([int(name.max()) for name in names if name.numel()], default=-1) + 1
    present = torch.zeros(names[0].shape[1], size, dtype=torch.bool, device=names[0].device)
    for name in names:
        present.scatter_(1, name.t(), True)
    return _first(present, int(present.sum(1).max())).t()


def _first(chosen: Tensor, count: int) -> Tensor:
    """The places of the chosen entries, in order, and then of others, (B, count); chosen (B, n)."""
    return chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]


def _renamed(block: Noise, entries: Tensor) -> Tensor:
    """The block's rays as those of these entries, of which its own are some, (E, B, *shape)."""
    if block.entries is entries:
        return block.rays
    names = entries.t()
    numbers = torch.arange(len(entries), device=names.device).expand_as(names)
    places = names.new_zeros(len(names), int(names.max()) + 1).scatter_(1, names, numbers)
    index = places.gather(1, block.entries.t()).t()
    rays = block.rays.new_zeros(len(entries), *block.rays.shape[1:])
    return rays.scatter_(0, _over(index, block.rays), block.rays)


def _over(t: Tensor, rays: Tensor) -> Tensor:
    """t (E, B), the same for all entries of rays (., B, *shape)."""
    return spread(t, rays.dim() - 2).expand(*t.shape, *rays.shape[2:])


def _with_fresh(e: Affinity, radius: Tensor, rounding: Tensor, symbols: int | None) -> Affinity:
    """e with a new symbol of these rays for each entry, at most `symbols` a sample, the widest; the others in slack.

    An entry within `rounding`, as a settled one is, has no symbol: it is slack.
    """
    reach = flat(radius, 1)
    wide = ~(reach <= flat(rounding, 1))  # NaN is not settled
    count = int(wide.sum(1).max())
    count = count if symbols is None else min(count, symbols)
    order = _graded(reach).masked_fill(~wide, -1.0).argsort(dim=1, descending=True, stable=True)[:, :count]
    kept = torch.zeros_like(wide).scatter(1, order, wide.gather(1, order))
    rest = torch.where(kept, 0.0, reach).view_as(radius)  # not a product: a reach may be infinite
    slack = (rest if bool(rest.any()) else None) if e.slack is None else e.slack + rest
    if count == 0:
        return replace(e, slack=slack)
    values = torch.where(kept, reach, 0.0).gather(1, order)
    _room(count * len(reach), reach, reach.shape[1])
    rays = reach.new_zeros(count, *reach.shape).scatter_(2, order.t().unsqueeze(2), values.t().unsqueeze(2))
    return replace(e, noise=(*e.noise, Noise(object(), order.t(), rays.view(count, *radius.shape))), slack=slack)


def _graded(scores: Tensor) -> Tensor:
    """Scores to 16 bits: those that differ by rounding alone are equal, so that their order, a stable one, decides."""
    mantissa, exponent = torch.frexp(scores.detach())
    return torch.ldexp((mantissa * 2**16).round(), exponent)


def _reduced(e: Affinity, symbols: int | None) -> Affinity:
    """An element that holds e, with at most `symbols` symbols a sample: those of the largest rays, summed over entries.

    { sum_k e_k ray_k } of the others lies in the box of radius sum_k |ray_k|. What a sample keeps does not depend on
    its neighbours: symbols that only they have are zero in it, and come last.
    """
    if symbols is None or sum([len(block.entries) for block in e.noise]) <= symbols:
        return e
    scores = _graded(torch.cat([torch.linalg.vector_norm(flat(b.rays, 2), ord=1, dim=2) for b in e.noise]))
    best = scores.argsort(dim=0, descending=True, stable=True)[:symbols]
    kept = torch.zeros_like(scores, dtype=torch.bool).scatter(0, best, scores.gather(0, best) != 0)
    noise, slack = [], torch.zeros_like(e.constant) if e.slack is None else e.slack
    for block, keep in zip(e.noise, kept.split([len(block.entries) for block in e.noise]), strict=True):
        dropped = block.rays * _over((~keep).to(slack), block.rays)
        slack = slack + torch.linalg.vector_norm(dropped, ord=1, dim=0)
        count = int(keep.sum(0).max())
        order = _first(keep.t(), count).t()
        rays = block.rays.gather(0, _over(order, block.rays)) * _over(keep.gather(0, order).to(slack), block.rays)
        noise += [Noise(block.source, block.entries.gather(0, order), rays)] if count else []
    return replace(e, noise=tuple(noise), slack=slack)
