"""``da report``."""

from da_framework.results.tables import main

__all__ = ["main"]
