"""Whether a graph computes what its file computes: each node of the file against the nodes that stand for it.

The file is run by onnxruntime, and a node for which that lacks a kernel of the dtype by ONNX's reference. Each node's
own arguments are given to the nodes of the graph that stand for it, so that rounding does not add up on the way
(`absdomain.lowering.standing`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy
import torch
from onnx import ModelProto, helper
from torch import Tensor

from absdomain.errors import InvalidFile
from absdomain.graph import Step
from absdomain.lowering.onnx.folding import kind_of
from absdomain.lowering.onnx.kernels import Evaluator, compiled, evaluator
from absdomain.lowering.onnx.reading import where
from absdomain.lowering.onnx.table import Array
from absdomain.lowering.onnx.walk import Lowered, Part
from absdomain.lowering.standing import Stand
from absdomain.runtime.precision import no_autocast

_SEED = 0
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


def check(lowered: Lowered) -> None:
    """ValueError where a node of the graph is not the file's, and says which; InvalidFile where nothing runs the file.

    On a few points: numbers of either sign, numbers of [0, 1], corners, large ones and zeros.
    """
    run = runner(lowered)
    steps = {step.place: step for step in lowered.graph.schedule}
    with torch.no_grad(), no_autocast():
        for point in _points(lowered):
            values = run(point)
            known = _known(lowered, values)
            for part in lowered.parts:
                _held(lowered, part, [steps[place] for place in part.places if place in steps], known)


def _held(lowered: Lowered, part: Part, steps: Sequence[Step], known: Mapping[int, Tensor]) -> None:
    """One node of the file, on the arguments that it has there."""
    inner = {step.place for step in steps}
    read = {a for step in steps for a in step.args} - inner
    outputs = [place for _, place in part.outputs if place in inner]
    stand = Stand(steps, outputs, where(part.node), "the file")
    stand.held(lowered.graph, {a: known[a] for a in read}, [known[place] for place in outputs])


def _known(lowered: Lowered, values: Mapping[str, Array]) -> dict[int, Tensor]:
    """What the graph's nodes should be, by their places, a batch of one each; the joined input too."""
    place = {node.name: number for number, node in enumerate(lowered.graph.nodes)}
    found: dict[int, Tensor] = {}
    for name, held in lowered.held.items():
        if held in place and name in values:
            shape = lowered.graph.nodes[place[held]].shape
            found[place[held]] = torch.tensor(values[name], dtype=lowered.dtype).reshape(1, *shape)
    given = lowered.graph.given
    parts = {name: torch.tensor(values[name]).reshape(1, *shape) for name, shape in given.shapes}
    found[0] = given.joined(parts)
    return found


def _points(lowered: Lowered) -> Iterator[dict[str, Array]]:
    draw, dtype = numpy.random.default_rng(_SEED), str(lowered.dtype).removeprefix("torch.")
    ways: list[Callable[[tuple[int, ...]], Array]] = [
        draw.standard_normal,
        draw.random,
        lambda shape: 2.0 * draw.integers(0, 2, shape) - 1,
        lambda shape: 10 * draw.standard_normal(shape),
        numpy.zeros,
    ]
    for way in ways:
        yield {name: numpy.asarray(way(shape), dtype) for name, shape in lowered.inputs.items()}


def runner(lowered: Lowered) -> Run:
    """Inputs by name -> every tensor of the file that depends on them, and the inputs."""
    run = _whole(lowered) or _by_node(lowered)

    def told(point: Mapping[str, Array]) -> dict[str, Array]:
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
    """One node after the other, each by onnxruntime, and where that lacks a kernel of the dtype by the reference."""
    sessions: dict[int, Evaluator] = {}

    def run(point: Mapping[str, Array]) -> dict[str, Array]:
        values = {**lowered.constants, **point}
        for number, part in enumerate(lowered.parts):
            given = {name: values[name] for name in part.node.input if name}
            if number not in sessions:
                model = lowered.folder.alone(part.node, {name: kind_of(array) for name, array in given.items()}, {})
                sessions[number] = evaluator(model)
            found = sessions[number].run(None, given)
            values.update(zip(filter(None, part.node.output), found, strict=True))
        return {name: values[name] for part in lowered.parts for name in filter(None, part.node.output)}

    return run
