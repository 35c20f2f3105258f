"""Every example of the gallery runs, and its page shows it with the picture that it made."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = loaded("gallery_pages", ROOT / "docs" / "gallery_pages.py")
NAMES: list[str] = pages.example_names()
FEW = {
    "steps": 4,
    "inner_steps": 2,
    "evaluate_every": 2,
}
"""Of training, in a test."""
QUICK = ("digits", "table")
"""Examples of few and short runs."""


def with_few_steps(code: str) -> str:
    for key, few in FEW.items():
        code = re.sub(rf"\b{key}=\d+", f"{key}={few}", code)
    return code


def run_example(name: str, folder: Path, patch: pytest.MonkeyPatch, code: str) -> Path:
    """Runs it as a program of its own would be run, and returns its picture."""
    import matplotlib.pyplot as plt

    patch.chdir(folder)
    plt.switch_backend("Agg")
    try:
        exec(compile(code, f"{name}.py", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        if not str(end.code).startswith(pages.SKIPPED):
            raise
        pytest.skip(str(end.code))
    finally:
        plt.close("all")
    made = [path for path in folder.iterdir() if path.suffix in pages.LIMITS]
    assert [path.stem for path in made] == [name]
    return made[0]


@pytest.mark.filterwarnings("ignore")  # Lightning's advice
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n not in QUICK else []) for n in NAMES]
)
def test_an_example_runs_and_makes_its_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = run_example(name, tmp_path, monkeypatch, with_few_steps(pages.read_code(name)))
    assert picture.name == pages.read_rendered()[name]["picture"]
    with Image.open(picture) as image:
        assert min(image.size) > 150
    printed = capsys.readouterr().out.splitlines()
    kept = pages.read_rendered()[name]["printed"].splitlines()
    assert [re.sub(r"[\d.]+", "", line) for line in printed if "%" in line] == [
        re.sub(r"[\d.]+", "", line) for line in kept if "%" in line
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text"])
def test_an_example_makes_the_same_picture_again(name: str) -> None:
    render = loaded("render_gallery", ROOT / "scripts" / "render_gallery.py")
    kept = {place: place.read_bytes() for place in (pages.RENDERED, *pages.PICTURES.iterdir())}
    first = render.render(name), (pages.PICTURES / f"{name}.png").read_bytes()
    try:
        assert render.render(name), (pages.PICTURES / f"{name}.png").read_bytes() == first
    finally:
        for place, content in kept.items():
            place.write_bytes(content)


def test_there_are_enough_and_each_has_its_picture() -> None:
    assert len(NAMES) >= 10
    assert {*pages.read_rendered()} == {*NAMES}
    pictures = {path.name for path in pages.PICTURES.iterdir()}
    assert pictures == {entry["picture"] for entry in pages.read_rendered().values()}


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_is_of_this_code_and_small(name: str) -> None:
    entry = pages.read_rendered()[name]
    assert entry["code"] == pages.code_hash(name), f"python scripts/render_gallery.py {name}"
    picture = pages.PICTURES / entry["picture"]
    assert picture.stat().st_size <= pages.LIMITS[picture.suffix]
    with Image.open(picture) as image:
        assert image.size[0] <= 1000
        assert getattr(image, "n_frames", 1) > 10 or picture.suffix != ".gif"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_code_picture_and_what_is_printed(name: str) -> None:
    title, text, code = pages.split_example(name)
    page = pages.gallery_page(name)
    assert page.startswith(f"# {title}\n\n{text}\n")
    assert f"]({pages.read_rendered()[name]['picture']})" in page
    assert f"```python\n{code}\n```" in page
    assert pages.read_rendered()[name]["printed"].strip() in page
    assert pages.read_code(name).rstrip().endswith(code)
    assert f"]({name}.md)" in pages.gallery_index()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_uses_what_is_public(name: str) -> None:
    code = pages.read_code(name)
    assert len(code.splitlines()) <= 100
    assert not re.search(r"da_framework\.\w+\.|from da_framework\.", code)


def test_an_unknown_example_is_an_error_that_names_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    render = loaded("render_gallery", ROOT / "scripts" / "render_gallery.py")
    with pytest.raises(SystemExit, match=r"no example: tow_moons; there are .*two_moons"):
        render.main(["tow_moons"])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print(1)", "made none of odd.png, odd.gif"),
        ("1 / 0", "ZeroDivisionError"),
        ("open('odd.png', 'wb').write(bytes(150_001))", "150001 bytes, of at most 150000"),
    ],
)
def test_what_is_wrong_with_an_example_is_said(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    render: Any = loaded("render_gallery", ROOT / "scripts" / "render_gallery.py")
    (tmp_path / "odd.py").write_text(code)
    monkeypatch.setattr(render, "EXAMPLES", tmp_path / "x" / "..")
    monkeypatch.setattr(render, "PICTURES", tmp_path)
    (tmp_path / "x").mkdir()
    with pytest.raises(SystemExit, match=said):
        render.render("odd")
