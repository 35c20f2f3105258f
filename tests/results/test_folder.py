"""The folder of a run: what is written is whole, and no run takes another's files for its own."""

import ast
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from da_framework.config.moved import ADDED_ALONE
from da_framework.core.errors import InputError
from da_framework.results.folder import FIGURES, RunFolder, find_finished_runs

PACKAGE = Path(__file__).parents[2] / "da_framework"
RECORD = {
    "key": "k",
    "config": {"seed": 1, **ADDED_ALONE},
    "target": {"last": {"accuracy": 0.5}},
}
NAMES = re.compile(
    r"\b(result\.json|key\.txt|diverged\.txt|metrics\.csv|MODEL\.md|wandb\.id|da\.log|before-)"
    r"|\b(last|previous|chosen)\.ckpt|\b(curves|confusion|tsne)\.png|^features_before|^\.ckpt$"
)
"""How the files of a run are called."""


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).read_record() is None
    RunFolder(tmp_path).write_record(RECORD)
    assert RunFolder(tmp_path).read_record() == RECORD
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_kill_while_writing_leaves_the_record_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunFolder(tmp_path).write_record(RECORD)
    other = RECORD | {"key": "other"}

    def killed(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path).write_record(other)
    assert RunFolder(tmp_path).read_record() == RECORD
    RunFolder(tmp_path).write_record(other)
    assert RunFolder(tmp_path).read_record() == other
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_kill_before_the_first_record_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        RunFolder(tmp_path).write_record(RECORD)
    assert RunFolder(tmp_path).read_record() is None


def test_a_number_that_is_none_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunFolder(tmp_path).write_record(RECORD | {"seconds": float("nan")})
    assert RunFolder(tmp_path).read_record() is None


@pytest.mark.parametrize(
    "text",
    ["", "{", json.dumps(RECORD)[:-5], "[]", "3", "null", '"key config target"', '{"key": 1}'],
)
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=rf"{tmp_path}/result.json is damaged .*remove it"):
        RunFolder(tmp_path).read_record()


def test_a_record_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="damaged"):
        RunFolder(tmp_path).read_record()


def tree(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def run(folder: Path, content: str) -> None:
    """What a run leaves."""
    (folder / "checkpoints" / "last.ckpt").write_text(content)
    (folder / "result.json").write_text(content)
    (folder / "da.log").write_text("log")
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text("now")


def test_a_fresh_folder_is_claimed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    assert RunFolder(folder).claim("k1", again=False) is None
    assert tree(folder) == {"key.txt": "k1\n"}
    assert (folder / "checkpoints").is_dir()


def test_again_in_a_fresh_folder_moves_nothing(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).claim("k1", again=True) is None


def test_the_same_run_keeps_its_checkpoints(tmp_path: Path) -> None:
    RunFolder(tmp_path).claim("k1", again=False)
    run(tmp_path, "one")
    before = tree(tmp_path)
    assert RunFolder(tmp_path).claim("k1", again=False) is None
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("run_key", "again"), [("k2", False), ("k1", True), ("k2", True)])
def test_another_run_or_again_moves_what_is_there_aside(
    tmp_path: Path, run_key: str, again: bool
) -> None:
    RunFolder(tmp_path).claim("k1", again=False)
    run(tmp_path, "one")
    assert RunFolder(tmp_path).claim(run_key, again=again) == tmp_path / "before-1"
    assert tree(tmp_path) == {
        ".hydra/config.yaml": "now",
        "before-1/checkpoints/last.ckpt": "one",
        "before-1/key.txt": "k1\n",
        "before-1/result.json": "one",
        "da.log": "log",
        "key.txt": f"{run_key}\n",
    }


def test_what_was_moved_aside_is_never_touched_again(tmp_path: Path) -> None:
    for number, content in enumerate(["one", "two", "three"], start=1):
        RunFolder(tmp_path).claim(f"k{number}", again=False)
        run(tmp_path, content)
    first = {name: text for name, text in tree(tmp_path).items() if name.startswith("before-1/")}
    assert first["before-1/result.json"] == "one"
    assert tree(tmp_path)["before-2/result.json"] == "two"
    assert RunFolder(tmp_path).claim("k3", again=True) == tmp_path / "before-3"
    after = tree(tmp_path)
    assert after.items() >= first.items()
    assert after["before-3/result.json"] == "three"


def interrupted(moved: int) -> Callable[..., None]:
    """A move that is killed after so many entries."""
    original, count = shutil.move, [0]

    def move(source: Path, to: Path) -> None:
        if count[0] == moved:
            raise KeyboardInterrupt
        count[0] += 1
        original(source, to)

    return move


def listing(first: str) -> Callable[[Path], Iterator[Path]]:
    """A folder's entries, this one first: file systems have orders of their own."""
    original = Path.iterdir
    return lambda folder: iter(sorted(original(folder), key=lambda entry: entry.name != first))


@pytest.mark.parametrize("first", ["key.txt", "checkpoints", "result.json"])
@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_kill_while_moving_aside_never_makes_another_run_s_checkpoints_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int, first: str
) -> None:
    RunFolder(tmp_path).claim("k1", again=False)
    run(tmp_path, "one")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", listing(first))
        patch.setattr("shutil.move", interrupted(moved))
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path).claim("k2", again=False)
    RunFolder(tmp_path).claim("k2", again=False)
    left = tree(tmp_path)
    assert "checkpoints/last.ckpt" not in left
    assert "result.json" not in left


def spelled_names(source: str) -> list[str]:
    """The texts in a source, but for docstrings, that spell the name of a run's file."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]
    return [text for text in texts if NAMES.search(text)]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "folder.py"],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_no_other_module_spells_the_name_of_a_file_of_a_run(path: Path) -> None:
    assert not spelled_names(path.read_text())


def test_a_name_that_is_spelled_would_be_seen() -> None:
    assert spelled_names((PACKAGE / "results" / "folder.py").read_text())
    assert spelled_names('"""metrics.csv"""\nfile = folder / "metrics.csv"') == ["metrics.csv"]
    assert spelled_names('file = f"{name}.ckpt"') == [".ckpt"]


def test_figures_and_finished_runs_are_those_that_are_there(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "sweep" / "one")
    assert (run.drawn_figures(), find_finished_runs(tmp_path)) == ({}, [])
    run.path.mkdir(parents=True)
    for name in FIGURES[::2]:
        run.figure(name).touch()
    assert run.drawn_figures() == {name: run.path / f"{name}.png" for name in FIGURES[::2]}
    for folder in (run.path, run.path / "before-1"):
        folder.mkdir(exist_ok=True)
        RunFolder(folder).write_record(RECORD)
    assert find_finished_runs(tmp_path) == [run]
    assert find_finished_runs(run.path / "before-1") == [RunFolder(run.path / "before-1")]


def test_a_run_continues_from_the_latest_checkpoint_that_is_there(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim("k", again=False)
    assert list(run.checkpoints_latest_first()) == []
    for name in ("previous", "chosen", "last"):
        run.checkpoint(name).touch()
    latest, before = run.checkpoints_latest_first()
    assert (latest.name, before.name) == ("last.ckpt", "previous.ckpt")
