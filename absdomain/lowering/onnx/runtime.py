"""An ONNX network as onnxruntime runs it: what a counterexample is replayed by."""

from __future__ import annotations

from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from absdomain.errors import InvalidFile
from absdomain.graph import Graph
from absdomain.lowering.onnx import kernels, precision, reading


class Runtime:
    """Joined inputs (n,) -> joined outputs (m,) of the network in a file, in its own dtype; loaded at its first use."""

    def __init__(self, path: Path, graph: Graph) -> None:
        self.path, self.inputs = path, graph.given

    @cached_property
    def _model(self) -> tuple[kernels.Evaluator, torch.dtype, dict[str, tuple[int, ...]]]:
        model = reading.read(self.path)
        session = kernels.compiled(model)
        if session is None:
            raise InvalidFile(f"{self.path}: onnxruntime cannot run the network, so that no counterexample is replayed")
        shapes = {
            value.name: tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim) for value in model.graph.input
        }
        return session, precision.of(model), shapes

    @property
    def dtype(self) -> torch.dtype:
        """Of the inputs that it takes."""
        return self._model[1]

    def __call__(self, given: Tensor) -> Tensor:
        session, dtype, shapes = self._model
        told = {}
        for name, shape, start in self.inputs.windows():
            flat = given[start : start + prod(shape)].to(dtype)
            told[name] = flat.reshape(_sized(shapes[name], len(flat))).numpy()
        return torch.from_numpy(np.concatenate([np.asarray(out).reshape(-1) for out in session.run(None, told)]))


def _sized(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The file's shape, or where that leaves sizes open and 1 does not fit, one axis of them all."""
    return shape if prod(shape) == count else (count,)
