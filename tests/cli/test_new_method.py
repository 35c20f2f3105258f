"""What ``da new-method`` writes works as it stands."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.new_method import new_method
from da_framework.config import plugins
from da_framework.config.schema import instantiate
from da_framework.training.build import compose


@pytest.mark.slow
def test_a_package_passes_its_own_tests_as_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = new_method("pull_together", tmp_path / "my_da")
    assert len(files) == 8
    project = tomllib.loads((tmp_path / "my_da" / "pyproject.toml").read_text())
    (point,) = project["project"]["entry-points"][plugins.GROUP].items()
    assert point == ("my_da", "my_da.conf")
    config = (tmp_path / "my_da/my_da/conf/method/pull_together.yaml").read_text()
    assert re.findall(r"^[a-z].*  # ", config, re.MULTILINE) == ["weight: 0.1  # "]
    code = (tmp_path / "my_da/my_da/methods/pull_together.py").read_text()
    imports = re.findall(r"^from da_framework.*", code, re.MULTILINE)
    assert imports == sorted(imports)
    # as if it were installed
    monkeypatch.syspath_prepend(tmp_path / "my_da")
    monkeypatch.setattr(plugins, "plugin_paths", lambda: {point[0]: f"pkg://{point[1]}"})
    kind = instantiate(compose("method=pull_together")["method"]).func
    assert (kind.__module__, kind.__name__) == ("my_da.methods.pull_together", "PullTogether")
    path = tmp_path / "my_da" / "tests" / "test_pull_together.py"
    spec = importlib.util.spec_from_file_location("generated", path)
    assert spec
    assert spec.loader
    generated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generated)
    generated.test_the_term_is_the_squared_distance_of_the_means(0.5)
    generated.test_it_passes_the_self_check()


def test_a_second_method_joins_the_package(tmp_path: Path) -> None:
    package = tmp_path / "my_da"
    new_method("one", package)
    (package / "README.md").write_text("mine")
    assert {file.name for file in new_method("two", package)} == {
        "two.py",
        "two.yaml",
        "test_two.py",
    }
    assert (package / "README.md").read_text() == "mine"


def test_in_a_checkout_it_is_three_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.setattr(plugins, "conf_dir", lambda: tmp_path / "conf")
    assert [file.relative_to(tmp_path).as_posix() for file in new_method("foo", None)] == [
        "da_framework/methods/foo.py",
        "conf/method/foo.yaml",
        "tests/methods/test_foo.py",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Foo"], "'Foo' cannot be the name of a method"),
        (["1foo"], "cannot be the name of a method"),
        (["class"], "it has a meaning of its own: class_method"),
        *(
            (["null", "true", "none", "nan"][n : n + 1], "has a meaning of its own")
            for n in range(4)
        ),
        (["foo", "--package", "torch"], "would hide that which is installed: da new-method foo"),
        (["foo", "--package", "json"], "would hide that which is installed"),
        (["dann"], "method=dann is there already"),
        (["foo", "--package", "12"], "cannot be the name of a package"),
        (["foo", "--package", "da_framework"], "cannot be the name of a package"),
        (["foo", "--package", "other"], 'my_da = "my_da.conf"'),
        (["foo", "--package", "full"], "test_foo.py is there already"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_what_cannot_be_written_is_refused_whole(
    da: Any, arguments: list[str], message: str
) -> None:
    (da.folder / "other").mkdir()
    (da.folder / "other" / "pyproject.toml").write_text("[project]")
    (da.folder / "full" / "tests").mkdir(parents=True)
    (da.folder / "full" / "tests" / "test_foo.py").touch()
    before = sorted(da.folder.rglob("*"))
    ended = da("new-method", *arguments)
    assert ended.code == 2
    assert message.replace("my_da", "other") in ended.err
    assert sorted(da.folder.rglob("*")) == before


def test_what_to_do_next_is_said(da: Any) -> None:
    ended = da("new-method", "foo", "--package", "my_da")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-2:] == [
        "next: pip install -e 'my_da[dev]'",
        "next: da check method=foo",
    ]


def test_without_a_package_it_is_the_folder_one_is_in(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (da.folder / "my_da").mkdir()
    (da.folder / "my_da" / "README.md").write_text("mine")
    monkeypatch.chdir(da.folder / "my_da")
    ended = da("new-method", "foo")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "my_da/methods/foo.py"
    assert ended.out.splitlines()[-2] == "next: pip install -e '.[dev]'"
    assert Path("pyproject.toml").is_file()
    assert Path("README.md").read_text() == "mine"
    assert "arxiv" not in Path("my_da/methods/foo.py").read_text()
    assert da("new-method", "bar").code == 0
