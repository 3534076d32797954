"""Whether a graph computes what its file computes: each node of the file against the nodes that stand for it.

onnxruntime runs the file in float32, and gives every tensor. Each node's own arguments are given to the nodes of the
graph that stand for it, so that rounding does not add up on the way (`absdomain.lowering.standing`). They are given to
the graph in float64, too, and compared with onnxruntime's kernel of that dtype, or where it has none up to float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

import numpy
import torch
from onnx import ModelProto, helper
from torch import Tensor

from absdomain.errors import InvalidFile
from absdomain.lowering.onnx.folding import kind_of
from absdomain.lowering.onnx.kernels import Evaluator, compiled, evaluator
from absdomain.lowering.onnx.reading import where
from absdomain.lowering.onnx.table import Array
from absdomain.lowering.onnx.walk import Lowered, Part
from absdomain.lowering.standing import Stand
from absdomain.runtime.precision import no_autocast

_SEED = 0
_TAIL = 1e-6  # what onnxruntime's sigmoid of float32, for large arguments, may make of 0
# Operators whose definition onnxruntime executes in float64, with numbers that are float32.
_DEFINED = {"Gelu", "GroupNormalization", "HardSwish", "Mish", "Swish"}
_SINGLE = {"GRU", "LSTM", "RNN", "Shrink"}  # whose kernels compute in float32 alone
Values = Mapping[str, Array]
Run = Callable[[Values], dict[str, Array]]


def check(single: Lowered, double: Lowered) -> None:
    """ValueError where a node of a graph is not the file's, and says which; InvalidFile where nothing runs the file.

    The two are the same file in float32 and in float64. On a few points: numbers of either sign, numbers of [0, 1],
    corners, large ones and zeros.
    """
    run = runner(single)
    kernels: dict[int, Evaluator | None] = {}
    with torch.no_grad(), no_autocast():
        for point in _points(single):
            values = run(point)
            known, exact = _known(single, values), _known(double, values)
            for number, (part, same) in enumerate(zip(single.parts, double.parts, strict=True)):
                stand = _stand(single, part)
                args = _args(stand, known)
                stand.held(single.graph, args, [known[place] for place in stand.outputs])
                if number not in kernels:
                    kernels[number] = _kernel(double, same, values)
                _held(stand, args, _stand(double, same), exact, kernels[number], (single, double, same, values))


def _held(
    rough: Stand,
    args: Mapping[int, Tensor],
    fine: Stand,
    exact: Mapping[int, Tensor],
    kernel: Evaluator | None,
    given: tuple[Lowered, Lowered, Part, Values],
) -> None:
    """One node in float64: against its kernel, or up to the rounding of float32."""
    single, double, part, values = given
    if kernel is None:
        ours = fine.values(_args(fine, exact))
        found = [ours[place].to(torch.float32) for place in fine.outputs]
        theirs = _known(single, values)
        rough.agreed(single.graph, args, found, [theirs[place] for place in rough.outputs])
        return
    inputs = {name: _in_double(values, double, name) for name in part.node.input if name}
    outputs = dict(zip(filter(None, part.node.output), kernel.run(None, inputs), strict=True))
    known = _known(double, outputs)
    fine.held(double.graph, _args(fine, exact), [known[place] for place in fine.outputs])


def _stand(lowered: Lowered, part: Part) -> Stand:
    steps = {step.place: step for step in lowered.graph.schedule}
    own = [steps[place] for place in part.places if place in steps]
    inner = {step.place for step in own}
    floor = _TAIL if lowered.dtype == torch.float32 else 0.0
    outputs = [place for _, place in part.outputs if place in inner]
    return Stand(own, outputs, where(part.node), str(lowered.path), floor)


def _args(stand: Stand, known: Mapping[int, Tensor]) -> dict[int, Tensor]:
    inner = {step.place for step in stand.steps}
    return {a: known[a] for step in stand.steps for a in step.args if a not in inner}


def _known(lowered: Lowered, values: Values) -> dict[int, Tensor]:
    """What the graph's nodes should be, by their places, a batch of one each; the joined input too."""
    place = {node.name: number for number, node in enumerate(lowered.graph.nodes)}
    found: dict[int, Tensor] = {}
    for name, held in lowered.held.items():
        if held in place and name in values:
            shape = lowered.graph.nodes[place[held]].shape
            if values[name].size != prod(shape):
                raise InvalidFile(
                    f"{lowered.path}: onnxruntime gives {name!r} the shape {list(values[name].shape)}, but ONNX's own "
                    f"inference of shapes says {list(shape)} of a sample; write the operator in another way (a pool "
                    "without ceil_mode) so that both say the same"
                )
            found[place[held]] = torch.tensor(values[name], dtype=lowered.dtype).reshape(1, *shape)
    given = lowered.graph.given
    if set(given.names) <= values.keys():
        parts = {name: torch.tensor(values[name], dtype=lowered.dtype) for name in given.names}
        found[0] = given.joined({name: parts[name].reshape(1, *shape) for name, shape in given.shapes})
    return found


def _points(lowered: Lowered) -> Iterator[dict[str, Array]]:
    draw = numpy.random.default_rng(_SEED)
    ways: list[Callable[[tuple[int, ...]], Array]] = [
        draw.standard_normal,
        draw.random,
        lambda shape: 2.0 * draw.integers(0, 2, shape) - 1,
        lambda shape: 10 * draw.standard_normal(shape),
        numpy.zeros,
    ]
    for way in ways:
        yield {name: numpy.asarray(way(shape), numpy.float32) for name, shape in lowered.inputs.items()}


def _kernel(double: Lowered, part: Part, values: Values) -> Evaluator | None:
    """onnxruntime's, of float64; None: it has none of its own."""
    if part.node.op_type in _DEFINED | _SINGLE:
        return None
    inputs = {name: kind_of(_in_double(values, double, name)) for name in part.node.input if name}
    floats = any(kind.element == helper.np_dtype_to_tensor_dtype(numpy.dtype("float64")) for kind in inputs.values())
    return compiled(double.folder.alone(part.node, inputs, {})) if floats else None


def _in_double(values: Values, double: Lowered, name: str) -> Array:
    """A tensor of the file; those that depend on an input are the float32 run's, exactly."""
    array = values[name] if name in values else double.constants[name]
    return array.astype(numpy.float64) if array.dtype == numpy.float32 and name in values else array


def runner(lowered: Lowered) -> Run:
    """Inputs by name -> every tensor of the file that depends on them, and the inputs."""
    run = _whole(lowered) or _by_node(lowered)

    def told(point: Values) -> dict[str, Array]:
        try:
            with numpy.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return {**point, **run(point)}
        except Exception as error:  # onnxruntime and the reference say what they find in many classes
            raise InvalidFile(
                f"{lowered.path}: onnxruntime does not run the network ({type(error).__name__}: {str(error)[:300]}); "
                "nothing that it computes can be compared"
            ) from None

    return told


def _whole(lowered: Lowered) -> Run | None:
    """onnxruntime, without its own rewritings, on the whole file; None where it lacks a kernel."""
    model = ModelProto()
    model.CopyFrom(lowered.model)
    names = [name for name in lowered.held if name not in lowered.inputs]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    for value in model.graph.input:
        if value.name in lowered.inputs:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, lowered.inputs[value.name]))
    session = compiled(model)
    if session is None:
        return None
    return lambda point: dict(zip(names, session.run(names, dict(point)), strict=True))


def _by_node(lowered: Lowered) -> Run:
    """One node after the other, each by onnxruntime, and where that lacks a kernel by the reference."""
    sessions: dict[int, Evaluator] = {}

    def run(point: Values) -> dict[str, Array]:
        values = {**lowered.constants, **point}
        for number, part in enumerate(lowered.parts):
            given = {name: values[name] for name in part.node.input if name}
            if number not in sessions:
                kinds = {name: kind_of(array) for name, array in given.items()}
                sessions[number] = evaluator(lowered.folder.alone(part.node, kinds, {}))
            found: Sequence[Array] = sessions[number].run(None, given)
            values.update(zip(filter(None, part.node.output), found, strict=True))
        return {name: values[name] for part in lowered.parts for name in filter(None, part.node.output)}

    return run
