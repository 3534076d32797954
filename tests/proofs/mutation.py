"""Wrong versions of a function, drawn from its own source by rules: one mistake each."""

from __future__ import annotations

import ast
import inspect
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from random import Random
from types import CodeType, FrameType, FunctionType
from typing import Any

from torch import Tensor

from absdomain.proofs.kernel.world import explore
from absdomain.proofs.lemma import Result

HELPER = "_returned_wrong"  # the name under which a mutant finds `returned_wrong`

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
PAIRS = (
    ("minimum", "maximum"), ("amin", "amax"), ("min", "max"), ("lower", "upper"), ("all", "any"), ("floor", "ceil"),
    ("zeros_like", "ones_like"), ("new_zeros", "new_ones"), ("below", "above"), ("sin", "cos"), ("asin", "acos"),
    ("argmin", "argmax"), ("inf", "sup"), ("low", "high"),
)  # fmt: skip
NAMES = dict(PAIRS) | {b: a for a, b in PAIRS}
DROPPED = ("relu", "abs", "neg", "sort", "square")  # x.relu() becomes x


@dataclass(frozen=True)
class Mutant:
    """One mistake in a function: its number among those of the function, what it is, and its code."""

    function: FunctionType
    mistake: str
    code: CodeType

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The function with the mistake, wherever it is reached from, inside the block."""
        shipped = self.function.__code__
        self.function.__globals__[HELPER] = returned_wrong
        self.function.__code__ = self.code
        try:
            yield
        finally:
            self.function.__code__ = shipped
            del self.function.__globals__[HELPER]


def mutants(f: FunctionType) -> list[Mutant]:
    """All mutants of a function, in an order that is drawn from its name."""
    tree = _parsed(inspect.getsourcefile(f) or "")
    line = f.__code__.co_firstlineno
    node = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and _first_line(n) == line)
    found = []
    for mistake, put in _sites(node):
        restore = put()
        try:
            ast.fix_missing_locations(tree)
            code = _found(compile(tree, f.__code__.co_filename, "exec"), f.__code__)
        finally:
            restore()
        if code.co_freevars == f.__code__.co_freevars:  # or it does not fit: `super()` is gone, say
            found.append(Mutant(f, mistake, code))
    Random(f.__qualname__).shuffle(found)
    return found


@cache
def _parsed(path: str) -> ast.Module:
    with open(path) as file:
        return ast.parse(file.read())


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _found(code: CodeType, like: CodeType) -> CodeType:
    """The function's code within its module's."""
    pending = [code]
    for one in pending:
        if one.co_qualname == like.co_qualname and one.co_firstlineno == like.co_firstlineno:
            return one
        pending += [inner for inner in one.co_consts if isinstance(inner, CodeType)]
    raise LookupError(like.co_qualname)


Put = Callable[[], Callable[[], None]]  # makes the mistake in the tree; what it gives back undoes it


def _sites(node: ast.FunctionDef) -> Iterator[tuple[str, Put]]:
    """Every place of a function where a rule applies."""
    for parent, name, index, child in _children(node):
        where = f"line {getattr(child, 'lineno', node.lineno) - node.lineno}"
        for mistake, new in _replacements(child):
            yield f"{where}: {mistake}", _swap(parent, name, index, new)


def _children(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Everything under a node that is computed: not annotations, defaults, messages, asserts or keyword arguments."""
    for name, value in ast.iter_fields(node):
        skipped: list[ast.AST] = []
        if name in ("annotation", "returns", "args", "decorator_list") and isinstance(node, ast.FunctionDef):
            continue
        if name in ("annotation", "ctx", "slice") and not isinstance(node, ast.FunctionDef):
            continue
        if name == "args" and isinstance(node, ast.Call) and _read_for_its_kind(node):
            skipped = value[:1]
        if name == "value" and isinstance(node, ast.Attribute) and node.attr in ("dtype", "device", "shape"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if (
                child in skipped
                or not isinstance(child, ast.AST)
                or isinstance(child, ast.Raise | ast.Assert | ast.arguments)
            ):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            if isinstance(child, ast.keyword) and child.arg in UNTOUCHED:
                continue
            if isinstance(child, ast.If) and isinstance(child.body[-1], ast.Raise):
                continue  # a refusal
            yield node, name, index, child
            yield from _children(child)


def _read_for_its_kind(call: ast.Call) -> bool:
    """Whether the first argument gives a shape, dtype and device, and no value."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name.endswith("_like") or name in ("finfo", "to")


UNTOUCHED = ("strict", "dtype", "device", "keepdim", "generator", "stable", "dim", "axis", "start", "default")


def _swap(parent: ast.AST, name: str, index: int | None, new: ast.AST) -> Put:
    def put() -> Callable[[], None]:
        if index is None:
            old = getattr(parent, name)
            setattr(parent, name, new)
            return lambda: setattr(parent, name, old)
        values = getattr(parent, name)
        old = values[index]
        values[index] = new
        return lambda: values.__setitem__(index, old)

    return put


def _replacements(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What the rules put in the place of one node."""
    text = ast.unparse(node) if isinstance(node, ast.expr) else ""
    for new in (*_of_operators(node), *_of_calls(node), *_of_values(node), *_of_branches(node)):
        ast.copy_location(new, node)
        yield f"{text or type(node).__name__} -> {ast.unparse(new) if text else type(new).__name__ + ' wrong'}", new
    if isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "return nothing", ast.copy_location(ast.Return(ast.Constant(None)), node)
        turned = ast.Tuple(node.value.elts[::-1], ast.Load()) if isinstance(node.value, ast.Tuple) else node.value
        if ast.unparse(turned) != ast.unparse(node.value):
            yield "return in reverse order", ast.copy_location(ast.Return(turned), node)
        if isinstance(node.value, ast.Call) and node.value.args:
            call = ast.Call(node.value.func, node.value.args[:-1], node.value.keywords)
            yield f"return without {ast.unparse(node.value.args[-1])}", ast.copy_location(ast.Return(call), node)
        for way in WAYS:
            call = ast.Call(ast.Name(HELPER, ast.Load()), [node.value, ast.Constant(way)], [])
            new = ast.Return(call)
            ast.copy_location(new, node)
            yield f"return {way}", new


def _of_operators(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield operand
        case ast.Compare(left, [op], [right]) if type(op) in COMPARISONS:
            yield ast.Compare(left, [COMPARISONS[type(op)]()], [right])
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.And() if isinstance(op, ast.Or) else ast.Or(), values)


def _of_calls(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Call(ast.Attribute(value, name), [], []) if name in DROPPED:
            yield value
        case ast.Attribute(value, name, ctx) if name in NAMES:
            yield ast.Attribute(value, NAMES[name], ctx)
        case ast.Call(ast.Name(name), arguments, keywords) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name], ast.Load()), arguments, keywords)


def _of_values(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value) if type(value) in (int, float) and (value == 0 or abs(value) >= 1e-6):
            yield ast.Constant(value + 1)
            if value:
                yield ast.UnaryOp(ast.USub(), ast.Constant(value))


def _of_branches(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)


class Nothing(Exception):
    """What a function returned holds no number, so that there is nothing to make wrong."""


WAYS = ("negated", "plus one", "halved")
CHANGES: dict[str, Callable[[Any], Any]] = {
    "negated": lambda x: -x,
    "plus one": lambda x: x + 1,
    "halved": lambda x: x / 2,
}


def returned_wrong(value: Any, way: str) -> Any:
    """The value with its numbers wrong, in tensors, bounds, rows, lines and tuples of such."""
    made, changed = _wrong(value, CHANGES[way])
    if not changed:
        raise Nothing
    return made


def _wrong(value: Any, change: Callable[[Any], Any]) -> tuple[Any, bool]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            return change(value), True
        return (~value, True) if value.dtype.is_signed is False and str(value.dtype) == "torch.bool" else (value, False)
    if isinstance(value, bool):
        return not value, True
    if isinstance(value, int | float):
        return change(value), True
    if isinstance(value, tuple | list):
        parts = [_wrong(part, change) for part in value]
        made = type(value)(*(p for p, _ in parts)) if hasattr(value, "_fields") else type(value)(p for p, _ in parts)
        return made, any(c for _, c in parts)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {}
        for field in fields(value):
            old = getattr(value, field.name)
            if field.name != "like" and field.init and isinstance(old, Tensor | tuple):
                new, changed = _wrong(old, change)
                if changed and not _places(old):
                    changes[field.name] = new
        return (replace(value, **changes), True) if changes else (value, False)
    return value, False


def _places(value: Any) -> bool:
    """Whether a tuple holds whole numbers, as a shape or an index does."""
    return isinstance(value, tuple) and all(isinstance(v, int) for v in value)


class Outcome(Enum):
    """What a lemma says of a patched function."""

    FAILS = "the lemma fails"
    LATE = "a check does not end in time"
    PASSES = "the lemma holds"
    NOTHING = "what was to be made wrong holds no number"


def outcome(mutant: Mutant, result: Result) -> Outcome:
    """Whether a check of the lemma that runs the function fails with the patch in its place; the fastest first."""
    runs = sorted((run for run in result.runs if mutant.function in run.functions), key=lambda run: run.seconds)
    with mutant.installed():
        try:
            for run in runs:
                with limited(LEAST + TIMES * run.seconds):
                    explore(run.check)
        except Nothing:
            return Outcome.NOTHING
        except Late:
            return Outcome.LATE
        except Exception:
            return Outcome.FAILS
    return Outcome.PASSES


# Processor time of a check, beside what it takes as shipped: a patched loop may have no end.
LEAST, TIMES = 0.5, 4.0
AGAIN = 0.5  # seconds: what is raised in a callback of torch's may get lost


class Late(BaseException):
    """The limit is over; no Exception, so that no code in between takes it for a fault of its own."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises Late in the block after so much processor time."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Late

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
