"""What the lowering does not know it refuses, with the op, the place and a remedy; nothing is dropped silently."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from absdomain import UnsupportedOp, to_graph
from absdomain.kinds import Op
from absdomain.lowering import Activation, Call, lowers
from absdomain.lowering.table import RULES
from absdomain.ops import Dense, Permute, ReLU, Reshape
from tests.written import Written, parameter, same

Forward = Callable[[Any, Tensor], Any]


def refused(module: nn.Module, *shape: int) -> str:
    with pytest.raises(UnsupportedOp) as caught:
        to_graph(module, torch.randn(2, *shape))
    return str(caught.value)


def test_the_message_has_op_place_and_remedy() -> None:
    head = nn.Sequential(nn.Linear(4, 4), Written(lambda s, x: x.logcumsumexp(1)))
    assert refused(nn.Sequential(nn.ReLU(), head), 4) == (
        "aten.logcumsumexp.default at '1.1' is neither Affine nor Nonlinear; "
        "give it a band (absdomain.kinds.Nonlinear) and register it (absdomain.lowering.lowers) "
        "[nonlinear, written.py:26]"
    )


ANTIALIASED = Written(lambda s, x: F.interpolate(x, size=(3, 2), mode="bilinear", antialias=True))


def test_an_affine_operation_without_a_rule_is_told_of_a_rule_and_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(ANTIALIASED, 1, 4, 4)
    assert re.search(r"_aa\.default at .* has no rule, and is affine.*lowers.*kinds\.Affine.*\[affine, ", said), said
    assert "band" not in said

    def rule(call: Call, x: Activation, *args: Any) -> Activation:
        units = torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4)
        columns = ANTIALIASED(units).flatten(1)
        flat = call.apply(Reshape((16,)), x)
        return call.apply(Reshape((1, 3, 2)), call.apply(Dense(columns.t().contiguous()), flat))

    monkeypatch.setitem(RULES, "aten._upsample_bilinear2d_aa.default", rule)
    same(ANTIALIASED, 1, 4, 4)


def test_complex_numbers_and_what_is_no_function_of_numbers_are_told_their_own_remedies() -> None:
    said = refused(Written(lambda s, x: torch.fft.fft(x).real), 4)
    assert re.search(r"_fft_r2c.*complex numbers.*constant real matrices.*\[complex, ", said), said
    said = refused(Written(lambda s, x: x.gather(1, x.argsort(1))), 4)
    assert "band" not in said, said


def test_the_place_of_a_function_is_that_of_its_module() -> None:
    block = Written(lambda s, x: s.layer(x).logcumsumexp(1), layer=nn.Linear(4, 4))
    assert "at 'block.logcumsumexp'" in refused(Written(lambda s, x: s.block(x), block=block), 4)


def buffer_in_place(self: Any, x: Tensor) -> Tensor:
    self.count.add_(1)
    return x.relu()


def norm_in_training(self: Any, x: Tensor) -> Tensor:
    return F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True)


def single_branch(self: Any, x: Tensor) -> Tensor:
    return x.relu() if x.shape[0] < 6 else 2 * x


HYPER = Written(lambda s, x: F.linear(x, s.layer(x)), layer=nn.Linear(4, 4))
REFUSED: dict[str, tuple[Forward | nn.Module, tuple[int, ...], str]] = {
    # what is no op of ours, nor anyone's
    "equality": (lambda s, x: torch.where(x == 0, x, 0.0), (4,), "eq.*single points"),
    "places from the input": (lambda s, x: x.gather(1, x.argsort(1)), (4,), "gather.*places from the input"),
    "a place": (lambda s, x: x.argmax(1, keepdim=True) + x, (4,), "argmax.*place and no number"),
    "truth of a number": (lambda s, x: torch.where(x.logical_not(), x, 0.0), (4,), "logical_not.*compare"),
    "infinite numbers by a mask": (lambda s, x: x.masked_fill(torch.arange(4) > 2, torch.inf), (4,), "infinite"),
    "minus infinity": (lambda s, x: x.masked_fill(torch.arange(4) > 2, -torch.inf).relu(), (4,), "minus infinity"),
    "random attention": (lambda s, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5), (2, 4, 4), "random"),
    "attention that masks all": (
        lambda s, x: F.scaled_dot_product_attention(x, x, x, torch.ones(4, 4) < 0), (2, 4, 4), "every score is masked",
    ),
    "a trace": (lambda s, x: torch.einsum("bii->b", x), (4, 4), "einsum|diagonal"),
    "a sum over the batch": (lambda s, x: torch.einsum("bi,bj->ij", x, x), (4,), "batch"),
    # products of matrices, and powers, of activations
    "x @ y over the batch": (lambda s, x: x @ x.t(), (4,), "acts along the batch axis"),
    "weights from the input": (HYPER, (4,), "weights that depend on the input"),
    # dtypes
    "cast": (lambda s, x: x.double(), (4,), r"casts to torch\.float64.*one dtype"),
    "cast and back": (lambda s, x: x.half().float(), (4,), r"casts to torch\.float16"),
    "cast by an option": (lambda s, x: x.mean(1, dtype=torch.float64), (4,), r"casts to torch\.float64"),
    # the batch
    "mean over the batch": (lambda s, x: x - x.mean(0), (4,), "mean.*over the batch"),
    "norm by the batch": (nn.BatchNorm1d(4, track_running_stats=False), (4,), "batch_norm"),
    "norm in training mode": (Written(norm_in_training, norm=nn.BatchNorm1d(4)), (4,), "batch_norm"),
    "transposed": (lambda s, x: x.transpose(0, 1), (4,), "moves or mixes the batch axis: its output"),
    "permuted": (lambda s, x: x.permute(1, 0, 2), (4, 3), "moves or mixes the batch axis: its output"),
    "flattened": (lambda s, x: x.view(-1, 4), (4, 4), "mixes the batch axis"),
    "split up and joined": (lambda s, x: x.view(2, -1, 2).transpose(0, 1).reshape(-1, 4), (4,), "batch axis"),
    "joined": (lambda s, x: torch.cat([x, x]), (4,), "batch axis"),
    "stacked": (lambda s, x: torch.stack([x, x]).relu(), (4,), "moves or mixes the batch axis: its output"),
    "padded": (lambda s, x: F.pad(x, (0, 0, 1, 1)), (4,), "batch axis"),
    "reversed": (lambda s, x: x.flip(0), (4,), "between samples"),
    "rolled": (lambda s, x: x.roll(1), (4,), "between samples"),
    "first sample": (lambda s, x: x[0].expand(x.shape[0], 4), (4,), "between samples"),
    "repeated": (lambda s, x: x.repeat(2, 1), (4,), "between samples"),
    "outer sum": (lambda s, x: x.sum(1) + x, (1,), "batch axis"),
    "constant per sample": (lambda s, x: x + torch.ones(3, 4), (4,), "along the batch.*size 1"),
    "the batch's size as a number": (lambda s, x: x / x.shape[0], (4,), "depends on the batch size"),
    "the batch's size as an index": (lambda s, x: x[:, : x.shape[0]].sum(1, True), (4,), "batch"),
    "at most so many": (lambda s, x: x[:64].relu(), (4,), "between samples"),
    "a branch by the batch's size": (single_branch, (4,), "where B < 6 only"),
    "exactly so many": (lambda s, x: x.view(3, 4).relu(), (4,), "one number of samples|cannot export"),
    "len": (lambda s, x: x.reshape(len(x), -1), (2, 2), r"one number of samples only; write x\.shape\[0\]"),
    # chance
    "dropout that is never off": (lambda s, x: F.dropout(x, 1e-4).relu(), (4,), "dropout"),
    "noise": (lambda s, x: x + 1e-5 * torch.randn(4), (4,), "randn.*is random.*buffer"),
    "noise like x": (lambda s, x: x + 1e-5 * torch.rand_like(x), (4,), "rand_like"),
    # what is returned, and what else is done
    "a pair with a constant": (Written(lambda s, x: (x.relu(), s.c), c=parameter(4)), (4,), "number 1 is not a tensor"),
    "nothing": (lambda s, x: None, (4,), "depends on the input"),
    "a constant": (Written(lambda s, x: s.c, c=parameter(4)), (4,), "depends on the input"),
    "the input": (nn.Identity(), (4,), "unchanged"),
    "the input, in place": (nn.ReLU(inplace=True), (4,), "in place"),
    "a buffer, in place": (Written(buffer_in_place, count=nn.Buffer(torch.zeros(1))), (4,), "count in place"),
    # options that the ops do not have
    "an index of a maximum": (lambda s, x: x.max(1).indices, (4,), "output 1"),
    "unpooling": (
        Written(lambda s, x: s.u(*s.p(x)), p=nn.MaxPool2d(2, return_indices=True), u=nn.MaxUnpool2d(2)),
        (1, 4, 4),
        "at 'p' uses output 1",
    ),
    "a mask of places": (lambda s, x: x[:, torch.arange(4) > 1].relu(), (4,), "index.*size that depends on numbers"),
    "a vector for weights": (Written(lambda s, x: F.linear(x, s.w), w=parameter(4)), (4,), "1 axes"),
    "memory that is not written": (lambda s, x: x + torch.empty_like(x), (4,), "nothing has written.*zeros_like"),
    "memory that is written in part": (
        lambda s, x: torch.empty_like(x).slice_scatter(x[:, :2], 1, 0, 2), (4,), "nothing has written.*zeros_like",
    ),
    "memory of no batch": (lambda s, x: x + torch.empty(4), (4,), "nothing has written.*zeros_like"),
    "memory that is written to itself": (
        lambda s, x: (lambda y: x + y.copy_(y))(torch.empty_like(x)), (4,), "nothing has written.*zeros_like",
    ),
    "an index by len": (
        Written(lambda s, x: x.gather(1, s.i.expand(len(x), 3)), i=nn.Buffer(torch.tensor([[2, 0, 2]]))), (4,),
        r"gather.*not those of one sample.*expand it by x\.shape\[0\]",
    ),
    "an index that tells samples apart": (
        Written(lambda s, x: x.take_along_dim(s.i, 1), i=nn.Buffer(torch.tensor([[2], [0], [1]]))), (4,),
        "gather.*not those of one sample",
    ),
    "a constant by len": (lambda s, x: x * x.new_ones(len(x), 1, 1), (2, 3), r"along the batch.*x\.shape\[0\]"),
    "a whole constant by len": (lambda s, x: x * x.new_zeros(len(x), 2, 3), (2, 3), r"along the batch.*x\.shape\[0\]"),
    "a weight per sample": (Written(lambda s, x: x @ s.w, w=parameter(1, 4, 3)), (5, 4), "3 axes"),
}  # fmt: skip


def test_quantised_modules_are_refused_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    class Packed(nn.Linear):
        """A linear layer that says it is one of torch.ao, which a machine may not have the kernels for."""

    monkeypatch.setattr(Packed, "__module__", "torch.ao.nn.quantized.dynamic.modules.linear")
    said = refused(nn.Sequential(nn.ReLU(), Packed(4, 4)), 4)
    assert re.search(r"'1' is a quantised Packed of torch\.ao.*the float module, or.*onnx_to_graph", said)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused(name: str) -> None:
    written, shape, message = REFUSED[name]
    module = written if isinstance(written, nn.Module) else Written(written)
    said = refused(module, *shape)
    assert re.search(message, said), said
    assert "; " in said, "a remedy follows"


def test_a_module_that_counts_its_calls_is_refused_by_the_check() -> None:
    def counts(self: Any, x: Tensor) -> Tensor:
        self.calls.append(0)
        return x + (1e-3 if len(self.calls) > 3 else 0)

    with pytest.raises(ValueError, match="differs from the module by"):
        to_graph(Written(counts, calls=[]), torch.randn(2, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_check_is_fine_enough_for_each_precision(dtype: torch.dtype) -> None:
    def drifts(self: Any, x: Tensor) -> Tensor:
        self.calls += 1
        return x * (1 + self.calls * 64 * torch.finfo(dtype).eps ** (2 / 3))

    with pytest.raises(ValueError, match="differs"):
        to_graph(Written(drifts, calls=0), torch.randn(2, 4, dtype=dtype))


def test_the_check_sees_past_infinite_outputs() -> None:
    def drifts(self: Any, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.cat([x * torch.inf, x * self.calls], 1)

    with pytest.raises(ValueError, match="differs"):
        to_graph(Written(drifts, calls=0), torch.rand(2, 4) + 1)


@pytest.mark.parametrize(
    "example",
    [torch.randn(4), torch.randn(0, 4), torch.zeros(2, 4, dtype=torch.int64)],
    ids=["vector", "empty", "integers"],
)
def test_an_example_is_a_batch_of_numbers(example: Tensor) -> None:
    with pytest.raises(ValueError, match=r"example is a batch \(B, \*shape\)"):
        to_graph(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), example)


def test_a_wrong_rule_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(op: Op) -> Callable[[Call, Activation], Activation]:
        return lambda call, x: call.apply(op, x)

    monkeypatch.setitem(RULES, "aten.frac.default", rule(ReLU()))
    with pytest.raises(ValueError, match="a fault in a lowering rule"):
        to_graph(Written(lambda s, x: x.frac()), torch.randn(2, 4))
    lowers("aten.frac.default")(rule(Permute((0, 2, 1))))
    with pytest.raises(UnsupportedOp, match=r"frac.*correct the rule"):
        to_graph(Written(lambda s, x: x.frac()), torch.randn(2, 3, 4))


def test_a_branch_on_the_input_has_its_place_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(Written(lambda s, x: x.relu() if x.sum() > 0 else x), 4)
    assert re.search(
        r"torch\.export cannot export Written: Could not guard.*\[test_lowering_refused\.py:\d+: ", said
    ), said
    assert capfd.readouterr() == ("", "")
