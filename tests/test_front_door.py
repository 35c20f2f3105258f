"""What ``import da_framework`` gives, and what it costs."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import assert_type

import pytest

import da_framework
from da_framework.core.errors import InputError
from da_framework.results.record import code_hash

ROOT = Path(__file__).parents[1]
PACKAGE = Path(da_framework.__file__).parent
HEAVY = {"numpy", "torch", "pydantic", "pytorch_lightning", "hydra", "wandb", "pandas", "scipy"}
DANN = {"method": {"_target_": "da_framework.methods.dann.DANN"}}


def loaded_by(code: str) -> set[str]:
    """The heavy modules that some code loads."""
    message = f"import sys\n{code}\nprint('LOADED', *{HEAVY!r} & set(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", message], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    return set(out.rpartition("LOADED")[2].split())


def test_every_method_and_the_nouns_are_public() -> None:
    for name in ("DANN", "MCD", "Adaptation", "Network", "Domains", "Estimator", "build"):
        assert getattr(da_framework, name).__name__ == name
        assert name in dir(da_framework)
    with pytest.raises(AttributeError, match="no attribute 'Dann'"):
        _ = da_framework.Dann  # type: ignore[attr-defined]


def test_the_version_is_the_installed_one() -> None:
    assert da_framework.__version__ == version("da_framework")


def test_the_package_alone_loads_nothing_heavy() -> None:
    assert loaded_by("import da_framework; dir(da_framework); da_framework.__version__") == set()


@pytest.mark.parametrize(
    "message",
    [["list"], ["--version"], ["--help"], ["list", "dann"], ["train", "--help"]],
)
def test_listings_load_nothing_heavy(message: list[str]) -> None:
    assert loaded_by(f"from da_framework.cli.main import main; main({message})") == set()


def test_the_stub_names_what_is_there() -> None:
    stub = (PACKAGE / "__init__.pyi").read_text()
    named = set(re.findall(r" as (\w+)", stub))
    lazy = set(dir(da_framework)) - {*vars(da_framework), "__version__"}
    assert named == lazy
    assert "__version__: str" in stub


def test_a_type_checker_finds_what_the_public_names_are() -> None:
    """mypy reads it strictly: were a name of no known type, the ignore would be an error."""
    from da_framework import DANN, Adaptation, Network, build, compose

    def program(*overrides: str) -> int:
        run = build(compose(*overrides))
        assert_type(run.module, Adaptation)
        assert_type(run.module.method.network, Network)
        _wrong: int = run.domains  # type: ignore[assignment]
        return run.module.steps + len(DANN.roles)

    small = ("dataset=two_moons", "network=mlp", "trainer.accelerator=cpu")
    assert program("method=dann", "steps=7", *small) == 9
    assert (PACKAGE / "py.typed").is_file()


# what a run's hash follows


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose sources are hashed in our place."""
    from shutil import copytree, ignore_patterns

    from da_framework.config import source_code

    copytree(PACKAGE, tmp_path / "da_framework", ignore=ignore_patterns("__pycache__", "*.npz"))
    find = source_code.find_module

    def find_in_copy(module: str) -> Path | None:
        path = find(module)
        if path is None or not path.is_relative_to(PACKAGE):
            return path
        moved = tmp_path / "da_framework" / path.relative_to(PACKAGE)
        return moved if moved.exists() else None

    monkeypatch.setattr(source_code, "find_module", find_in_copy)
    return tmp_path / "da_framework"


@pytest.mark.parametrize("file", ["methods/mcd.py", "results/tables.py", "cli/main.py"])
def test_what_a_run_does_not_import_leaves_its_hash_alone(copy: Path, file: str) -> None:
    before = code_hash(DANN)
    (copy / file).write_text((copy / file).read_text() + "\n# changed\n")
    assert code_hash(DANN) == before


@pytest.mark.parametrize("file", ["training/module.py", "methods/dann.py", "core/seeding.py"])
def test_what_it_imports_changes_it(copy: Path, file: str) -> None:
    before = code_hash(DANN)
    (copy / file).write_text((copy / file).read_text() + "\n# changed\n")
    assert code_hash(DANN) != before


def test_neither_public_names_nor_their_stub_are_followed(copy: Path) -> None:
    before = code_hash(DANN)
    for file in ("__init__.py", "__init__.pyi"):
        (copy / file).write_text("from da_framework.methods.mcd import MCD\n")
    assert code_hash(DANN) == before


def test_a_root_that_is_not_there_is_an_error(copy: Path) -> None:
    (copy / "training" / "train.py").unlink()
    with pytest.raises((ImportError, InputError), match="no source of da_framework"):
        code_hash(DANN)
