"""Which cases of long tests are run: a few, others for each test; all with ``DA_EVERY_CASE=1``.

``DA_SHARE=3`` runs a third of the tests, the same in every run.
"""

import hashlib
import os
from collections.abc import Iterable

EVERY = "DA_EVERY_CASE" in os.environ


SHARE = int(os.environ.get("DA_SHARE", "1"))
"""Of all tests that are asked for, one in so many is run."""


def is_shared(name: str) -> bool:
    """Whether a test is in the share."""
    return EVERY or int(hashlib.sha256(name.encode()).hexdigest(), 16) % SHARE == 0


def a_few(test: str, names: Iterable[str], most: int) -> list[str]:
    """The same names in every run, in their order; a new name moves few of the others."""
    every = list(names)
    if EVERY:
        return every
    drawn = sorted(every, key=lambda name: hashlib.sha256(f"{test} {name}".encode()).digest())
    return [name for name in every if name in drawn[:most]]
