"""The registry finds ours and anyone's, and says who is to blame when it cannot."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from absdomain import registry
from absdomain.networks import crown_ibp


def install(folder: Path, distribution: str, entries: str, source: str = "") -> None:
    """A distribution as pip would leave it: a module, and the metadata that register it."""
    module = distribution.replace("-", "_")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)
    (folder / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("group", ["domains", "networks", "trainers"])
def test_everything_that_is_registered_loads(group: registry.Group) -> None:
    names = registry.names(group)
    assert names
    for name in names:
        registry.find(group, name)


@pytest.mark.parametrize("group", ["domains", "networks"])
def test_domains_and_networks_are_made_by_a_call(group: registry.Group) -> None:
    assert all(callable(registry.find(group, name)) for name in registry.names(group))


@pytest.mark.parametrize("name", ["crown-ibp-B", "CROWN-IBP-b", "crown_ibp_B"])
def test_case_and_underscores_do_not_count(name: str) -> None:
    assert registry.find("networks", name) is crown_ibp.B


def test_names_are_sorted_and_spelt_as_registered() -> None:
    names = registry.names("networks")
    assert names == sorted(names)
    assert {"gowal-small", "crown-ibp-A", "crown-ibp-T", "mlp"} <= set(names)


def test_a_plug_in_is_found_once_it_is_installed(site: Path) -> None:
    install(site, "someones-shapes", "[absdomain.domains]\nOctagon = someones_shapes:Octagon\n", "class Octagon: ...\n")
    assert "Octagon" in registry.names("domains")
    found: Any = registry.find("domains", "octagon")
    assert found.__module__ == "someones_shapes"


def test_an_unknown_name_lists_what_is_close_and_what_is_known() -> None:
    with pytest.raises(registry.UnknownName, match="no network is registered as 'gowal-smal'; did you mean gowal-s"):
        registry.find("networks", "gowal-smal")
    with pytest.raises(registry.UnknownName, match=r"known: box, branching, deeppoly.*absdomain\.domains"):
        registry.find("domains", "@@@")


def test_what_is_close_stands_in_the_place_of_the_whole_list() -> None:
    with pytest.raises(
        registry.UnknownName, match=r"did you mean digits-demo.*`absdomain list presets` has all"
    ) as told:
        registry.find("presets", "digits-dem")
    assert "known:" not in str(told.value)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_here\n", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise RuntimeError('needs a GPU')\n", "RuntimeError: needs a GPU"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_plug_in_is_named_with_its_distribution_and_its_error(site: Path, source: str, reason: str) -> None:
    install(site, "half-baked", "[absdomain.trainers]\nbaker = half_baked:Baker\n", source)
    with pytest.raises(registry.BrokenPlugin) as caught:
        registry.find("trainers", "baker")
    assert "half-baked" in str(caught.value)
    assert "half_baked:Baker" in str(caught.value)
    assert reason in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_broken_plug_in_does_not_hide_the_others(site: Path) -> None:
    install(site, "half-baked", "[absdomain.networks]\nbaker = half_baked:Baker\n", "raise RuntimeError\n")
    assert "baker" in registry.names("networks")
    assert callable(registry.find("networks", "gowal-small"))


def test_a_name_claimed_twice_is_refused_and_both_claims_are_shown(site: Path) -> None:
    install(site, "first-claim", "[absdomain.domains]\nhull = first_claim:Hull\n")
    install(site, "second-claim", "[absdomain.domains]\nHULL = second_claim:Hull\n")
    with pytest.raises(registry.BrokenPlugin, match="claimed by") as caught:
        registry.find("domains", "hull")
    assert "first-claim (first_claim:Hull)" in str(caught.value)
    assert "second-claim (second_claim:Hull)" in str(caught.value)


def test_a_group_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no group 'domain'; the groups are domains, networks, trainers, presets"):
        registry.names("domain")  # type: ignore[arg-type]


def test_without_an_installation_the_error_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(registry.NotInstalled, match=r"pip install -e \."):
        registry.find("domains", "box")


def test_names_are_read_once_and_again_after_an_installation(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of runs asks for hundreds of names; each reading takes as long as there are distributions."""
    read, calls = metadata.entry_points, list[str]()

    def counted(**wanted: str) -> metadata.EntryPoints:
        calls.append(wanted["group"])
        return read(**wanted)

    monkeypatch.setattr(metadata, "entry_points", counted)
    (site / "touched-0.dist-info").mkdir()
    for _ in range(3):
        registry.find("networks", "gowal-small")
    assert calls == ["absdomain.networks"]
    install(site, "late-shapes", "[absdomain.domains]\nlate = absdomain.domains.box:Box\n")
    assert "late" in registry.names("domains")
