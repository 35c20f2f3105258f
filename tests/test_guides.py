"""Every block of Python on a page of the site runs, in order, from an empty folder."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import da_framework
from da_framework.config.run_names import slug
from tests.conftest import Commands

PAGES = Path(__file__).parents[1] / "docs" / "pages"
ELSEWHERE = {
    "guides/python.md": "tests/test_notebook.py, some of it with other libraries",
    "guides/plugins.md": "tests/test_plugin_guide.py, as files of a package",
    "guides/exporting.md": "below, beside an exported run",
    "guides/records.md": "keys with their marks, of which nothing is to be run",
}
"""Pages whose blocks are run by a test of their own."""


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


WITH_PYTHON = {
    str(page.relative_to(PAGES)): page for page in sorted(PAGES.rglob("*.md")) if blocks(page)
}


def given() -> dict[str, Any]:
    """What a page may take for given: arrays of samples, and series of unequal length."""
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 8))
    series = [random.normal(size=(steps, 3)) for steps in (5, 9, 7)]
    return {"np": np, "x": x, "y": x[:, 0] > 0, "series": series, "channels": 3}


def run_blocks(page: Path, space: dict[str, Any]) -> dict[str, Any]:
    for block in blocks(page):
        code = re.sub(
            r"\bsteps=\d+", "steps=4", re.sub(r"evaluate_every=\d+", "evaluate_every=2", block)
        )
        exec(compile(code, page.name, "exec"), space)
    return space


def test_pages_with_python_are_found() -> None:
    assert {"guides/own-data.md", "guides/lightning.md", *ELSEWHERE} <= {*WITH_PYTHON}


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
@pytest.mark.parametrize("name", [name for name in WITH_PYTHON if name not in ELSEWHERE])
def test_the_blocks_of_a_page_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    run_blocks(WITH_PYTHON[name], given() | {"__name__": "page"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_exported_model_is_read_as_the_page_says(
    da: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 8)).astype(np.float32)
    keys: dict[str, Any] = {"network": "mlp", "steps": 4, "trainer__accelerator": "cpu"}
    run = da_framework.fit(
        method="dann", source=(x, np.where(x[:, 0] > 0, "yes", "no")), target=x + 1, **keys
    )
    run.save("runs/mine")
    ended = da("export", "run=runs/mine", "out=model")
    assert ended.code == 0, ended
    np.save("new.npy", x[:7])
    run_blocks(PAGES / "guides" / "exporting.md", {"__name__": "page"})
    expected = str([str(label) for label in run.predict(x[:7])])
    assert capsys.readouterr().out.splitlines()[-2:] == [expected] * 2


@pytest.mark.parametrize("page", sorted(PAGES.rglob("*.md")), ids=lambda page: page.stem)
def test_every_page_is_in_the_navigation_and_has_one_title(page: Path) -> None:
    navigation = (PAGES.parent / "mkdocs.yml").read_text()
    assert f"{page.relative_to(PAGES)}\n" in navigation
    titles = re.findall(
        r"^# .+", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M
    )
    assert len(titles) == 1


def test_the_first_run_is_where_the_page_says() -> None:
    page = (PAGES / "start.md").read_text()
    folders = set(re.findall(r"runs/([\w-]+)…", page))
    assert folders == {slug(["dann", "digits"], hashed=[])[: -len("00000000")]}
