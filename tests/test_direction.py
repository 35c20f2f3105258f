"""Imports go down, no room imports its own floor, and nobody but a method names it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "da_framework"
CONF = Path(__file__).parents[1] / "conf"

FLOORS = (
    {"__main__"},
    {"estimator"},
    {"notebook"},
    {"cli"},
    {"training"},
    {"accuracy_estimators", "audit", "callbacks", "computed_tables", "validators"},
    {"methods", "metrics", "results", "stream_methods"},
    {"calibrations", "config", "datasets", "label_shift_corrections", "losses", "networks"},
    {"core"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("da_framework"):
            below = (node.module or "").split(".")[1:]
            yield from [below[0]] if below else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("da_framework.")
            )


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in SOURCES} == FLOOR.keys()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    for there in set(imports(path)) - {here}:
        assert FLOOR[here] < FLOOR[there], f"{here} imports {there}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_names_a_method(path: Path) -> None:
    names = {file.stem for file in (CONF / "method").glob("*.yaml")}
    if room(path) == "methods" and path.stem in names:
        return
    tree = ast.parse(path.read_text())
    texts = {
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    # how t-SNE may begin, and a figure of every evaluation
    assert not texts & (names - {"pca", "mmd"})
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert not modules & {f"da_framework.methods.{name}" for name in names}


def test_the_page_on_the_design_has_these_floors() -> None:
    page = (PACKAGE.parent / "docs" / "pages" / "design.md").read_text()
    rows = re.findall(r"^\| \d+ \| (.*) \|$", page, flags=re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == list(FLOORS[1:])


def test_a_wrong_import_would_be_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from da_framework import cli\nimport da_framework.training.module\n")
    assert set(imports(wrong)) == {"cli", "training"}
