"""fit: a module of one's own, on data as people have it, by the loop of every other training."""

import copy
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import absdomain
from absdomain.data import load
from absdomain.data.given import labelled
from absdomain.trainers import Metrics, RecipeError, RunError, load_run, read
from absdomain.trainers.fitting import _recipe
from absdomain.trainers.methods.natural import natural
from absdomain.trainers.run.collapse import collapsed

TRAIN = load("digits", "train")
X, Y = TRAIN[:200]


def made(hidden: int = 20) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


SHORT = {"eps": 0.02, "epochs": 2, "batch": 64}


def test_a_module_is_trained_in_place_and_its_rows_are_given_to_callbacks() -> None:
    model, seen = made(), []
    result = absdomain.fit(model, (X, Y), "ibp", callbacks=seen.append, **SHORT)
    assert result.model is model
    assert not model.training
    assert [row.epoch for row in result.rows] == [1, 2] == [row.epoch for row in seen]
    assert result.recipe.validation == 20  # a tenth
    assert result.rows[-1].eps == 0.02
    assert result.verified_error == 100 * (result.rows[-1].verified_error or 0)
    assert f"verified error {result.verified_error:.2f} %" in repr(result)
    assert any(not torch.equal(a, b) for a, b in zip(weights(model), weights(made()), strict=True))


def test_arrays_data_sets_loaders_and_pairs_train_alike() -> None:
    results = []
    pairs = TensorDataset(X, Y)
    for data in ((X, Y), (X.numpy(), Y.numpy()), pairs, DataLoader(pairs, batch_size=64)):
        model = made()
        absdomain.fit(model, data, "natural", epochs=1)
        results.append(weights(model))
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


def test_a_named_data_set_has_its_own_recipe() -> None:
    result = absdomain.fit(made(), "digits", "natural", epochs=1, images=100)
    assert (result.recipe.data, result.recipe.validation, result.recipe.lr) == ("digits", 144, natural.recipes[-1].lr)


def test_phases_in_steps_keep_their_share() -> None:
    """2000 and 10000 of the 60000 steps of the paper's training on MNIST, here of 2 epochs of 4 steps."""
    recipe = _recipe(read("ibp"), labelled((X, Y), "fit"), made(), {"validation": 0, **SHORT})
    assert recipe.at(step=7, steps_per_epoch=4).eps == pytest.approx(0.02)
    assert recipe.warmup.count == pytest.approx(2000 * 6.25 / 60000)  # type: ignore[union-attr]


def test_any_domain_bounds() -> None:
    domain = absdomain.domains.Zonotope()
    result = absdomain.fit(made(6), (X[:40], Y[:40]), "certified", domain=domain, **SHORT)
    assert result.recipe.domain == str(domain)


def test_a_folder_resumes_what_was_stopped(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(row: Metrics) -> None:
        raise Stop

    whole = made()
    absdomain.fit(whole, (X, Y), "natural", **SHORT)
    with pytest.raises(Stop):
        absdomain.fit(made(), (X, Y), "natural", callbacks=stop, folder=tmp_path, **SHORT)
    resumed = made()
    result = absdomain.fit(resumed, (X, Y), "natural", folder=tmp_path, **SHORT)
    assert [row.epoch for row in result.rows] == [1, 2]
    assert all(map(torch.equal, weights(whole), weights(resumed)))
    again = made()
    absdomain.fit(again, (X, Y), "natural", folder=tmp_path, **SHORT)  # finished: its weights are read
    assert all(map(torch.equal, weights(whole), weights(again)))
    with pytest.raises(RunError, match="network"):
        absdomain.fit(made(21), (X, Y), "natural", folder=tmp_path, **SHORT)
    with pytest.raises(RunError, match="load_model"):
        load_run(tmp_path)


def test_outputs_in_a_named_tuple_and_normalised_inputs() -> None:
    Out = namedtuple("Out", ["logits", "features"])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = made()

        def forward(self, x: Tensor) -> Out:
            z = self.net(x)
            return Out(z, 2 * z)

    ours, own = Net(), nn.Sequential(absdomain.data.normalise.Normalise([0.3], [0.5]), made())
    result = absdomain.fit(ours, (X, Y), "natural", epochs=1, preprocessing={"mean": 0.3, "std": 0.5})
    absdomain.fit(own, (X, Y), "natural", epochs=1)
    assert all(map(torch.equal, weights(ours), weights(own)))
    assert result.model is ours


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"data": (255 * X, Y)}, ValueError, "preprocessing="),
        ({"data": ((255 * X).byte(), Y)}, ValueError, "divide"),
        ({"data": X}, ValueError, "labels are missing"),
        ({"data": (X, Y + 5)}, ValueError, "outside 0..9"),
        ({"data": 3}, TypeError, "a tensor, an array"),
        ({"data": "minst"}, ValueError, "unknown data set"),
        ({"eps": 8}, ValueError, "/ 255"),
        ({"eps": None}, RecipeError, "give the radius"),
        ({"epoch": 3}, RecipeError, r"epoch is not an option; did you mean epochs\?$"),
        ({"method": "no-such"}, LookupError, "no-such"),
        ({"model": nn.Flatten()}, ValueError, "no parameters"),
        ({"model": nn.Linear(3, 2)}, ValueError, "does not take images"),
        ({"model": "mlp"}, TypeError, "nn.Module"),
        ({"model": made().half()}, ValueError, "float"),
    ],
)
def test_what_cannot_be_trained_on_is_told_before_any_work(
    change: dict[str, object], error: type[Exception], words: str
) -> None:
    given: dict[str, object] = {"model": made(), "data": (X, Y), "method": "ibp", **SHORT} | change
    model, data, method = (given.pop(name) for name in ("model", "data", "method"))
    before = copy.deepcopy(model)
    with pytest.raises(error, match=words):
        absdomain.fit(model, data, method, **given)  # type: ignore[arg-type]
    if isinstance(model, nn.Module):
        assert all(map(torch.equal, weights(before), weights(model)))  # type: ignore[arg-type]


def test_a_collapse_to_chance_is_told() -> None:
    with pytest.warns(UserWarning, match=r"collapsed.*shi"):
        result = absdomain.fit(made(), (X, Y), "pure-ibp", eps=0.5, epochs=2, batch=64, warmup=0, ramp=0, lr=0.1)
    row = result.rows[-1]
    assert collapsed(row, Y) is not None
    assert collapsed(row, torch.zeros(9, dtype=torch.int64)) is None  # of one class nothing can be told
    assert collapsed(replace(row, clean_error=0.5), Y) is None
