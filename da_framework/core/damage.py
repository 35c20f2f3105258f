"""Files that may be damaged or hostile: each harms itself alone, and is named.

Whatever reading one of them raises, of whatever type, becomes one ``InputError`` with its name.
"""

import json
import math
import os
import re
import stat
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

from da_framework.core.errors import InputError, one_line

MOST_BYTES = 2**26
"""Of a file that is read as a whole: records of 20000 classes are a tenth of it."""
DEEPEST = 64
"""Levels of lists and mappings in each other, of which our own files have ten."""
MOST_COUNT = 2**63
"""Whole numbers from here on are no seeds, steps or sizes."""

_SPACED_KEY = re.compile(rb'"\s+:')

T = TypeVar("T")
R = TypeVar("R")


class DamagedError(InputError):
    """A file is not what it should be.

    Args:
        damage: which file, and what is wrong with it.
        mend: what to do about it.
    """

    def __init__(self, damage: str, mend: str) -> None:
        super().__init__(f"{damage}; {mend}")
        self.damage = damage


@contextmanager
def explain_damage(file: Path, what: str, *, mend: str = "remove it") -> Iterator[None]:
    """Names the file in which something is wrong, whatever a reader makes of it.

    Args:
        file: that is read.
        what: it should be: ``record of a run``.
        mend: what to do about it.

    Raises:
        DamagedError: in the place of every other error.
        InputError: the system does not let it be read, which is no damage.
    """
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{file} cannot be read: {one_line(error)}") from None
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"{file} cannot be read: {error.strerror}") from None
        raise _damaged(file, what, error, mend) from None
    except Exception as error:  # what a damaged file makes of itself has no type
        raise _damaged(file, what, error, mend) from None


def _damaged(file: Path, what: str, error: Exception, mend: str) -> DamagedError:
    reason = one_line(error, most=200)
    if not reason or not isinstance(error, ValueError | RuntimeError):
        reason = f"{type(error).__name__}: {reason}".removesuffix(": ")
    return DamagedError(f"{file} is damaged or no {what} ({reason})", mend)


def is_there(file: Path) -> bool:
    """Whether anything has this name, were it a link to nothing or what must not be read."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True  # reading it says why it cannot be read
    return True


def read_bytes(file: Path, what: str, *, most: int = MOST_BYTES) -> bytes:
    """The content of a file, and of nothing else: a pipe would be waited for without end.

    Args:
        file: to read.
        what: it should be.
        most: bytes that such a file may have.

    Raises:
        InputError: it is no file, too large, or may not be read.
    """
    with explain_damage(file, what):
        # without a writer, opening a pipe would wait as well
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            if (size := _ordinary_size(os.fstat(descriptor))) > most:
                raise ValueError(f"it has {size / 2**20:.0f} MiB, more than {most / 2**20:.0f}")
            return stream.read(most)


def file_size(file: Path, what: str) -> int:
    """The bytes of a file.

    Raises:
        InputError: it is no file: a folder, a pipe, a link to nothing.
    """
    with explain_damage(file, what):
        return _ordinary_size(file.stat())


def _ordinary_size(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no ordinary file")
    return status.st_size


def read_text(file: Path, what: str, *, most: int = MOST_BYTES) -> str:
    """The text in a file, which is UTF-8.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    content = read_bytes(file, what, most=most)
    with explain_damage(file, what):
        return content.decode()


def read_json(file: Path, what: str) -> object:
    """What a JSON file holds: finite numbers, no key twice, nothing nested without end.

    Raises:
        InputError: it cannot be read, or is no such file.
    """
    content = read_bytes(file, what)
    with explain_damage(file, what):
        node = _parse_written(content)
        if node is None:
            node = json.loads(
                content.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
            )
            _check_values(node)
        return node


def _parse_written(content: bytes) -> object:
    """What is in JSON as programs write it, in half the time; ``None`` if that is not sure.

    The faster parser keeps the last of two equal keys, so keys are counted: every one in the text
    has a quote and a colon behind it, and a text with as many of them as there are keys in what was
    parsed has none twice.
    """
    from pydantic_core import from_json

    try:
        node: object = from_json(content, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return None
    written = not _SPACED_KEY.search(content)
    return node if _check_values(node) == content.count(b'":') and written else None


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    node = dict(pairs)
    if len(node) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {twice!r} twice")
    return node


def _refuse_constant(name: str) -> object:
    raise ValueError(f"it has the number {name}")


def _check_values(node: object) -> int:
    """Counts the keys, level by level: what is nested without end must not end the check."""
    level: list[list[Any]] = [[node]]
    depth, keys = 0, 0
    while level:
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        below: list[list[Any]] = []
        for values in level:
            kinds = set(map(type, values))
            if not kinds.isdisjoint((int, float)):
                only = kinds <= {int, float}
                _check_numbers(values if only else [v for v in values if type(v) in (int, float)])
            if dict in kinds:
                inner = [value for value in values if type(value) is dict]
                keys += sum(map(len, inner))
                below += [[*value.values()] for value in inner]
            if list in kinds:
                below += [value for value in values if type(value) is list]
        level, depth = below, depth + 1
    return keys


def _check_numbers(numbers: list[int | float]) -> None:
    low, high = min(numbers), max(numbers)
    if low == -math.inf or high == math.inf:
        raise ValueError("it has a number beyond all bounds")
    if low > -MOST_COUNT and high < MOST_COUNT:
        return
    if any(isinstance(value, int) and abs(value) >= MOST_COUNT for value in numbers):
        raise ValueError("it has a whole number of more than 63 bits")


def read_torch(file: Path, what: str, *, mend: str = "remove it") -> Any:
    """What torch has saved: tensors, numbers, names and plain containers; nothing else is read.

    Args:
        file: to read.
        what: it should be.
        mend: what to do if it is not.

    Raises:
        InputError: it cannot be read, or holds other things.
    """
    import torch

    with explain_damage(file, what, mend=mend):
        size = _ordinary_size(file.stat())
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                # torch packs nothing: what is small here and large in memory is not from it
                if sum(part.file_size for part in archive.infolist()) > size:
                    raise ValueError("it holds more than its size")
        refuse_other_files(file)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            # whose words are the advice to run what is in it
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            if named is None:
                raise ValueError("torch has not saved it, or it has changed since") from None
            raise ValueError(
                f"it holds {named[1]}, and what is no tensor may run anything when it is read: "
                "torch.save(model.state_dict(), file) writes the tensors alone"
            ) from None


def refuse_other_files(file: Path) -> None:
    """Raises where a file is what is found in the place of a download.

    Raises:
        ValueError: it is a web page, the pointer that Git LFS leaves for a file, or empty.
    """
    with file.open("rb") as stream:
        begin = stream.read(200).lstrip().lower()
    if not begin:
        raise ValueError("it is empty")
    if begin.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise ValueError("it is a web page: the address gave one in the place of the file")
    if begin.startswith(b"version https://git-lfs"):
        raise ValueError("it is a pointer of Git LFS: git lfs pull fetches the file itself")


def read_each(items: Iterable[T], read: Callable[[T], R], what: str) -> list[R]:
    """What can be read of several; the others are named, skipped and counted.

    Args:
        items: to read.
        read: reads one of them.
        what: they are, for the count: ``results``.

    Raises:
        InputError: none can be read.
    """
    results: list[R] = []
    errors: list[InputError] = []
    for item in items:
        try:
            results.append(read(item))
        except InputError as error:
            errors.append(error)
    if errors and not results:
        if len(errors) == 1:  # with the lines to paste that it may have
            raise errors[0]
        none = f"none of the {len(errors)} {what} can be used"
        raise InputError(f"{one_line(errors[0])}; {none}")
    for damage in errors:
        print(f"skipped: {one_line(damage)}", file=sys.stderr)
    if errors:
        count = len(errors) + len(results)
        print(f"skipped {len(errors)} of {count} {what}", file=sys.stderr)
    return results
