"""``da reproduce``."""

from da_framework.results.reproduction import main

__all__ = ["main"]
