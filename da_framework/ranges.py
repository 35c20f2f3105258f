"""Ranges that a constructor's annotation states and the config check holds."""

from typing import Annotated

from pydantic import Field

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
