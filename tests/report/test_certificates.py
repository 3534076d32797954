"""Tables and pictures of runs say what the runs' own files say, and nothing else."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from absdomain.registry import find
from absdomain.report import figures, results_table
from absdomain.report.certificates import certificates, grouped, labels, published
from absdomain.runtime.pictures import drawn, encoded
from absdomain.trainers import Recipe
from absdomain.trainers.run.folder import CONFIG, METRICS, Config

ERRORS = {"clean_error": 3.0, "pgd_error": 9.0, "verified_error": 11.0, "domains": {"box": 12.0}, "samples": 10000}


def preset(name: str) -> Recipe:
    found = find("presets", name)
    assert isinstance(found, Recipe)
    return found


def run(folder: Path, recipe: Recipe, *, seconds: float = 600.0, model: str = "", **errors: Any) -> Path:
    """A folder as training and certification leave one, without its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(recipe, (1, 28, 28), 10, "", 1, "2")
    (folder / CONFIG).write_text(json.dumps(config.to_json()))
    row = {"epoch": 1, "loss": 1.0, "eps": 0.1, "seconds": seconds, "clean_error": 0.5, "verified_error": 0.6}
    more = {"t": -1.0, "loose": 0.1, "tight": 0.2, "infeasible": 0.7, "fosc_reached": 0.5}
    (folder / METRICS).write_text(json.dumps(row | {"more": more}) + "\n")
    results = ERRORS | {"eps": recipe.certified_eps, "clip": True, "data": recipe.data, "attack": "Pgd"} | errors
    place = folder / model / "certified" / f"eps{results['eps']:g}"
    place.mkdir(parents=True)
    (place / "results.json").write_text(json.dumps(results))
    return folder


def cells(text: str) -> list[dict[str, str]]:
    lines = [
        line.removeprefix("| ").removesuffix(" |").split(" | ") for line in text.splitlines() if line.startswith("|")
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


@pytest.mark.slow
def test_seeds_of_one_recipe_are_one_row_beside_what_is_published(tmp_path: Path) -> None:
    recipe = preset("mnist-0.3-crown-ibp-A")
    for seed, error in enumerate((17.0, 18.0, 22.0)):
        run(tmp_path / str(seed), replace(recipe, seed=seed), verified_error=error, seconds=60.0 * seed)
    run(tmp_path / "all", replace(recipe, validation=0), verified_error=15.0)
    run(tmp_path / "fewer", replace(recipe, images=10_000), verified_error=30.0)
    first, whole, fewer = cells(results_table.table(certificates([tmp_path])))
    assert (first["seeds"], first["verified"], first["by `box`"]) == ("3", "19.00 ± 2.65", "12.00 ± 0.00")
    assert (first["images"], whole["images"], fewer["images"]) == (
        "55,000 / 10,000",
        "60,000 / 10,000",
        "10,000 / 10,000",
    )
    assert first["published: clean, verified"] == whole["published: clean, verified"] == "5.97, 15.4"
    assert fewer["published: clean, verified"] == ""  # of other images the paper says nothing
    assert (whole["seeds"], whole["verified"], first["minutes"]) == ("1", "15.00", "1.0 ± 1.0")
    assert first["schedule"] == "100 epochs, 1 + 60, batch 256, adam 0.0005"


def test_other_questions_and_other_networks_are_other_rows(tmp_path: Path) -> None:
    recipe = preset("mnist-0.3-robustra-small")
    run(tmp_path / "pair", recipe)
    run(tmp_path / "pair", recipe, model="partner", verified_error=40.0)
    run(tmp_path / "pair", recipe, eps=0.1, verified_error=5.0, clip=False)
    found = certificates([tmp_path / "pair"])
    groups = grouped(found)
    assert sorted(labels(groups)) == ["robustra", "robustra", "robustra, partner"]
    rows = cells(results_table.table(found))
    assert sorted(row["eps"] for row in rows) == ["0.1 (trained at 0.3), no clip", "0.3", "0.3"]


def test_methods_by_domains_have_one_cell_for_each_pair(tmp_path: Path) -> None:
    recipe = replace(preset("digits-demo"), trainer="ibp", domain="box")
    for seed, error in enumerate((20.0, 24.0)):
        run(tmp_path / f"box{seed}", replace(recipe, seed=seed), verified_error=error)
    run(tmp_path / "both", replace(recipe, domain="dual"))
    run(tmp_path / "dual", replace(recipe, trainer="sabr", domain="dual", lr=1.0), clean_error=4.0)
    first, second = cells(results_table.crossed(certificates([tmp_path])))
    assert first == {"method": "`ibp`", "`box`": "3.00 ± 0.00, 22.00 ± 2.83", "`dual`": "3.00, 11.00"}
    assert second == {"method": "`sabr`", "`box`": "", "`dual`": "4.00, 11.00"}
    run(tmp_path / "again", replace(recipe, lr=1.0))
    with pytest.raises(ValueError, match="are both ibp on box; give runs of one recipe"):
        results_table.crossed(certificates([tmp_path]))


def test_long_names_of_methods_stand_beside_their_bars(tmp_path: Path) -> None:
    """matplotlib warns where a name leaves no room for the bars, and cuts it off."""
    recipe = preset("mnist-0.3-crown-ibp-A")
    long = "advibp(moments=first, natural=0.1, strength=0.0, hold=1.0, decay=4.0, always_square=True)"
    run(tmp_path / "long", replace(recipe, trainer=long))
    run(tmp_path / "short", replace(recipe, trainer="ibp"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded(figures.methods([tmp_path], ""))


def test_labels_name_what_differs(tmp_path: Path) -> None:
    recipe = preset("mnist-0.3-crown-ibp-A")
    for number, given in enumerate(({"ramp": 10.0}, {"ramp": 30.0}, {"ramp": 30.0, "seed": 1})):
        run(tmp_path / str(number), replace(recipe, **given))  # type: ignore[arg-type]
    groups = grouped(certificates([tmp_path]))
    assert labels(groups) == ["crown-ibp, ramp 10.0", "crown-ibp, ramp 30.0"]
    assert [len(group) for group in groups] == [1, 2]


def test_what_is_published_is_of_the_same_recipe_at_the_same_radius(tmp_path: Path) -> None:
    recipe = preset("mnist-0.4-ibp-gowal-large")
    (one,) = certificates([run(tmp_path / "a", replace(recipe, keep="best", seed=4), eps=0.3)])
    assert {row.verified for row in published(one)} == {(8.05,), (8.21,)}
    (other,) = certificates([run(tmp_path / "b", replace(recipe, epochs=50, warmup=1.0, ramp=1.0), eps=0.3)])
    assert published(other) == []


def test_folders_without_certificates_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run there has been certified"):
        certificates([tmp_path])
    folder = run(tmp_path / "run", preset("digits-demo"))
    next(folder.glob("certified/*/results.json")).write_text("{")
    with pytest.raises(ValueError, match=r"results\.json: not what certify wrote"):
        certificates([folder])


def test_a_table_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text("a\n<!-- table x -->\nold\n<!-- end x -->\nb\n<!-- table y -->\n<!-- end y -->\n")
    results_table.insert(path, "x", "| new \\d |\n")
    results_table.insert(path, "x", "| newer \\d |\n")
    text = path.read_text()
    assert text == "a\n<!-- table x -->\n\n| newer \\d |\n\n<!-- end x -->\nb\n<!-- table y -->\n<!-- end y -->\n"
    for name, content in (("z", text), ("x", text.replace("<!-- end x -->\n", ""))):
        path.write_text(content)
        with pytest.raises(ValueError, match="has no lines"):
            results_table.insert(path, name, "new")
        assert path.read_text() == content


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", figures.KINDS)
@pytest.mark.parametrize("form", ["png", "svg"])
def test_every_kind_of_picture_is_drawn_and_known_as_ours(tmp_path: Path, kind: str, form: str) -> None:
    recipe = preset("mnist-0.3-robustra-small")
    runs = [run(tmp_path / str(seed), replace(recipe, seed=seed), verified_error=10.0 + seed) for seed in range(3)]
    single = kind in ("training", "states")
    content = encoded(figures.KINDS[kind](runs[:1] if single else runs, "a title"), form)
    assert drawn(content)
    assert not drawn(content.replace(b"absdomain", b"something"))
    if single:
        with pytest.raises(ValueError, match="are of one run, and 3 were given"):
            figures.KINDS[kind](runs, "")
