"""What an annotation states of a key: ranges, which the config check holds, and marks."""

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(ge=1)]
"""A whole number of things, at least one."""

Index = Annotated[int, Field(ge=0)]
"""A whole number from zero: seeds, lengths that may be none."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A fraction of 1, both ends included."""

Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A fraction of 1 that may be nothing but not all."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above zero."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number, zero included."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""Any finite number."""


def _chosen(node: Any) -> Any:
    if not (isinstance(node, Mapping) and "_target_" in node):
        raise PydanticCustomError("part", "input should be chosen by a name, as da list shows them")
    return node


ConfigNode = Annotated[Any, AfterValidator(_chosen)]
"""A node that says what it builds, as every choice of a config group does."""


def _inside(path: str) -> str:
    parts = PurePosixPath(path), PureWindowsPath(path)
    if any(part.is_absolute() or part.drive or ".." in part.parts for part in parts):
        raise PydanticCustomError("inside", "input should be a path below the data set's folder")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
"""A path that does not leave the folder that it is in."""


class External:
    """Marks a key that names something outside of a run: a path, an address, a model on a hub.

    ``root: Annotated[str, External()]`` where the key is declared. A record does not decide what
    is read, fetched or written: who reads it types such a value again, or it is off.

    Args:
        harmless: a value that names nothing, beside ``None``.
        off: what takes the value's place where nobody has typed it; if not given, it must be typed.
    """

    def __init__(self, *, harmless: str | None = None, off: Any = ...) -> None:
        self.harmless = harmless
        self.off = off


class Irrelevant:
    """Marks a key that cannot change a number: where, how or whether to run, to keep and to log.

    ``cache: Annotated[str | None, Irrelevant()]`` where the key is declared. Runs that differ in
    such keys alone are one run: ``config.relevance`` reads the marks.

    Args:
        keys: within what is annotated, where it is not irrelevant as a whole.
    """

    def __init__(self, *keys: str) -> None:
        self.keys = keys


class ForAll:
    """Marks a mapping that may be given as one value, which is that of each of these keys.

    Args:
        keys: that it has.
    """

    def __init__(self, *keys: str) -> None:
        self.keys = keys
