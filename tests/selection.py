"""Which cases of long tests are run: a few, others for each test; all with ``DA_EVERY_CASE=1``."""

import hashlib
import os
from collections.abc import Iterable

EVERY = "DA_EVERY_CASE" in os.environ


def a_few(test: str, names: Iterable[str], most: int) -> list[str]:
    """The same names in every run, in their order; a new name moves few of the others."""
    every = list(names)
    if EVERY:
        return every
    drawn = sorted(every, key=lambda name: hashlib.sha256(f"{test} {name}".encode()).digest())
    return [name for name in every if name in drawn[:most]]
