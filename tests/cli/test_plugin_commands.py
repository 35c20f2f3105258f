"""Commands of installed packages: the entry point that CONTRIBUTING shows, and what goes wrong."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.plugin_commands import GROUP
from da_framework.config import plugins

ROOT = Path(__file__).parents[2]


def block(name: str) -> str:
    """A block of CONTRIBUTING, without its fence."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    inside = text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    return inside.strip().partition("\n")[2].rpartition("```")[0]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages with one that brings a command, as its installer leaves it."""
    site = tmp_path / "site"
    (site / "my_da").mkdir(parents=True)
    (site / "my_da" / "__init__.py").write_text("")
    (site / "my_da" / "hello.py").write_text(block("new_command"))
    (site / "my_da" / "broken.py").write_text("import no_such_package\n")
    points = tomllib.loads(block("plugin_command"))["project"]["entry-points"]
    assert points == {GROUP: {"hello": "my_da.hello"}}
    info = site / "my_da-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-da\nVersion: 1.0\n")
    commands = [
        *(f"{name} = {value}" for name, value in points[GROUP].items()),
        "broken = my_da.broken",
        "gone = my_da.gone",
        "lost = my_da.hello:lost",
        "train = my_da.hello",
        "data = my_da.hello",
        "-h = my_da.hello",
    ]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *commands, ""]))
    monkeypatch.syspath_prepend(site)
    plugins.read_points.cache_clear()
    return site


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    plugins.read_points.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_da"]:
        del sys.modules[name]


@pytest.mark.usefixtures("installed")
def test_a_command_of_a_package_is_run_and_shown_with_its_package(da: Any) -> None:
    ended = da("hello", "Ada")
    assert (ended.code, ended.out, ended.err) == (0, "hello, Ada\n", "")
    for arguments in (["--help"], ["list"]):
        shown = da(*arguments)
        assert shown.code == 0
        line = "  hello       da hello NAME: greets somebody.  [my-da]"
        assert line in shown.out.splitlines()
    assert "did you mean da hello?" in da("helo").err
    refused = da("hello", "api_key=abcdefgh")
    assert (refused.code, "is a secret" in refused.err) == (2, True)


@pytest.mark.usefixtures("installed")
def test_the_shell_completes_it(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "da hel")
    monkeypatch.setenv("COMP_POINT", "6")
    assert da("-sc", "query=bash").out.split() == ["hello"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("broken", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("gone", "ModuleNotFoundError: No module named 'my_da.gone'"),
        ("lost", "AttributeError: module 'my_da.hello' has no attribute 'lost'"),
    ],
)
def test_a_broken_command_is_one_line_and_others_work(da: Any, name: str, why: str) -> None:
    ended = da(name)
    assert ended.code == 2
    assert ended.err == f"plugin my-da: da {name} cannot be run: {why}\n"
    assert da("hello", "Ada").out == "hello, Ada\n"
    assert da("list", "method").code == 0
    assert f"  {name} " in da("--help").out


@pytest.mark.usefixtures("installed")
def test_a_name_that_is_ours_is_left_out_in_a_line(da: Any) -> None:
    ended = da("--help")
    assert ended.err.splitlines() == [
        "plugin my-da: '-h' cannot be the name of a command: it is left out",
        *(
            f"plugin my-da: its command '{name}' has the name of one of da_framework: it is left "
            "out"
            for name in ("data", "train")
        ),
    ]
    assert ended.out.count("\n  train ") == 1
    assert "hello, Ada" not in da("train", "Ada").out


def test_of_two_packages_with_one_name_the_first_stays(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [EntryPoint("hello", f"{name}_da.hello", GROUP) for name in ("b", "a")]
    monkeypatch.setattr(plugins, "read_points", lambda group: both if group == GROUP else [])
    ended = da("--help")
    (line,) = ended.err.splitlines()
    assert line == "plugin b_da: its command 'hello' has the name of one of a_da: it is left out"
    assert "[a_da]" in ended.out


def test_nothing_of_a_package_is_imported_to_list_it(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(installed)!r})\n"
        "from da_framework.cli.main import main\n"
        "main(['list']); main(['--help'])\n"
        "print('imported:', {'my_da', 'numpy', 'torch'} & set(sys.modules))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "[my-da]" in ended.stdout
    assert "imported: set()" in ended.stdout
