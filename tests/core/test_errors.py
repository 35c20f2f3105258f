"""Messages: a line is a line, whatever the names in it are."""

import ast
import errno
import pickle
from pathlib import Path
from typing import Any

import pytest

import da_framework
from da_framework.core.errors import InputError, exit_message
from tests.odd_names import ESCAPES

PACKAGE = Path(da_framework.__file__).parent


@pytest.mark.parametrize("name", ESCAPES.values(), ids=ESCAPES.keys())
def test_no_name_ends_a_line_or_moves_the_cursor(name: str) -> None:
    error = InputError(f"there is no folder {name}", f"but {name}x")
    assert len(str(error).split("\n")) == 2
    assert str(error).replace("\n", "").isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    said = exit_message(OSError(errno.ENOENT, "No such file or directory", name))
    assert said is not None
    assert said[0].isprintable()


def test_no_message_has_line_ends_of_its_own() -> None:
    """Its lines are arguments: a line end in one of them is a name's."""
    with_ends = [
        f"{file.relative_to(PACKAGE)}:{call.lineno}"
        for file in PACKAGE.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("InputError")
        for part in ast.walk(call)
        if isinstance(part, ast.Constant) and "\n" in str(part.value)
    ]
    assert not with_ends


@pytest.mark.parametrize(
    "command",
    [
        ("sync", "no\nwhere"),
        ("report", "no\nwhere"),
        ("doctor", "no\nwhere"),
        ("evaluate", "run='no\nwhere'"),
        ("reproduce", "no\nwhere"),
        ("search", "method=dann,mmd\n"),
        ("train", "method=da\nnn"),
        ("train", "dataset=table", "dataset.root='no\nwhere'"),
        ("train", "dataset=folder", "dataset.root='no\nwhere'"),
        ("train", "init_from='no\nwhere'"),
        ("train", "optimizer.lr='1\n2'"),
        ("data", "check", "dataset=arrays", "dataset.root='no\nwhere'"),
    ],
    ids=repr,
)
def test_a_command_with_line_ends_is_refused_in_one_line(da: Any, command: tuple[str, ...]) -> None:
    ended = da(*command)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1, ended.err
