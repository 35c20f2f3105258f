"""The package that the guide to plugins shows: its files, as they stand there, and its commands."""

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from da_framework.config import plugins
from tests.conftest import Commands

PAGE = (Path(__file__).parents[1] / "docs/pages/guides/plugins.md").read_text()
FILES: dict[str, str] = dict(
    re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
)
SECTIONS = {
    section.partition("\n")[0]: [
        shlex.split(line)[1:]
        for block in re.findall(r"^```shell\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    for section in PAGE.split("\n## ")[1:]
}
FEW = ["steps=4", "evaluate_every=2", "logger=[]", "trainer.accelerator=cpu"]
FIRST_JOB = ["method=mean_gap", "dataset.rotation=20.0", "seed=1,2"]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, as its installer leaves it."""
    site = tmp_path / "site"
    for place, text in FILES.items():
        (site / place).parent.mkdir(parents=True, exist_ok=True)
        (site / place).write_text(text)
    (site / "my_da" / "__init__.py").write_text("")
    (site / "my_da" / "conf" / "__init__.py").write_text("")
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = site / "my_da-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n"
    )
    points = project["entry-points"]["da_framework.conf"]
    lines = ["[da_framework.conf]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(site)
    plugins.read_points.cache_clear()
    yield
    plugins.read_points.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_da"]:
        del sys.modules[name]


def shortened(command: list[str]) -> list[str]:
    """A command that is over soon."""
    if command[0] != "train":
        return command
    quiet = [] if any(word.startswith("callback=") for word in command) else ["callback=[]"]
    return [*command, *FEW, *quiet, *(FIRST_JOB if "experiments=" in command[1] else [])]


def test_every_kind_has_files_and_a_command() -> None:
    groups = {Path(place).parts[2] for place in FILES if "/conf/" in place}
    assert groups == {
        *("accuracy_estimator", "callback", "dataset", "experiments"),
        *("method", "network", "term", "validator"),
    }
    assert len([section for section, commands in SECTIONS.items() if commands]) == len(groups)


@pytest.mark.parametrize("section", [name for name, commands in SECTIONS.items() if commands])
def test_the_commands_of_a_section_are_accepted(da: Commands, section: str) -> None:
    for command in SECTIONS[section]:
        if command[0] == "train":
            ended = da(*command, "--cfg", "job")
            assert (ended.code, ended.err) == (0, "")
            assert "my_da." in ended.out or "experiments=mine/moons" in command


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's advice
@pytest.mark.parametrize("section", [name for name, commands in SECTIONS.items() if commands])
def test_the_commands_of_a_section_run(da: Commands, section: str) -> None:
    for command in SECTIONS[section]:
        if command[0] != "check":
            ended = da(*shortened(command))
            assert ended.code == 0, ended.err
    files = [path.name for path in da.folder.rglob("result.json")]
    assert files
    if section == "A callback":
        (curve,) = da.folder.rglob("metrics.csv")
        assert "largest_class" in curve.read_text().splitlines()[0]


@pytest.mark.slow
def test_its_method_passes_the_self_check(da: Commands) -> None:
    commands: list[list[str]] = [c for own in SECTIONS.values() for c in own if c[0] == "check"]
    assert commands
    for command in commands:
        ended = da(*command)
        assert ended.code == 0, ended


@pytest.mark.parametrize("place", [place for place in FILES if place.startswith("tests/")])
def test_its_tests_pass(place: str) -> None:
    space: dict[str, Any] = {"__name__": "shown"}
    exec(compile(FILES[place], "shown", "exec"), space)
    tests = [test for name, test in space.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_what_a_comment_says_of_its_key_is_shown(da: Commands) -> None:
    assert re.search(r"method\.weight=0\.1 +of the gap", da("list", "mean_gap").out)


def test_what_it_brings_is_listed(da: Commands) -> None:
    for group, name in (("method", "mean_gap"), ("dataset", "rings"), ("term", "spread")):
        assert re.search(rf"^ *{name} .*\[my_da\]", da("list", group).out, re.MULTILINE), group
