"""What is asked of the batch's size while a module is traced, and by whose code.

torch.export notes a comparison with that size once: an answer that follows from what is noted is given without a note.
So each comparison is looked at where it is made: those that describe an operation's strides have no say in its values;
those that the module makes decide what it computes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import torch

_TORCH = Path(torch.__file__).parent
_HERE = Path(__file__).parent
# call what a module calls of torch, as `func`
_CALLS = [_TORCH / "_export" / "non_strict_utils.py", _HERE / "told.py", _HERE / "defined.py"]
# the code that stands for operations while they are traced
_OPERATIONS = [
    Path(__file__),  # through which a comparison passes that `asked` looks at
    *_CALLS,
    *(
        _TORCH / name
        for name in (
            "_subclasses/fake_tensor.py", "_meta_registrations.py", "_ops.py", "_decomp", "_refs", "_prims",
            "_prims_common",
        )
    ),
]  # fmt: skip
_LAYOUT = {"stride", "equal", "allclose"}  # of a tensor, as `is_contiguous` and its kin: numbers, not tensors


@contextmanager
def asked(*, alone: bool = False) -> Iterator[list[Any]]:
    """What the module itself finds to hold of the batch's size, in sympy's terms, while it is traced here.

    alone: it is told what holds for one sample, where all other batches have one answer.
    """
    from sympy import Not
    from torch.fx.experimental import symbolic_shapes  # with sympy: what is not traced does without

    found: list[Any] = []
    environment: Any = symbolic_shapes.ShapeEnv
    answer = environment.evaluate_sym_node

    def noted(self: Any, node: Any, *args: Any, **kwargs: Any) -> Any:
        if decided(node.expr, 1) or _of_operation(inspect.currentframe()):
            return answer(self, node, *args, **kwargs)
        if alone and decided(node.expr, 2):
            return node.expr.subs(dict.fromkeys(node.expr.free_symbols, 1))
        holds = answer(self, node, *args, **kwargs)
        found.append(node.expr if holds else Not(node.expr))
        return holds

    with mock.patch.object(environment, "evaluate_sym_node", noted):
        yield found


def in_operation(file: str) -> bool:
    """Whether this is the code of an operation that is noted whole, in Python or, called through it, in C++."""
    path = Path(file)
    return any(path == known or known in path.parents for known in _OPERATIONS)


def decided(question: Any, least: int) -> bool:
    """Whether a comparison has one answer for every batch of at least so many samples; a number is no comparison."""
    from sympy import Symbol
    from sympy.logic.boolalg import Boolean

    symbols = getattr(question, "free_symbols", ())
    if not symbols or not isinstance(question, Boolean):
        return True
    size = least + Symbol("k", integer=True, nonnegative=True)  # of all inputs the same
    return not question.subs(dict.fromkeys(symbols, size)).free_symbols


def _of_operation(frame: FrameType | None) -> bool:
    """Whether the code that compares is an operation's; a question about a tensor's layout is its caller's."""
    from torch.fx.experimental import sym_node, symbolic_shapes

    while frame is not None and frame.f_code.co_filename in (__file__, sym_node.__file__):
        frame = frame.f_back
    others = symbolic_shapes.uninteresting_files() - set(map(str, _OPERATIONS))  # through which Python code asks
    in_python = frame is not None and frame.f_code.co_filename in others
    while frame is not None and frame.f_code.co_filename in others:
        frame = frame.f_back
    if frame is None:
        return False
    file = frame.f_code.co_filename
    called = getattr(frame.f_locals.get("func"), "__name__", "") if Path(file) in _CALLS else ""
    if called in _LAYOUT or called.startswith("is_"):
        return False
    return in_operation(file) or (_TORCH in Path(file).parents and not in_python)  # in C++, which torch has called
