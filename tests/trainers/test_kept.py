"""Which weights a finished run keeps, and with which a training begins."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from absdomain.trainers import Recipe, RecipeError, RunError, read_metrics, train
from absdomain.trainers.run.session import saved_weights
from tests.trainers.test_state import stopped_at

SHORT = Recipe(
    data="digits", network="mlp-2x100", trainer="certified", domain="box", eps=0.02, epochs=5, ramp=1.0, batch=100,
    lr=0.02, images=200, validation=144, kappa_end=0.5, keep="best",
)  # fmt: skip


def epochs_of(recipe: Recipe, folder: Path) -> list[dict[str, torch.Tensor]]:
    """The network's weights after each epoch of a training."""
    return [saved_weights(folder) for _ in train(recipe, folder)]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_best_weights_after_the_ramp_are_kept(tmp_path: Path) -> None:
    weights = epochs_of(SHORT, tmp_path / "best")
    rows = read_metrics(tmp_path / "best")
    after = [(row["verified_error"], row["epoch"]) for row in rows if row["eps"] == SHORT.eps]
    assert [epoch for _, epoch in after] == [2, 3, 4, 5]  # the first one ends below
    least = min(error for error, _ in after)
    best = max(epoch for error, epoch in after if error == least)
    kept = load_file(tmp_path / "best/model.safetensors")
    assert equal(kept, weights[best - 1])
    assert rows[-1]["more"]["kept"] == best
    last = replace(SHORT, keep="last")
    assert equal(epochs_of(last, tmp_path / "last")[-1], weights[-1])  # the training is the same
    assert equal(load_file(tmp_path / "last/model.safetensors"), weights[-1])
    assert "kept" not in read_metrics(tmp_path / "last")[-1]["more"]


def test_the_best_weights_outlive_an_interruption(tmp_path: Path) -> None:
    rising = replace(SHORT, lr=0.5)  # a later epoch is worse than an earlier one
    list(train(rising, tmp_path / "whole"))
    for step in (7, 9):
        stopped_at(step, tmp_path / "parts", rising)
    list(train(rising, tmp_path / "parts"))
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]


@pytest.mark.parametrize("given", [{"validation": 0}, {"trainer": "natural", "domain": "", "eps": 0.0}])
def test_no_best_without_a_verified_error(tmp_path: Path, given: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="keep: 'best' cannot be used; no verified error tells"):
        next(train(replace(SHORT, **given), tmp_path))  # type: ignore[arg-type]


def test_a_training_begins_with_the_weights_of_a_file_or_of_a_run(tmp_path: Path) -> None:
    first = replace(SHORT, epochs=1, keep="last")
    (trained,) = epochs_of(first, tmp_path / "first")
    still = replace(first, lr=1e-12, seed=3)
    for init in (tmp_path / "first", tmp_path / "first/model.safetensors"):
        (found,) = epochs_of(replace(still, init=str(init)), tmp_path / f"from-{init.name}")
        for name in trained:
            torch.testing.assert_close(found[name], trained[name], atol=1e-8, rtol=0)
    (other,) = epochs_of(still, tmp_path / "drawn")
    assert not torch.allclose(other["fc1.weight"], trained["fc1.weight"], atol=1e-3)


def test_other_first_weights_are_another_training(tmp_path: Path) -> None:
    list(train(replace(SHORT, epochs=1, keep="last"), tmp_path / "first"))
    recipe = replace(SHORT, init=str(tmp_path / "first"), epochs=1)
    list(train(recipe, tmp_path / "run"))
    path = tmp_path / "first/model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    with pytest.raises(RunError, match="init_sha256"):
        list(train(recipe, tmp_path / "run"))
    with pytest.raises(RecipeError, match=r"init: .* cannot be used; there is no"):
        train(replace(recipe, init=str(tmp_path / "none")), tmp_path / "none")
    with pytest.raises(RecipeError, match=r"init: .* cannot be used; .* has no weights of mlp-2x256"):
        next(train(replace(recipe, network="mlp-2x256"), tmp_path / "larger"))
