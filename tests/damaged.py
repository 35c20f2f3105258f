"""Files that are damaged in any way, and what is written while they are read."""

import copy
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

DEEP = 100_000
"""Levels that no parser of ours goes down."""

VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        10**9,
        2**64,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "x",
        "../../x",
    ),
    *("\x1b[31m[/b]<script>|\n", "\x00", "${oc.env:HOME}", [], {}, [[]], {"a": {}}, [1, "a", None]),
    *({"_target_": "os.system", "command": "touch harmed"}, ["x"] * 300, {"": 1}, "=cmd()"),
]
"""What may stand in the place of anything."""


def nested(depth: int) -> bytes:
    """Lists in lists."""
    return b"[" * depth + b"]" * depth


BYTES = [
    *(b"", b"\0", b"\xff\xfe\x00", b"null", b"3", b'"x"', b"[]", b"{}", b"[[", nested(DEEP)),
    *(b"NaN", b"1" * 1_000_000, b'{"key": 1, "key": 2, "config": {}, "target": {}}'),
    *(b'{"a":' * DEEP, b"PK\x03\x04", b"\x80\x04.", b"a,b\n1,2,3\n\x00", b'{"key": 1e999}'),
]
"""What may be in the place of a whole file."""


@st.composite
def changed(draw: st.DrawFn, whole: Any) -> Any:
    """A tree with some of its values in others' places, lost, or of other kinds."""
    tree = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        node = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            deeper = isinstance(node[key], dict | list) and bool(node[key])
            if deeper and draw(st.integers(0, 4)):
                node = node[key]
                continue
            if draw(st.integers(0, 3)):
                node[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            else:
                del node[key]
            break
    return tree


@st.composite
def torn(draw: st.DrawFn, content: bytes) -> bytes:
    """A file that is cut, or has bytes changed or put in between; or something else altogether."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(BYTES))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        other = draw(st.binary(max_size=8))
        content = content[:at] + other + content[at + draw(st.sampled_from([0, 1, 8, 10**9])) :]
    return content


def damaged_json(whole: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file, damaged as a file or as what it says."""
    values = changed(whole).map(lambda tree: json.dumps(tree).encode())
    return st.one_of(values, torn(json.dumps(whole).encode()))


WATCHED: list[tuple[Path, list[str]]] = []
"""The folder that may be written to, with what was written elsewhere."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HARMFUL = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
CHANGING = (
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not WATCHED:
        return
    folder, seen = WATCHED[-1]
    if event in HARMFUL:
        seen.append(f"{event} {arguments}")
    opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if not (opened or event in CHANGING):
        return
    for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
        if isinstance(path, str | bytes | os.PathLike):
            place = Path(os.path.abspath(os.fsdecode(path)))
            if not place.is_relative_to(folder) and place != Path(os.devnull):
                seen.append(f"{event} {place}")


sys.addaudithook(_note)


@contextmanager
def nothing_written_outside(folder: Path) -> Iterator[None]:
    """Fails if something is written beside a folder, run, or asked of another machine."""
    seen: list[str] = []
    WATCHED.append((folder.resolve(), seen))
    try:
        yield
    finally:
        WATCHED.pop()
    assert not seen
