"""nn.Module -> the ATen graph of torch.export, with one size left open: that of the batch."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.fx.experimental._config
from torch import Tensor, fx, nn

from absdomain.errors import UnsupportedOp
from absdomain.lowering.branches import alike
from absdomain.lowering.defined import Defined
from absdomain.lowering.questions import asked, decided, in_operation
from absdomain.lowering.told import Told

config: Any = torch.fx.experimental._config  # whose `patch` has no type
_TORCH = Path(torch.__file__).parent
_LISTED = r"The tensor attributes? (self\.[\w.]*_flat_weights\[\d+\](, )?)+ (was|were) assigned during export"
_SAMPLES = 3  # of the example: neither 1, along which tensors are broadcast, nor a usual size of another axis


def plain(example: Tensor) -> Tensor:
    """Three samples of the example in a tensor of their own: dense, without an offset, a gradient or a subclass.

    torch.export looks at all of these: in a slice of a larger batch it finds a size that is bounded by the storage.
    """
    with torch._C.DisableTorchFunctionSubclass():
        given = example.detach().as_subclass(Tensor)
        rows = torch.arange(_SAMPLES, device=given.device) % len(given)
        batch = torch.empty((_SAMPLES, *given.shape[1:]), dtype=given.dtype, device=given.device)
        return batch.copy_(given[rows])


@dataclass(frozen=True, eq=False)
class Exported:
    """A module's ATen graph: functional, and the same for every size of the batch that `check_sizes` has passed."""

    program: torch.export.ExportedProgram
    asked: Sequence[Any] = ()  # comparisons with the batch's size that the module has made

    @property
    def nodes(self) -> Sequence[fx.Node]:
        """The calls in the order in which they are made, with the placeholders before and the output after them."""
        return list(self.program.graph.nodes)

    @cached_property
    def inputs(self) -> Sequence[fx.Node]:
        """The placeholders of the module's arguments, in their order."""
        named = {node.name: node for node in self.nodes}
        return [named[name] for name in self.program.graph_signature.user_inputs if isinstance(name, str)]

    @cached_property
    def _input(self) -> Any:
        """The first input's shape and dtype, as the program has them."""
        return self.inputs[0].meta["val"]

    @property
    def dtype(self) -> torch.dtype:
        """The input's dtype."""
        dtype: torch.dtype = self._input.dtype
        return dtype

    @cached_property
    def batch(self) -> Any:
        """The size of the input's axis 0: a symbol, or a number where the program holds for that number alone."""
        size = self._input.shape[0]
        return int(size) if _expression(size).is_number else size

    def check_sizes(self) -> None:
        """Refuses a program that was traced under a condition on the batch's size.

        torch.export notes every comparison with that size that the module, or an operation in it, has made.
        """
        from torch.utils._sympy.numbers import int_oo

        if isinstance(self.batch, int):
            condition = "for one number of samples"
        else:
            symbol, environment = self.batch.node.expr, self.batch.node.shape_env
            noted = (g for g in environment.guards if not (_of_strides(g) or _of_inputs(g)))
            asked = [*(g.expr for g in noted), *self.asked]
            limits = environment.var_to_range[symbol]
            if not asked and limits.lower <= 2 and limits.upper == int_oo:
                return
            told = asked[0] if asked else f"{limits.lower} <= B <= {limits.upper}"
            condition = f"where {told}".replace(str(symbol), "B")
        raise UnsupportedOp(
            f"the module depends on the size B of the batch, and is exported {condition} only; write x.shape[0] for "
            "len(x), and no branch, cut or view that depends on its value"
        )


def export(module: nn.Module, args: Sequence[Tensor], named: Mapping[str, Tensor]) -> Exported:
    """The module's graph on batches (B, *shape), as `plain` gives them; UnsupportedOp where torch.export has none."""
    _unpacked(module)
    with tracing():
        sizes: Any = torch.export.ShapesCollection()  # whatever the signature of `forward`, *args included
        several = len(args) + len(named) > 1
        size = torch.export.Dim("batch") if several else torch.export.Dim.AUTO  # of all inputs the same
        for batch in (*args, *named.values()):
            sizes[batch] = {0: size}

        def traced(**told: bool) -> Exported:
            """In-place operations become functional; the others stay as they are."""
            with asked(**told) as questions, Told(), Defined():
                program = torch.export.export(module, tuple(args), dict(named), dynamic_shapes=sizes)
            return Exported(program.run_decompositions({}), questions)

        try:
            found = traced()
        except Exception as error:  # whatever torch.export finds in the module, it says in its own classes
            first = str(error).strip().partition("\n")[0]
            told = f"torch.export cannot export {type(module).__name__}: {first}{_place(error)}"
            raise UnsupportedOp(told) from error
        if found.asked and all(decided(question, 2) for question in found.asked):
            with suppress(Exception):  # what the module does for one sample is something else, which has no program
                alone = traced(alone=True)
                return replace(found, asked=alone.asked) if alike(found.program, alone.program) else found
        return found


def _unpacked(module: nn.Module) -> None:
    """Refuses modules of torch.ao, whose weights are packed for kernels that no rule could read."""
    for name, part in module.named_modules():
        if type(part).__module__.startswith("torch.ao.nn.") and "quantized" in type(part).__module__:
            raise UnsupportedOp(
                f"{name or 'the module'!r} is a quantised {type(part).__name__} of torch.ao, whose weights "
                "torch.export cannot read; give the float module, or write the quantised network as an ONNX file with "
                "QuantizeLinear and DequantizeLinear and lower that (absdomain.onnx_to_graph)"
            )


def _place(error: Exception) -> str:
    """The last line of the module's own code that led to an error."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _inside(Path(f.filename))]
    return f" [{Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line}]" if frames else ""


def _inside(file: Path) -> bool:
    """Whether a file is torch's, or one of this room, through which torch calls the module's code."""
    return _TORCH in file.parents or Path(__file__).parent in file.parents


@contextmanager
def tracing() -> Iterator[None]:
    """torch.export's own state while it traces a program, or traces it again.

    Without it torch.export takes B >= 2 for granted, and answers comparisons with 0 and 1 without a note of them.
    """
    with warnings.catch_warnings(), config.patch(backed_size_oblivious=True), _undumped():
        warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
        # of a recurrent layer's list of its own parameters, which torch lays out anew at each call
        warnings.filterwarnings("ignore", _LISTED, UserWarning)
        yield


@contextmanager
def _undumped() -> Iterator[None]:
    """Without the graph that torch.export prints of what it cannot trace; its reason and the place are passed on."""
    from torch.export import _trace  # with sympy: what is not traced does without

    log = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with mock.patch.object(_trace, "print", create=True):
            yield
    finally:
        log.setLevel(level)


def _of_strides(guard: Any) -> bool:
    """Whether torch has compared B with 0 or 1 to describe an operation's result: its strides, for its values are ours.

    Such comparisons come from the code that stands for an operation while it is traced; the operation is noted whole.
    """
    place = getattr(getattr(guard, "sloc", None), "framework_loc", None)
    return decided(guard.expr, 2) and in_operation(getattr(place, "filename", ""))


def _of_inputs(guard: Any) -> bool:
    """Whether torch has compared the sizes of two inputs' batches, which are one."""
    from sympy import Eq

    return isinstance(guard.expr, Eq) and all(side.is_Symbol for side in guard.expr.args)


def _expression(size: Any) -> Any:
    """A size as sympy has it."""
    from sympy import Integer

    return Integer(size) if isinstance(size, int) else size.node.expr
