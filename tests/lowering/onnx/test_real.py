"""Networks of others: every ONNX file under ABSDOMAIN_DATA is read, and is what onnxruntime makes of it."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from time import process_time

import numpy
import onnxruntime
import pytest
import torch

from absdomain import Graph, onnx_to_graph

DATA = os.environ.get("ABSDOMAIN_DATA", "")
FILES = sorted([*Path(DATA).rglob("*.onnx"), *Path(DATA).rglob("*.onnx.gz")]) if DATA else []


def gap(graph: Graph, path: Path) -> float:
    """The largest difference from onnxruntime as it is used, over the largest output, at random points of [0, 1]."""
    data = path.read_bytes()
    packed = path.suffix == ".gz"
    session = onnxruntime.InferenceSession(
        gzip.decompress(data) if packed else data, providers=["CPUExecutionProvider"]
    )
    shapes = {i.name: [n if isinstance(n, int) and n > 0 else 1 for n in i.shape] for i in session.get_inputs()}
    worst = 0.0
    for seed in range(5):
        draw = numpy.random.default_rng(seed)
        point = {name: draw.random(shape).astype(numpy.float32) for name, shape in shapes.items()}
        natural = dict(graph.given.shapes)
        given = {name: torch.from_numpy(array).reshape(1, *natural[name]) for name, array in point.items()}
        ours = graph.named(graph(graph.joined(given)))
        for name, theirs in zip(graph.outputs, session.run(list(graph.outputs), point), strict=True):
            size = max(1.0, float(numpy.abs(theirs).max()))
            worst = max(worst, float(numpy.abs(ours[name].numpy().reshape(theirs.shape) - theirs).max()) / size)
    return worst


@pytest.mark.slow
@pytest.mark.figures
@pytest.mark.skipif(not FILES, reason="ABSDOMAIN_DATA names no folder with ONNX files")
def test_networks_of_others_are_read_and_agree_with_onnxruntime() -> None:
    started, worst = process_time(), 0.0
    for path in FILES:
        graph = onnx_to_graph(path)
        found = gap(graph, path)
        assert found < 1e-4, f"{path}: {graph} is off by {found:.3g} of its largest output"
        worst = max(worst, found)
    print(f"{len(FILES)} ONNX files read in {process_time() - started:.1f} s, off by at most {worst:.2g}")
