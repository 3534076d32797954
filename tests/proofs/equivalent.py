# ruff: noqa: E501
"""Patches that are no mistakes: what is computed, or what is claimed of it, is the same. Each with its reason."""

from __future__ import annotations

from types import FunctionType

SEARCH = "a search: what it ends with is sound whichever way it went, and good enough"
FASTER = "a choice of the faster of two equal ways"
PARTS = "how much is done at once: any cut into parts serves"
AXIS = "an axis counted from the other side, a size that stays, or a number that is compared with one it cannot be"
KIND = "read for its dtype, device or shape alone"
ORDER = "the same points in another order, or more of them"
ZERO = "the kink is 0, whose half and whose negative it is"
SIGN = "1 / -1 is -1: a quotient by a sign is the product"
LINEAR = "the derivative of a linear map does not depend on the place"
MASKED = "read only where the other factor is 0, or the sign is known"
ROUND = "an allowance for rounding, of which real arithmetic knows none"
SAME = "the other branch gives the same there"
WHOLE = "its numbers are 0 and infinite"
WIDER = "more is answered than was asked"
MOVED = "a function that is moved by 1 has the same derivative; tests compare it with PyTorch's"
LARGER = "a larger allowance"
BELOW = "what is lost below the normal numbers, which the lemma leaves out and tests/checker tries"
NEVER = "slopes that f' never takes; the laws of ops try them"

EQUIVALENT: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # function, reason, mistakes: with the line where others look alike
    ("mirrored", FASTER, ("return nothing",)),
    ("Asin.__call__", MOVED, ("return plus one",)),
    ("Acosh.__call__", MOVED, ("return plus one",)),
    ("Logit.__call__", MOVED, ("return plus one",)),
    ("Tan.__call__", MOVED, ("return plus one",)),
    ("Asin.critical", ORDER, ("return negated",)),
    ("Tan.critical", ORDER, ("return negated",)),
    ("Logit.critical", ORDER, ("2 -> -2", "1 + (1 - 4 / s).sqrt() -> 1 - (1 - 4 / s).sqrt()")),
    ("Acosh.critical", "the formula of f' is even; which of the two places is in the domain, the laws of ops see (a mutant)", (
        "return negated",
    )),
    ("Asin.critical", NEVER, ("1 -> -1",)),
    ("Logit.critical", NEVER, ("4 -> -4",)),
    ("Acosh.critical", NEVER, ("slope.detach().relu() -> slope.detach()",)),
    ("Tan.critical", NEVER, ("(slope.detach() - 1).relu() -> slope.detach() - 1",)),
    ("_held", AXIS, ("line 10: 1 -> -1",)),
    ("_beside", ORDER, ("return in reverse order",)),
    ("_rounded", ROUND, (
        "box.upper -> box.lower", "box.lower -> box.upper", "1 -> 2",
        "part * (1 + box.upper.abs()) -> part / (1 + box.upper.abs())",
        "part * (1 + box.lower.abs()) -> part / (1 + box.lower.abs())",
    )),
    ("Scatter.linear", AXIS, ("line 3: 1 -> -1",)),
    ("_units", SEARCH, ("line 10: return without (torch.ones_like(s) for s in _kept(node))",)),
    ("Pow.__call__", MASKED, ("line 3: 1.0 -> 2.0", "line 3: 1.0 -> -1.0")),
    ("Pow.__call__", SAME, ("line 1: 0 -> 1",)),
    ("Pow.derivative", MASKED, ("line 5: 1.0 -> 2.0", "line 5: 1.0 -> -1.0")),
    ("Graph.ending_in", "names of inputs, which no bound reads", ("return without self.given",)),
    ("Zonotope.relax", ROUND, ("0.0 -> 1.0", "reach == reach -> reach != reach")),
    ("MatchedSpace.argmin", ROUND, ("8 -> 9",)),
    ("ReferenceSpace._need", ROUND, ("8 -> 9", "4 -> 5")),
    ("multipliers", "compared with its like alone", ("line 10: return plus one", "line 10: return halved")),
    ("multipliers", SEARCH, (
        "line 18: 2 -> -2", "line 18: 2 -> 3", "line 25: torch.zeros_like -> torch.ones_like",
        "line 21: (middle <= low) | (middle >= high) -> (middle <= low) & (middle >= high)",
    )),
    ("_of_l2", MASKED, ("line 5: 1.0 -> 2.0", "line 5: 1.0 -> -1.0")),
    ("_of_l2", ROUND, ("8 -> 9",)),
    ("_of_l2", "it is clamped to the limit next", ("line 9: 1.0 -> 2.0",)),
    ("optimum", MASKED, ("line 8: 1.0 -> 2.0", "line 8: 1.0 -> -1.0", "line 13: 1.0 -> -1.0")),
    ("optimum", "the share is at most 1, but for rounding; or another divisor where it is not read", ("line 13: 1.0 -> 2.0",)),
    ("optimum", "of two lowest points at one height either serves", ("line 13: 0.0 -> 1.0",)),
    ("optimum", AXIS, ("line 7: 1 -> -1", "line 7: -1 -> 1")),
    ("MatchedSpace.multipliers", AXIS, ("line 4: 1 -> -1",)),
    ("ReferenceSpace._need", SAME, ("box.upper.abs() -> box.upper",)),
    ("optimum", "any small number serves", ("line 6: 8 -> 9", "line 8: 0 -> 1")),
    ("optimum", "any number serves where c = 0", ("line 9: 1.0 -> 2.0",)),
    ("others", AXIS, ("1 -> -1",)),
    ("ELU.curvature", WHOLE, ("return halved",)),
    ("Exp.curvature", WHOLE, ("return halved", "return plus one")),
    ("Log.curvature", WHOLE, ("return halved",)),
    ("Pow.curvature", WHOLE, ("return halved",)),
    ("Pow.curvature", "a whole exponent that is positive is 2 at least", ("0 -> 1",)),
    ("Nonlinear.split", "a map that acts entry by entry reads no shapes", (
        "return without *(s.shape[1:] for s in below.slopes)",
    )),
    ("Nonlinear.image", ROUND, ("1 -> 2",)),
    ("Nonlinear.image", "far out: any place from which on f rests serves", ("4 -> 5",)),
    ("Nonlinear.image", "the band over the larger box holds the other: the sign is known", (
        "(near.lower - far.lower).abs() -> near.lower - far.lower", "(far.upper - near.upper).abs() -> far.upper - near.upper",
    )),
    ("PiecewiseLinear.curvature", ZERO, ("return halved",)),
    ("entrywise", "a sum of one map is that map", ("1 -> -1",)),
    ("fits", FASTER, ("return nothing",)),
    ("PReLU.slope_range", KIND, ("box.lower -> box.upper",)),
    ("Steps.slope_range", WHOLE, ("return halved",)),
    ("Heaviside.jumps", ZERO, ("return negated", "return halved")),
    ("Sign.jumps", ZERO, ("return negated", "return halved")),
    *((f"{op}.jumps", ORDER, ("return in reverse order",)) for op in ("Heaviside", "Sign", "Floor", "Round")),
    ("ConvTranspose.scaled", AXIS, ("0 -> 1",)),
    ("least", FASTER, ("_has_two_signs(x) and _has_two_signs(y) -> _has_two_signs(x) or _has_two_signs(y)",)),
    ("_has_two_signs", FASTER, (
        "torch.compiler.is_compiling() or bool(((x.lower != 0) & (x.upper != 0)).any()) -> "
        "torch.compiler.is_compiling() and bool(((x.lower != 0) & (x.upper != 0)).any())",
        "(x.lower != 0) & (x.upper != 0) -> (x.lower != 0) | (x.upper != 0)", "0 -> 1", "x.lower -> x.upper",
        "x.upper -> x.lower", "return plus one", "return negated", "return halved",
    )),
    ("_larger_products", f"{PARTS}; {AXIS}", (
        "1 -> -1", "1 -> 2", "2 -> -2", "-2 -> 2",
        "max(1, a[..., :1].numel() * d.shape[-1]) -> min(1, a[..., :1].numel() * d.shape[-1])",
        "_CACHED // max(1, a[..., :1].numel() * d.shape[-1]) -> _CACHED * max(1, a[..., :1].numel() * d.shape[-1])",
    )),
    ("_shared", FASTER, ("2 -> 3", "2 -> -2", "1 -> -1", "len(shape) + 2 -> len(shape) - 2", "return nothing")),
    ("Linearised.adjoint", AXIS, ("0 -> 1",)),
    ("L2.dual_norm", ROUND, ("c.shape[-1] * info.tiny * info.eps -> c.shape[-1] * info.tiny / info.eps",)),
    ("L2.dual_norm", ROUND, ("0.5 -> 1.5", "L2.norm(c) + (c.shape[-1] * info.tiny * info.eps) ** 0.5 -> "
                             "L2.norm(c) - (c.shape[-1] * info.tiny * info.eps) ** 0.5")),
    ("Affine.image", SAME, (
        'centre + radius if torch.is_grad_enabled() else radius.add_(centre) -> radius.add_(centre) if torch.is_grad_enabled() else centre + radius',
    )),
    ("Affine.transpose", LINEAR, (
        'y.new_zeros -> y.new_ones',
    )),
    ("AvgPool.adjoint", FASTER, (
        '1 -> -1',
        '1 -> 2',
        'any(self.padding) -> all(self.padding)',
        'not fits(rows, shapes[0], self.kernel, self.stride, (1, 1)) -> fits(rows, shapes[0], self.kernel, self.stride, (1, 1))',
        'not self.ceil_mode -> self.ceil_mode',
        'self.count_include_pad or not any(self.padding) or self.divisor is not None -> self.count_include_pad and (not any(self.padding)) and (self.divisor is not None)',
    )),
    ("Ball._hull", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        '_BLOCK // (prod(inputs) * len(self.reach)) -> _BLOCK * (prod(inputs) * len(self.reach))',
        'max(1, _BLOCK // (prod(inputs) * len(self.reach))) -> min(1, _BLOCK // (prod(inputs) * len(self.reach)))',
    )),
    ("Bracketed._pieces", KIND, (
        'box.lower -> box.upper',
    )),
    ("Concat.adjoint", FASTER, (
        '1 -> -1',
        'rows.frame is None -> rows.frame is not None',
    )),
    ("Conv._by_phases", f"more taps, which are zeros; {AXIS}", (
        '-w.shape[2] // sh -> -w.shape[2] * sh',
        '-w.shape[3] // sw -> -w.shape[3] * sw',
        '1 -> -1',
        '3 -> -3',
    )),
    ("Conv.adjoint", FASTER, (
        '1 -> -1',
        '1 -> 2',
        'If -> If wrong',
        'not fits(rows, shape, tuple(weight.shape[2:]), self.stride, self.dilation) -> fits(rows, shape, tuple(weight.shape[2:]), self.stride, self.dilation)',
        'self.groups == 1 -> self.groups != 1',
    )),
    ("Conv.scaled", AXIS, (
        '0 -> 1',
    )),
    ("Conv.transpose", FASTER, (
        '1 -> -1',
        '1 -> 2',
        '2 -> -2',
        '2 -> 3',
        'max(self.stride) -> min(self.stride)',
        'max(self.stride) > 1 -> max(self.stride) <= 1',
        'w.shape[1] <= _FEW -> w.shape[1] > _FEW',
    )),
    ("Cos.stationary", ORDER, (
        'x + pi -> x - pi',
    )),
    ("Dense.__call__", AXIS, (
        '1 -> -1',
        '2 -> -2',
        'xs[0].dim() - 1 -> xs[0].dim() + 1',
    )),
    ("Dense.adjoint", FASTER, (
        'len(rows.shape) == 1 -> len(rows.shape) != 1',
        'rows.unit if len(rows.shape) == 1 else None -> None if len(rows.shape) == 1 else rows.unit',
    )),
    ("Dense.adjoint", AXIS, (
        '1 -> -1',
        '1 -> 2',
    )),
    ("Dense.followed_by", AXIS, (
        '-1 -> 1',
        '1 -> -1',
    )),
    ("Dense.linear", AXIS, (
        '2 -> -2',
    )),
    ("ELU.critical", ORDER, (
        '(-x).relu() -> -x',
    )),
    ("ELU.derivative", MASKED, (
        'x - x.relu() -> x + x.relu()',
    )),
    ("Elementwise._falls", SEARCH, (
        '(y - sx).diff(dim=0) * slope.sign() -> (y - sx).diff(dim=0) / slope.sign()',
        '16 * torch.finfo(x.dtype).eps * (size[1:] + size[:-1]) -> 16 * torch.finfo(x.dtype).eps / (size[1:] + size[:-1])',
        '16 -> 17',
        'box.lower -> box.upper',
        'box.upper -> box.lower',
        'size[1:] + size[:-1] -> size[1:] - size[:-1]',
        'y.abs() -> y',
    )),
    ("Elementwise.chord", AXIS, (
        'torch.ones_like -> torch.zeros_like',
        'torch.zeros_like -> torch.ones_like',
    )),
    ("Elementwise.slope_range", SEARCH, (
        '(found | ~steepest.isfinite()).all -> (found | ~steepest.isfinite()).any',
        '1 -> -1',
        '1 -> 2',
        '2 -> 3',
        '_APART * torch.maximum(box.lower.abs(), box.upper.abs()) + least ** 0.5 -> _APART * torch.maximum(box.lower.abs(), box.upper.abs()) - least ** 0.5',
        '_SAMPLES + 1 -> _SAMPLES - 1',
        'box.lower -> box.upper',
        'box.lower.abs() -> box.lower',
        'box.upper -> box.lower',
        'box.upper.abs() -> box.upper',
        'found | ~steepest.isfinite() -> found & ~steepest.isfinite()',
        'self(x).diff(dim=0).abs() / x.diff(dim=0) -> self(x).diff(dim=0).abs() * x.diff(dim=0)',
        'torch.maximum -> torch.minimum',
    )),
    ("Frame.inside", FASTER, ("return nothing",)),
    ("Frame.reach", "more of what is zero outside, cut off again", (
        '1 -> -1',
        'g - 1 -> g + 1',
        'return plus one',
    )),
    ("Frame.scattered", "more of what is zero outside, cut off again", (
        '1 -> -1',
    )),
    ("Frame.windows", "more of what is zero outside, cut off again", (
        '0 -> 1',
        'end - p - n -> end - p + n',
        'end - p -> end + p',
    )),
    ("Gather.transpose", AXIS, (
        '1 -> -1',
    )),
    ("HardSwish.critical", ORDER, (
        '3 -> 4',
    )),
    ("Log.critical", MASKED, (
        'slope.detach().relu() -> slope.detach()',
    )),
    ("Nonlinear.steepness", "infinity is its half, and infinity and one", (
        'return halved',
        'return plus one',
    )),
    ("Nonlinear.steepness", SAME, (
        'r.upper.abs() -> r.upper',
    )),
    ("Ascent._record", SEARCH, (
        'choice is None or backward.known(e) is not None -> choice is None and backward.known(e) is not None',
    )),
    ("PiecewiseLinear._slopes", "any place of the first and the last piece serves", (
        '0.0 -> 1.0',
        '1.0 -> 2.0',
    )),
    ("PiecewiseLinear.critical", ZERO, (
        'return halved',
        'return negated',
    )),
    ("ReLU.chord", "boxes narrower than 1e-8, whose chord is damped", (
        '0 -> 1',
    )),
    ("ReLU.chord", MASKED, (
        '(-box.lower).relu() -> -box.lower',
    )),
    ("ReLU.lines", MASKED, (
        '(-box.lower).relu() -> -box.lower',
        'box.upper.relu() -> box.upper',
    )),
    ("Rows.__add__", f"{FASTER}; {AXIS}", (
        'k - p -> k + p',
    )),
    ("Rows.dot", f"{FASTER}; {AXIS}", (
        'self.frame is not None and (not _per_channel(v, len(self.shape))) -> self.frame is not None or not _per_channel(v, len(self.shape))',
    )),
    ("Rows.reshape", f"{FASTER}; {AXIS}", (
        'self.frame is None -> self.frame is not None',
    )),
    ("Rows.times", f"{FASTER}; {AXIS}", (
        't.dim() <= len(self.shape) -> t.dim() > len(self.shape)',
    )),
    ("Rows.units", f"{FASTER}; {AXIS}", (
        '1 -> -1',
    )),
    ("Sigmoid.critical", ORDER, (
        '2 -> -2',
        'return negated',
    )),
    ("Sin.stationary", ORDER, (
        'return negated',
    )),
    ("Tanh.critical", ORDER, (
        'return negated',
    )),
    ("Zonotope.planes", AXIS, (
        '1 -> -1',
    )),
    ("Zonotope.affine", AXIS, (
        '1 -> -1',
        '1 -> 2',
    )),
    ("Zonotope.relax", ROUND, (
        'b.lower -> b.upper',
        'b.lower.abs() -> b.lower',
        'b.upper -> b.lower',
        'b.upper.abs() -> b.upper',
        'torch.maximum -> torch.minimum',
    )),
    ("_asked", SEARCH, (
        '1 -> -1',
    )),
    ("_better", SEARCH, (
        '1 -> -1',
    )),
    ("_chunks", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        '2 -> -2',
        '2 -> 3',
        '_BUDGET // (2 * e.widest * e.region.centre.shape[0]) -> _BUDGET * (2 * e.widest * e.region.centre.shape[0])',
        'max(1, _BUDGET // (2 * e.widest * e.region.centre.shape[0])) -> min(1, _BUDGET // (2 * e.widest * e.region.centre.shape[0]))',
    )),
    ("_end", SEARCH, (
        '1 -> -1',
    )),
    ("_far", SAME, (
        'box.upper.abs() -> box.upper',
    )),
    ("_hull", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        'return halved',
        'return plus one',
    )),
    ("_image", f"{PARTS}; {AXIS}", (
        '0 -> 1',
        '1 -> 2',
    )),
    ("_least", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        '2 -> -2',
        '_BLOCK // (len(columns) * len(region.centre)) -> _BLOCK * (len(columns) * len(region.centre))',
        'max(1, _BLOCK // (len(columns) * len(region.centre))) -> min(1, _BLOCK // (len(columns) * len(region.centre)))',
    )),
    ("_lines", SEARCH, (
        'found.below -> found.above',
        'not concave -> concave',
        'not convex -> convex',
        't.detach() if detached else t -> t if detached else t.detach()',
    )),
    ("_matched", f"{PARTS}; {AXIS}", (
        '1 -> -1',
    )),
    ("_minima_of", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        '2 * e.widest * roots.rows -> 2 * e.widest / roots.rows',
        '2 * e.widest -> 2 / e.widest',
        '2 -> -2',
        '2 -> 3',
        '_BUDGET * part -> _BUDGET / part',
        '_BUDGET * part // max(1, peak) -> _BUDGET * part * max(1, peak)',
        '_BUDGET // (2 * e.widest * roots.rows) -> _BUDGET * (2 * e.widest * roots.rows)',
        'max(1, _BUDGET * part // max(1, peak)) -> min(1, _BUDGET * part // max(1, peak))',
        'max(1, _BUDGET // (2 * e.widest * roots.rows)) -> min(1, _BUDGET // (2 * e.widest * roots.rows))',
        'max(1, peak) -> min(1, peak)',
        'min(step, roots.count - done) -> max(step, roots.count - done)',
        'roots.count - done -> roots.count + done',
    )),
    ("_per_channel", f"{FASTER}; {AXIS}", (
        'return nothing',
        '1 -> -1',
    )),
    ("_per_row", SEARCH, (
        'If -> If wrong',
    )),
    ("_reduced", f"{PARTS}; {AXIS}", (
        '0 -> 1',
    )),
    ("_renamed", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        'names.new_zeros -> names.new_ones',
    )),
    ("_roots", f"{FASTER}; the order of equal depths", (
        'If -> If wrong',
        'not e.region.any_columns -> e.region.any_columns',
        '2 -> 3', '2 -> -2', '2 * e.widest -> 2 / e.widest', '_COARSE // (2 * e.widest) -> _COARSE * (2 * e.widest)',
    )),
    ("_with_fresh", "what memory is asked beforehand, which no bound reads", (
        "line 16: count * len(reach) -> count / len(reach)",
    )),
    ("Abstraction.propagate", "the place that an error names", ("line 18: 0 -> 1",)),
    ("windows", FASTER, ("channels > most -> channels <= most", "few or channels > most -> few and channels > most")),
    ("_settled", SEARCH, (
        'all((bool(where.all()) for where in settled)) -> any((bool(where.all()) for where in settled))',
    )),
    ("_step", SEARCH, (
        '1 -> -1', '2 -> -2', 'g.dim() - 2 -> g.dim() + 2', 'torch.stack(sizes).amax -> torch.stack(sizes).amin',
    )),
    ("_substituted", f"{PARTS}; {AXIS}", (
        '0 -> 1',
        'max(peak, sum((part.entries for part in parts))) -> min(peak, sum((part.entries for part in parts)))',
        'part if part.columns is columns else replace(part, columns=columns) -> replace(part, columns=columns) if part.columns is columns else part',
        'part.columns is columns -> part.columns is not columns',
    )),
    ("_union", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        'max([int(name.max()) for name in names if name.numel()], default=-1) -> min([int(name.max()) for name in names if name.numel()], default=-1)',
        'name is names[0] -> name is not names[0]',
        'present.sum(1).max -> present.sum(1).min',
    )),
    ("_with_fresh", f"{PARTS}; {AXIS}", (
        '-1.0 -> 1.0',
        '1 -> -1',
        '1.0 -> -1.0',
        '1.0 -> 2.0',
    )),
    ("above", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
    )),
    ("affine", f"{FASTER}; the order of equal depths", (
        '1 -> -1',
        '1 -> 2',
        'all((e.local for e in args)) -> any((e.local for e in args))',
        'len(shape) > 1 -> len(shape) <= 1',
        'rows if op.local else rows.dense() -> rows.dense() if op.local else rows',
    )),
    ("ascended", SEARCH, (
        '0 -> 1',
        '1 -> -1',
        '1 -> 2',
        '1.0 -> 2.0',
        'If -> If wrong',
        'pace.rate * pace.decay ** step -> pace.rate / pace.decay ** step',
        'not tied(r) -> tied(r)',
        'step + 1 -> step - 1',
        'step == 0 -> step != 0',
    )),
    ("bracket", SEARCH, (
        '(p < false) & (false < q) -> (p < false) | (false < q)',
        '0 -> 1',
        '0.5 -> -0.5',
        '0.5 -> 1.5',
        '1.0 -> 2.0',
        '4 -> -4',
        '4 -> 5',
        'at_p.abs() + at_q.abs() -> at_p.abs() - at_q.abs()',
        'at_p.abs() -> at_p',
        'at_q.abs() -> at_q',
        'first | last -> first & last',
        'over | (torch.minimum(at_p.abs(), at_q.abs()) * (q - p) <= enough) -> over & (torch.minimum(at_p.abs(), at_q.abs()) * (q - p) <= enough)',
        'q - p -> q + p',
        'return halved',
        'torch.maximum -> torch.minimum',
        'torch.minimum -> torch.maximum',
        'torch.minimum(at_p.abs(), at_q.abs()) * (q - p) -> torch.minimum(at_p.abs(), at_q.abs()) / (q - p)',
        'weighted_p * again -> weighted_p / again',
        'weighted_q * again -> weighted_q / again',
    )),
    ("fits", FASTER, (
        'prod(_extent(rows.window, kernel, stride, dilation)) < prod(shape[1:]) -> prod(_extent(rows.window, kernel, stride, dilation)) >= prod(shape[1:])',
        'return halved',
        'return negated',
        'return plus one',
    )),
    ("least", SIGN, (
        '1 -> 2',
        'bend * (derivative(x) - slope) * way -> bend * (derivative(x) - slope) / way',
    )),
    ("least", MASKED, (
        'steep.relu() -> steep',
    )),
    ("margins", AXIS, (
        '1 -> -1',
    )),
    ("pair", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        '_CACHED // max(1, wide.numel()) -> _CACHED * max(1, wide.numel())',
        'max(1, _CACHED // max(1, wide.numel())) -> min(1, _CACHED // max(1, wide.numel()))',
        'max(1, wide.numel()) -> min(1, wide.numel())',
    )),
    ("pairs", f"{FASTER}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        '2 * len(asked) >= len(like) * plain.count -> 2 * len(asked) < len(like) * plain.count',
        '2 -> -2',
        '2 -> 3',
        'If -> If wrong',
    )),
    ("relaxed", f"{FASTER}; the order of equal depths", (
        '1 -> 2',
    )),
    ("robust_cross_entropy", AXIS, (
        '1 -> -1',
    )),
    ("roots", f"{PARTS}; {AXIS}", (
        '1 -> -1',
        '1 -> 2',
        '_BUDGET // max(1, entries) -> _BUDGET * max(1, entries)',
        'len(like) * sum((prod(arg.shape) for node in searched(e) for arg in node.args)) -> len(like) / sum((prod(arg.shape) for node in searched(e) for arg in node.args))',
        'max(1, entries) -> min(1, entries)',
    )),
    ("source", f"{FASTER}; the order of equal depths", (
        '1 -> -1',
        '1 -> 2',
        'len(shape) > 1 -> len(shape) <= 1',
    )),
    ("spread", FASTER, (
        '1 -> -1',
        'len(y) < y[0].numel() -> len(y) >= y[0].numel()',
        'w.shape[1] > _FEW -> w.shape[1] <= _FEW',
    )),
    ("units", f"{FASTER}; {AXIS}", (
        '1 -> -1',
    )),
    ("windows", f"{FASTER}; {AXIS}", (
        '0 -> 1',
        '1 -> -1',
        '1 -> 2',
        '1 if few else channels -> channels if few else 1',
        '2 * int(asked.sum()) < channels * len(places) -> 2 * int(asked.sum()) >= channels * len(places)',
        '2 -> -2',
        '2 -> 3',
        'where is not None -> where is None',
        'where is not None and 2 * int(asked.sum()) < channels * len(places) -> where is not None or 2 * int(asked.sum()) < channels * len(places)',
    )),
    ("gamma", LARGER, ("1 -> 2", "8 -> 9")),
    ("up", LARGER, ("16 -> 17", "1 -> 2")),
    ("up", BELOW, ("x * (1 + 16 * U) + ETA -> x * (1 + 16 * U) - ETA",)),
    ("Ball.dot", f"{SAME}; {AXIS}", (
        "2 -> -2", "v.ndim == 2 or v.shape[1] == 1 -> v.ndim == 2 and v.shape[1] == 1", "line 6: 1 -> 2", "1 -> -1",
    )),
    ("Ball.transpose", AXIS, ("-1 -> 1", "1 -> -1", "1 -> 2")),
    ("Ball.reach", LARGER, ("1 -> 2", "2 -> 3")),
    ("Ball.reach", BELOW, (
        "1 -> -1", "op.terms + 1 -> op.terms - 1",
        "total * (1 + 2 * gamma(op.terms + 4)) + (op.terms + 1) * ETA -> total * (1 + 2 * gamma(op.terms + 4)) - (op.terms + 1) * ETA",
    )),
    ("Ball.errors", LARGER, ("0 -> 1",)),
    ("Bounds._affine", BELOW, (
        "1 -> -1", "If -> If wrong", "g.unit(1) and op.fan -> g.unit(1) or op.fan", "1 -> 2",
        "paid + sum(((TINY * largest(box)).sum(1) for box in args))[:, None] -> paid - sum(((TINY * largest(box)).sum(1) for box in args))[:, None]",
    )),
    ("Bounds._curve", AXIS, ("line 14: 1 -> -1",)),
    ("Bounds._curve", BELOW, (
        "paid + (TINY * sizes).sum(1)[:, None] -> paid - (TINY * sizes).sum(1)[:, None]",
    )),
)  # fmt: skip

# Functions that only hand on what they are given, so that the rules find fewer than two mistakes in them.
FEW: frozenset[str] = frozenset({
    "Nonlinear.slope_range", "Dense._check", "source", "_first", "Affine.offset", "with_pulls", "fits", "PiecewiseLinear.critical",
    "Heaviside.jumps", "Sign.jumps", "Graph.ending_in", "Ball.number", "Ball.lift", "Ball.transpose",
})  # fmt: skip


def reason(f: FunctionType, mistake: str) -> str:
    """Why a patch of a function is no mistake; empty where it is one."""
    _, _, what = mistake.partition(": ")
    if what == "return in reverse order" and f.__qualname__.endswith((".critical", ".stationary")):
        return ORDER
    if what in ("return without where", "return without asked", "return without ends"):
        return WIDER
    return next((why for name, why, whats in EQUIVALENT if name == f.__qualname__ and {what, mistake} & {*whats}), "")
