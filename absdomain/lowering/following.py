"""The samples of a batch, followed from value to value of a program: what each operation does with their axis.

Law: a sample's part of an operation's value is the operation of that sample's parts of its arguments, of constants as
they are for a batch of one. Of values whose samples are along axis 0 it is the rules that say so (`table.lowers`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import fx

from absdomain.lowering.samples import Samples, along_batch

Bound = Mapping[str, Any]  # the arguments of a call by the names of its schema
NUMBERED = ("dim", "dims", "dim0", "dim1", "axis", "axes")
SIZES = frozenset({"size", "sizes", "shape", "repeats"})  # arguments that may depend on the batch's size

UNWRITTEN = {  # memory that holds whatever was there
    "aten.empty.memory_format", "aten.empty_like.default", "aten.empty_permuted.default", "aten.empty_strided.default",
    "aten.new_empty.default", "aten.new_empty_strided.default",
}  # fmt: skip
_WRITES = {"aten.copy.default", "aten.fill.Scalar", "aten.fill.Tensor", "aten.zero.default"}  # over all of the first
CREATED = UNWRITTEN | {
    *(f"aten.{name}.default" for name in ("zeros", "ones", "full")),
    *(f"aten.{kind}.default" for name in ("zeros", "ones", "full") for kind in (f"new_{name}", f"{name}_like")),
}  # fmt: skip
RESHAPED = {
    "aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", "aten.flatten.using_ints",
    "aten.unflatten.int", "aten.unsqueeze.default", "aten.squeeze.dim", "aten.squeeze.dims", "aten.squeeze.default",
}  # fmt: skip
ORDERED = {"aten.permute.default", "aten.transpose.int", "aten.t.default"}
PART = "<built-in function getitem>"  # one of several outputs
_SPREAD = {"aten.expand.default", "aten.repeat.default"}

# Operations that act along the axes that they are given by their numbers, and along no other.
_BY_NUMBER = {
    "aten.softmax.int", "aten._softmax.default", "aten.log_softmax.int", "aten._log_softmax.default",
    "aten.mean.dim", "aten.sum.dim_IntList", "aten.amax.default", "aten.amin.default", "aten.max.dim", "aten.min.dim",
    "aten.var.correction", "aten.std.correction", "aten.var_mean.correction", "aten.logsumexp.default",
    "aten.linalg_vector_norm.default", "aten.cumsum.default", "aten.diff.default", "aten.cat.default",
    "aten.stack.default", "aten.select.int", "aten.slice.Tensor", "aten.narrow.default", "aten.chunk.default",
    "aten.split.Tensor", "aten.split_with_sizes.default", "aten.unbind.int", "aten.flip.default", "aten.roll.default",
    "aten.index_select.default",
}  # fmt: skip
_ENTRYWISE = _WRITES | {  # and what torch does not call pointwise
    "aten.dropout.default", "aten.contiguous.default", "aten.detach.default", "aten.alias.default",
    "aten._to_copy.default", "aten.to.dtype", "aten.to.dtype_layout", "aten.lift_fresh_copy.default",
    "aten.where.self", "aten.where.Scalar", "aten.where.ScalarSelf", "aten.where.ScalarOther",
    "aten.masked_fill.Scalar", "aten.masked_fill.Tensor", "aten.__and__.Tensor", "aten.__or__.Tensor",
}  # fmt: skip

# Operations that act along so many of the last axes.
_BY_LAST: dict[str, Callable[[Bound], int]] = {
    "aten.linear.default": lambda bound: 1,
    "aten.layer_norm.default": lambda bound: len(bound["normalized_shape"]),
    "aten.rms_norm.default": lambda bound: len(bound["normalized_shape"]),
    "aten.scaled_dot_product_attention.default": lambda bound: 2,
    "aten.mm.default": lambda bound: _of_product(bound["self"], bound["mat2"]),
    "aten.bmm.default": lambda bound: _of_product(bound["self"], bound["mat2"]),
    "aten.matmul.default": lambda bound: _of_product(bound["self"], bound["other"]),
    "aten.addmm.default": lambda bound: _of_product(bound["mat1"], bound["mat2"]),
    "aten.baddbmm.default": lambda bound: _of_product(bound["batch1"], bound["batch2"]),
}
_CELLS = {f"aten.{name}_cell.default" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")}
_BY_LAST |= dict.fromkeys(_CELLS, lambda bound: 1)
RECURRENT = {f"aten.{name}.input" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")}
_OF_CONSTANTS = {"aten.gather.default", "aten.embedding.default"}  # along the axis that is named, or none


class Mixed(Exception):
    """An operation that moves entries between samples, or of which that is not known: what it does, and a remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


class Unfollowed(Mixed):
    """An operation of which it is not known along which axes it acts, on samples that are not along axis 0 alone."""


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by the names of its schema, those that are not given by their defaults."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {}
    listed = schema.arguments
    given = {one.name: one.default_value for one in listed if one.has_default_value()}
    given.update({one.name: value for one, value in zip(listed, node.args, strict=False)})
    return {**given, **node.kwargs}


def entrywise(node: fx.Node) -> bool:
    """Whether an operation gives each entry of its value from the same entries of its arguments, broadcast."""
    return torch.Tag.pointwise in getattr(node.target, "tags", ()) or str(node.target) in _ENTRYWISE


def unwritten(node: fx.Node) -> bool:
    """Whether a call reads memory that nothing has written."""
    read: list[fx.Node] = []
    first = 1 if str(node.target) in _WRITES else 0
    fx.node.map_arg((node.args[first:], node.kwargs), read.append)
    return str(node.target) not in CREATED and any(str(n.target) in UNWRITTEN for n in read)


def whole(given: Bound) -> bool:
    """Whether a slice leaves nothing out."""
    return given["start"] in (None, 0) and given["end"] in (None, 2**63 - 1) and given["step"] == 1


class Following:
    """Where the samples are in the values of a program."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch
        self.known: dict[fx.Node, tuple[Samples | None, ...]] = {}  # of each output

    def first(self, node: fx.Node) -> None:
        """An input of the program, whose samples are along axis 0."""
        self.known[node] = (Samples(0, len(node.meta["val"].shape)),)

    def held(self, node: fx.Node) -> list[tuple[fx.Node, Samples]]:
        """Those of a call's arguments."""
        found = ((arg, where) for arg in node.all_input_nodes for where in self.known.get(arg, ()))
        return [(arg, where) for arg, where in found if where is not None]

    def follow(self, node: fx.Node) -> tuple[Samples | None, ...]:
        """Where the samples are in the outputs of a call, which is noted; Mixed where they do not stay apart."""
        value = node.meta.get("val")
        outputs = list(value) if isinstance(value, list | tuple) else [value]
        if str(node.target) == PART:
            source, number = node.args
            self.known[node] = (self.known[source][number],)  # type: ignore[index]
            return self.known[node]
        held = self.held(node)
        self.known[node] = (None,) * len(outputs)
        found = [self._output(node, held, v) if isinstance(v, torch.Tensor) else None for v in outputs[:1]]
        for other in outputs[1:]:
            with suppress(Mixed):  # as of an output beside the first that is no tensor of samples
                found.append(None)
                found[-1] = self._output(node, held, other) if isinstance(other, torch.Tensor) else None
        self.known[node] = tuple(found)
        return self.known[node]

    def _output(self, node: fx.Node, held: list[tuple[fx.Node, Samples]], value: torch.Tensor) -> Samples | None:
        shape = tuple(value.shape)
        along = along_batch(shape, self.batch)
        if not held and (not along or isinstance(self.batch, int)):
            return None
        if len(along) != 1 or along[0][1] < 1:
            raise Mixed(f"moves or mixes the batch axis: {shape}", "keep one axis for the batch alone")
        ((axis, count),) = along
        target = str(node.target)
        if target in CREATED:
            return Samples(axis, len(shape), 1, count)
        if not held:
            return _spread(node, Samples(axis, len(shape), 1, count))
        first, source = held[0][1], held[0][0]
        found = None
        if target in RESHAPED:
            found = first.reshaped(source.meta["val"].shape, shape, axis, count)
        elif count == 1 or count == first.count:
            found = Samples(axis, len(shape), *((1, 1) if count == 1 else (first.before, first.after)))
        if found is None:
            raise Mixed(f"moves or mixes the batch axis: {shape}", "keep one axis for the batch alone")
        return found

    def check(self, node: fx.Node) -> None:
        """Mixed unless the call acts on each sample alone, for one that no rule is asked about: of constants."""
        target, value = str(node.target), node.meta.get("val")
        outputs = zip(list(value) if isinstance(value, list | tuple) else [value], self.known[node], strict=False)
        for output, where in outputs:
            sized = isinstance(output, torch.Tensor) and not isinstance(self.batch, int)
            if where is None and sized and along_batch(output.shape, self.batch):
                raise Mixed(
                    f"moves or mixes the batch axis: {tuple(output.shape)}", "keep one axis for the batch alone"
                )
        if (target == PART and any(self.known[node])) or (not any(self.known[node]) and not self.held(node)):
            return
        if target not in _OF_CONSTANTS:
            self.check_places(node)
        if target not in _BY_NUMBER | {"aten.gather.default"} or target == "aten.stack.default":  # along a new axis
            return
        given = bound(node)
        if target == "aten.slice.Tensor" and whole(given):
            return
        named = [axis for name in NUMBERED if name in given for axis in _listed(given[name])]
        if target == "aten.gather.default" and len(self.held(node)) < 2:  # entry i of an index is looked up in row i
            raise Mixed("depends on the batch size", "make constants of a batch of one")
        for _, where in self.held(node):
            if not named or where.axis in {axis % where.rank for axis in named}:
                raise Mixed("depends on the batch size", "make constants of a batch of one")

    def check_places(self, node: fx.Node) -> None:
        """Mixed for an operation of which it is not known along which axes it acts, or that does along the samples'."""
        target, given = str(node.target), bound(node)
        if target in RECURRENT:
            self._check_recurrent(node, given)
            return
        held = [where for _, where in self.held(node)]
        if not (entrywise(node) or target in CREATED | RESHAPED | ORDERED | _SPREAD | _BY_NUMBER or target in _BY_LAST):
            raise Unfollowed("is applied to a batch that is not along axis 0", "keep axis 0 for the batch there")
        last = _BY_LAST[target](given) if target in _BY_LAST else 0
        for where in held:
            if where.axis >= where.rank - last:
                raise Mixed("acts along the batch axis", "keep axis 0 for the batch")
        if len({where.behind for where in held}) > 1:
            raise Mixed("has arguments with their batches along several axes", "keep axis 0 for the batch")

    def _check_recurrent(self, node: fx.Node, given: Bound) -> None:
        """Mixed unless the samples are along the axis of the sequences' batch, and along axis 1 of the states."""
        held = self.held(node)
        first = 0 if given["batch_first"] else 1
        if any(where.axis != (first if arg is given["input"] else 1) for arg, where in held):
            told = "True" if first else "False"
            raise Mixed("has samples for steps", f"give the batch the axis that it is told, or batch_first={told}")
        if len({(where.before, where.after) for _, where in held}) > 1:
            raise Mixed("has arguments with their batches merged in several ways", "keep one axis for the batch alone")


def _spread(node: fx.Node, where: Samples) -> Samples:
    """Those of a constant that is laid out for every sample; where is as if each sample's entries lay together."""
    target = str(node.target)
    if target in _SPREAD:  # each sample's entries lie together, since the batch's copies come first
        return where
    raise Mixed("depends on the batch size", "write it without x.shape[0]")


def _of_product(one: Any, other: Any) -> int:
    """The axes that a product acts along, from behind: of a matrix of weights on its right the sum's alone."""
    return 1 if isinstance(other, fx.Node) and not _sized(other) and _sized(one) else 2


def _sized(node: Any) -> bool:
    return isinstance(node, fx.Node) and not all(isinstance(size, int) for size in node.meta["val"].shape)


def _listed(axes: Any) -> list[int]:
    return [axes] if isinstance(axes, int) else list(axes or ())
