"""What runs have in their folders: recipes, certified errors, times; seeds of one recipe side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from absdomain.trainers import Recipe
    from absdomain.trainers.presets.result import Result

RESULTS = "certified/*/results.json"
# Fields that say what was seen of a training or drawn for it, and not how it was trained.
ASIDE = ("seed", "validation", "norms")


@dataclass(frozen=True, eq=False)
class Certificate:
    """The errors of one network of a run at one radius, as its results.json has them."""

    run: Path
    model: str  # which of the run's networks
    recipe: Recipe
    results: Mapping[str, Any]
    seconds: float  # of the training

    @property
    def question(self) -> tuple[Any, ...]:
        """What was asked: two certificates with the same question and alike recipes stand in one row."""
        found = self.results
        asked = tuple(found.get(name) for name in ("eps", "clip", "samples", "attack", "data", "executed"))
        return (self.model, *asked, tuple(found["domains"]))


def certificates(folders: Sequence[Path]) -> list[Certificate]:
    """All certificates of these runs, or of the runs in these folders. ValueError for a folder without any."""
    found = []
    for folder in folders:
        own = [one for run in _runs(folder) for one in _of(run)]
        if not own:
            raise ValueError(f"{folder}: no run there has been certified; run absdomain certify on it first")
        found += own
    return found


def _runs(folder: Path) -> Iterator[Path]:
    from absdomain.trainers.run.folder import CONFIG, METRICS

    configs = sorted(path for path in folder.rglob(CONFIG) if (path.parent / METRICS).exists())
    yield from (path.parent for path in configs)


def _of(run: Path) -> Iterator[Certificate]:
    from absdomain.trainers import read_metrics
    from absdomain.trainers.run.folder import read_config

    config = read_config(run)
    assert config is not None  # its file is there
    rows = read_metrics(run)
    for model, pattern in (("model", RESULTS), ("partner", f"partner/{RESULTS}")):
        for path in sorted(run.glob(pattern)):
            try:
                results = json.loads(path.read_bytes())
            except ValueError as reason:
                raise ValueError(f"{path}: not what certify wrote ({reason}); delete it, and certify again") from reason
            yield Certificate(run, model, config.recipe, results, rows[-1]["seconds"] if rows else 0.0)


def alike(recipe: Recipe) -> Recipe:
    """The recipe without its seed and what does not change how it trains."""
    from absdomain.trainers import Recipe

    usual = Recipe()
    return replace(recipe, **{name: getattr(usual, name) for name in ASIDE})


def grouped(found: Sequence[Certificate]) -> list[list[Certificate]]:
    """Those of one recipe and one question together, a certificate for each seed and each number of images held out.

    In the order in which the first of each stands.
    """
    groups: dict[str, list[Certificate]] = {}
    for one in found:
        held_out = one.recipe.validation
        key = json.dumps([alike(one.recipe).to_json(), held_out, one.question], sort_keys=True)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def labels(groups: Sequence[Sequence[Certificate]]) -> list[str]:
    """For each group its method, and the fields in which the groups' recipes differ, but for radii."""
    recipes = [alike(group[0].recipe).to_json() for group in groups]
    told = ("trainer", "eps", "eps_eval")
    differing = [name for name in recipes[0] if len({json.dumps(r[name]) for r in recipes}) > 1 and name not in told]
    texts = []
    for recipe, group in zip(recipes, groups, strict=True):
        fields = [f"{name} {recipe[name]}" for name in differing if recipe[name] not in ("", None)]
        partner = ["partner"] if group[0].model != "model" else []
        texts.append(", ".join([recipe["trainer"], *fields, *partner]))
    return texts


def published(one: Certificate) -> list[Result]:
    """What papers publish of the certificate's recipe at its radius: of its own network, or else of its family."""
    own = _unseen(one.recipe)
    found = [row for row, recipe in _rows() if recipe == own and isclose(row.radius, one.results["eps"], rel_tol=1e-6)]
    return [row for row in found if row.network == own.network] or found


@cache
def _rows() -> list[tuple[Result, Recipe]]:
    from absdomain.trainers.presets.published import RESULTS as TOLD

    return [(row, _unseen(row.recipe)) for row in TOLD if row.recipe is not None]


def _unseen(recipe: Recipe) -> Recipe:
    """As `alike`, whichever epoch's weights are kept and whatever radius is shown on the way."""
    return replace(alike(recipe), keep="last", eps_eval=None)
