import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException

from da_framework.config import plugins
from da_framework.config import run_names as names

ROOT = Path(plugins.__file__).resolve().parents[2]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that brings a method, as installed."""
    package = tmp_path / "fake_da"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "conf" / "__init__.py").write_text("")
    (package / "methods.py").write_text("raise RuntimeError('imported')")
    (package / "conf" / "method" / "foo.yaml").write_text("_target_: fake_da.methods.Foo\nbar: 3\n")
    # a method of a name that we have: ours must win
    (package / "conf" / "method" / "dann.yaml").write_text("_target_: fake_da.methods.Foo\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("fake", "fake_da.conf", plugins.GROUP)
    monkeypatch.setattr(
        plugins, "read_points", lambda group: [point] if group == plugins.GROUP else []
    )
    return package


@pytest.mark.usefixtures("plugin")
def test_installed_packages_are_found_by_their_entry_point() -> None:
    assert plugins.plugin_paths() == {"fake": "pkg://fake_da.conf"}
    assert plugins.plugin_packages() == {"fake_da"}


@pytest.mark.usefixtures("plugin")
def test_a_plugin_s_config_is_composed_without_importing_its_methods() -> None:
    names.register_resolvers()
    plugins.register_search_path()
    plugins.register_search_path()  # twice is no mistake
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        config = compose("train", overrides=["method=foo"])
        ours = compose("train", overrides=["method=dann"])
    assert config.method._target_ == "fake_da.methods.Foo"
    assert config.method.bar == 3
    assert config.method.alpha == 0.5  # what every method has
    assert ours.method._target_ == "da_framework.methods.dann.DANN"
    assert "fake_da.methods" not in sys.modules


def test_without_the_plugin_its_config_is_not_there() -> None:
    plugins.register_search_path()
    names.register_resolvers()
    with (
        initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"),
        pytest.raises(MissingConfigException, match="method/foo"),
    ):
        compose("train", overrides=["method=foo"])


def test_our_configs_are_beside_or_in_the_package() -> None:
    assert (plugins.conf_dir() / "train.yaml").is_file()


@pytest.mark.parametrize("inside", [True, False])
def test_configs_are_found_installed_and_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    package = tmp_path / "da_framework"
    expected = (package if inside else tmp_path) / "conf"
    for folder in {expected, tmp_path / "conf"}:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.yaml").write_text("")
    monkeypatch.setattr(plugins, "__file__", str(package / "config" / "plugins.py"))
    assert plugins.conf_dir() == expected


def test_a_package_without_configs_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        plugins, "__file__", str(tmp_path / "da_framework" / "config" / "plugins.py")
    )
    with pytest.raises(FileNotFoundError, match="install it again"):
        plugins.conf_dir()


def test_listings_and_names_need_no_torch() -> None:
    code = (
        "import sys; import da_framework.cli.main, da_framework.config.catalog;"
        "import da_framework.results.record;"
        "print(sorted({'torch', 'pytorch_lightning', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_fails_to_import_harms_itself_alone_and_is_named(da: Any) -> None:
    ours = da.train("method=control", run="ours")
    assert ours.code == 0, ours
    theirs = da.train("method=foo", run="theirs")
    assert theirs.code == 2
    assert "method: cannot import fake_da.methods.Foo: imported" in theirs.err
    assert "Traceback" not in theirs.err
    assert not (da.folder / "theirs" / "result.json").exists()
    listed = da("list", "method")
    assert listed.code == 0
    assert "[fake]" in next(line for line in listed.out.splitlines() if " foo " in line)
    assert " dann " in listed.out


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_is_half_gone_is_named_beside_ours(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = EntryPoint("gone", "gone_da.conf", plugins.GROUP)
    monkeypatch.setattr(plugins, "read_points", lambda group: [gone])
    listed = da("list", "method")
    assert listed.code == 0
    assert "plugin gone: pkg://gone_da.conf cannot be found" in listed.err
    assert " dann " in listed.out
    assert da.train("method=control").code == 0
