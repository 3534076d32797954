"""What certify returns: verdicts as they become known, and what is asked of all of them."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from absdomain import certify
from absdomain.certification import Status, Verdict, summarise
from absdomain.certification.result import load
from absdomain.runtime.writing import WriteError


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


X = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))


def told(verdicts: Iterable[Verdict]) -> str:
    known = [verdict.status for verdict in verdicts]
    return ", ".join(f"{known.count(status)} {status}" for status in Status)


def test_it_is_lazy_and_may_be_read_again(net: nn.Module) -> None:
    found = certify(net, X, net(X).argmax(1), eps=0.1, batch=2)
    assert repr(found) == "Certification(6 images, none asked yet: iterate, or ask for any of its results)"
    first = next(found)
    assert first.index == 0
    assert repr(found) == f"Certification(1 of 6 images: {told([first])})"
    assert [v.index for v in found] == list(range(6)) == [v.index for v in found]
    assert len(found) == 6
    assert repr(found) == f"Certification(6 images: {told(found.verdicts)})"
    assert found.summary == summarise(found.verdicts)
    assert f"{found.summary.verified_error:g}" in found._repr_html_()


def test_arrays_data_sets_and_loaders_give_the_same(net: nn.Module) -> None:
    y = net(X).argmax(1)
    given = TensorDataset(X, y)
    wanted = [(v.status, v.lower) for v in certify(net, X, y, eps=0.3, domains=["box"])]
    for images, labels in ((X.numpy(), y.numpy()), (given, None), (DataLoader(given, batch_size=4), None)):
        assert [(v.status, v.lower) for v in certify(net, images, labels, eps=0.3, domains="box")] == wanted
    with pytest.raises(ValueError, match="labels of its own"):
        certify(net, DataLoader(given), y, eps=0.3)


def test_a_data_frame_has_a_row_for_each_image(net: nn.Module) -> None:
    pytest.importorskip("pandas", reason="pip install absdomain[pandas]")
    found = certify(net, X, net(X).argmax(1), eps=0.1, domains="box")
    frame = found.to_pandas()
    assert list(frame["index"]) == list(range(6))
    assert list(frame["status"]) == [verdict.status for verdict in found.verdicts]
    bounds = frame["lower[box]"]
    assert bounds.notna().tolist() == ["box" in verdict.lower for verdict in found.verdicts]  # not of falsified ones
    assert bounds.dropna().tolist() == [verdict.lower["box"] for verdict in found.verdicts if verdict.lower]


def test_what_breaks_an_image_is_shown(net: nn.Module) -> None:
    found = certify(net, X, net(X).argmax(1), eps=0.6)
    broken = [v.index for v in found.verdicts if v.status is Status.FALSIFIED]
    assert broken
    clean, attacked, difference = found.adversarial(broken[0])
    assert torch.equal(clean, X[broken[0]])
    assert torch.equal(difference, attacked - clean)
    assert int(net(attacked.unsqueeze(0)).argmax()) != int(net(clean.unsqueeze(0)).argmax())
    assert all(found.adversarial(i) is None for i in range(6) if i not in broken)
    with pytest.raises(IndexError, match="none of them"):
        found.adversarial(6)


def test_verdicts_are_saved_and_nothing_of_others_is_lost(net: nn.Module, tmp_path: Path) -> None:
    found = certify(net, X, net(X).argmax(1), eps=0.6)
    file = tmp_path / "verdicts.jsonl"
    found.save(file)
    found.save(file)
    assert [v.to_json() for v in load(file)] == [v.to_json() for v in found.verdicts]
    other = tmp_path / "notes.txt"
    other.write_text("mine\n")
    with pytest.raises(WriteError):
        found.save(other)
    assert other.read_text() == "mine\n"
    with pytest.raises(ValueError, match="line 1"):
        load(other)


def test_results_are_a_line_each(net: nn.Module) -> None:
    """Their tensors have hundreds of numbers, which nobody wants on a terminal."""
    found = certify(net, torch.rand(3, 4), torch.tensor([0, 1, 2]), eps=0.6)
    broken = next(v for v in found.verdicts if v.status is Status.FALSIFIED)
    assert repr(broken).startswith(f"Verdict({broken.index}: falsified, by {broken.by}, margin {broken.nominal:.4g}")
    assert "entries differ by at most 0" in repr(found.adversarial(broken.index))
    assert repr(found.summary).startswith("Summary(3 images, errors in %: clean ")
    assert all(len(repr(one)) < 250 for one in (*found.verdicts, found.adversarial(broken.index), found.summary))
