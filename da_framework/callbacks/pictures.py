"""What pictures share: written whole or not at all, without a display."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SOURCE, TARGET = "#3b6fb6", "#d9722e"
"""The colours of the two sides, the same in every picture."""


@contextmanager
def picture(path: Path, *, width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, saved at the end under its name by one rename."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, dpi=120, format="png", metadata={"Software": None})
    os.replace(partial, path)
