"""Files that cannot be read: one line with their name, whatever is wrong with them."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from da_framework.core.damage import (
    DEEPEST,
    _parse_written,
    explain_damage,
    file_size,
    is_there,
    read_bytes,
    read_each,
    read_json,
    read_torch,
)
from da_framework.core.errors import InputError
from tests.damaged import BYTES, DEEP, nested


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"\xff\xfe", "can't decode byte"),
        (b"[NaN]", "it has the number NaN"),
        (b"[-Infinity]", "it has the number -Infinity"),
        (b"[1e999]", "a number beyond all bounds"),
        (b"[" + b"1" * 1_000_000 + b"]", "4300 digits"),
        (b"[9223372036854775808]", "more than 63 bits"),
        (b'{"a": 1, "b": 2, "a": 3}', "it has the key 'a' twice"),
        (nested(DEEPEST + 2), "nested more than 64 deep"),
        (nested(DEEP), "recursion"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_is_none_is_named_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason) as error:
        read_json(file, "record")
    assert str(error.value).startswith(f"{file} is damaged or no record (")
    assert len(str(error.value).splitlines()) == 1


def test_what_is_sound_is_read(tmp_path: Path) -> None:
    node = {"a": [1, -1.5, "é", None, True, {"b": [[]]}], "seed": 2**63 - 1}
    file = tmp_path / "a.json"
    file.write_text(json.dumps(node))
    assert read_json(file, "record") == node
    file.write_bytes(nested(DEEPEST))
    assert read_json(file, "record")


@given(
    node=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    ),
    indent=st.sampled_from([None, 1]),
)
def test_the_fast_way_reads_what_the_slow_way_does(node: Any, indent: int | None) -> None:
    text = json.dumps(node, indent=indent).encode()
    read = _parse_written(text)
    assert read is None or (read == node and repr(read) == repr(node))


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (b'{"a": 1, "b": "\\": "}', None),  # it could be a key
        (b'{"a" : 1}', None),
        (b'{"a": 1, "a": 2}', None),
        (b'{"a": {"b": 1, "b" : 2}, "c": "x\\":y"}', None),
        (rb'{"a": "\ud800"}', None),
        (b'{"a": NaN}', None),
        (b'{"a": 1', None),
        (b'{"a": [{"b": 1}, 2.5]}', {"a": [{"b": 1}, 2.5]}),
    ],
)
def test_what_is_not_surely_the_same_is_read_the_slow_way(content: bytes, read: Any) -> None:
    assert _parse_written(content) == read


def test_what_is_no_ordinary_file_is_neither_waited_for_nor_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nothing").symlink_to("gone")
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(2**30)  # of holes: nothing is written
    for name, reason in {
        "pipe": "it is no ordinary file",
        "folder": "folder cannot be read: Is a directory",
        "loop": "Too many levels of symbolic links",
        "nothing": "No such file",
        "large": "it has 1024 MiB, more than 64",
    }.items():
        assert is_there(tmp_path / name)
        with pytest.raises(InputError, match=reason):
            read_json(tmp_path / name, "record")
    assert not is_there(tmp_path / "gone")
    assert not is_there(tmp_path / "large" / "below")
    with pytest.raises(InputError, match="it is no ordinary file"):
        file_size(tmp_path / "pipe", "record")


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a").touch()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match="a cannot be read: Permission denied"):
        read_bytes(tmp_path / "a", "record")


@pytest.mark.parametrize("error", [RecursionError(), KeyError("a"), MemoryError(), OSError("cut")])
def test_every_kind_of_error_is_one_line(error: Exception) -> None:
    with (
        pytest.raises(InputError, match=r"a is damaged or no b \(.*\); c"),
        explain_damage(Path("a"), "b", mend="c"),
    ):
        raise error


def test_an_interrupt_is_no_damage() -> None:
    with pytest.raises(KeyboardInterrupt), explain_damage(Path("a"), "b"):
        raise KeyboardInterrupt


def test_of_several_the_damaged_are_named_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    def halve(number: int) -> int:
        if number % 2:
            raise InputError(f"{number} is", "odd")
        return number // 2

    assert read_each([4, 3, 6, 5], halve, "numbers") == [2, 3]
    errors = capsys.readouterr().err.splitlines()
    assert errors == ["skipped: 3 is odd", "skipped: 5 is odd", "skipped 2 of 4 numbers"]
    assert read_each([], halve, "numbers") == []
    with pytest.raises(InputError, match=r"^3 is\nodd$"):
        read_each([3], halve, "numbers")
    with pytest.raises(InputError, match="none of the 2 numbers can be used"):
        read_each([3, 5], halve, "numbers")
    assert not capsys.readouterr().err


def test_a_checkpoint_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "plain.ckpt")
    assert len(read_torch(tmp_path / "plain.ckpt", "checkpoint")["a"]) == 100_000
    with (
        ZipFile(tmp_path / "plain.ckpt") as plain,
        ZipFile(tmp_path / "packed.ckpt", "w", ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(InputError, match="it holds more than its size"):
        read_torch(tmp_path / "packed.ckpt", "checkpoint")


@pytest.mark.parametrize("content", BYTES, ids=range(len(BYTES)))
def test_no_bytes_get_past_the_readers(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a"
    file.write_bytes(content)
    for read in (read_json, read_torch):
        with suppress(InputError):
            read(file, "record")
