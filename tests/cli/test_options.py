"""Radii on the command line: numbers and quotients."""

import pytest
import typer
from typer.testing import CliRunner

from absdomain.cli import main
from absdomain.cli.options import radius


def test_a_radius_is_a_number_or_a_quotient() -> None:
    assert radius("8/255") == 8 / 255
    assert radius("0.3") == 0.3
    assert radius("1e-2 / 2") == 0.005
    for wrong in ("eight", "8/0", "8/", "-0.1", "1/2/3"):
        with pytest.raises(typer.BadParameter, match=r"8/255|below 0"):
            radius(wrong)


@pytest.mark.parametrize("name", ["certify", "train", "bounds"])
def test_every_eps_takes_it(name: str) -> None:
    command = typer.main.get_command(main.app).commands[name]  # type: ignore[attr-defined]
    arguments = ["--data", "digits"] if name == "train" else ["run"]
    assert command.make_context(name, [*arguments, "--eps", "8/255"]).params["eps"] == 8 / 255
    refused = CliRunner().invoke(main.app, [name, *arguments, "--eps", "eight"])
    assert refused.exit_code == 2
