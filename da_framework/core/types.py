"""What an annotation states of a key: ranges, which the config check holds, and marks."""

from collections.abc import Mapping
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


class Irrelevant:
    """Marks a key that cannot change a number: where, how or whether to run, to keep and to log.

    ``cache: Annotated[str | None, Irrelevant()]`` where the key is declared. Runs that differ in
    such keys alone are one run: ``config.relevance`` reads the marks.

    Args:
        keys: within what is annotated, where it is not irrelevant as a whole.
    """

    def __init__(self, *keys: str) -> None:
        self.keys = keys
