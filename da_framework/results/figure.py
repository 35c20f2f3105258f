"""Figures, written whole or not at all and without a display."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from da_framework.core.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOURCE, TARGET = "#3b6fb6", "#d9722e"
"""The colours of the two sides, the same in every figure."""


@contextmanager
def save_figure(path: Path, *, width: float, height: float) -> "Iterator[Figure]":
    """A figure of this size in inches, saved at the end under its name by one rename."""
    # matplotlib is imported here: whoever has a figure drawn elsewhere does without
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with atomic_write(path) as partial, warnings.catch_warnings():
        # a name may have letters that the font does not: they are shown as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        # names, too, may be too long for the axes beside them
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        figure.savefig(partial, dpi=120, format="png", metadata={"Software": None})
