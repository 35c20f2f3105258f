"""Pictures: the one way in which any is opened, in the formats that are meant and no other."""

import threading
import warnings
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from da_framework.core.errors import listed, one_line

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""That are read, by what a file holds and not by its name; PPM is PGM and PBM as well. Others would
hand a file to further programs, as EPS does, or are decoded by what hardly anyone looks after."""
MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 2**26
"""Of a picture, 89 millions: Pillow warns from here on, since a small file may hold very many."""

SERIES_SIZE = (480, 160)
"""Width and height of a series' picture, in pixels."""
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of the channels of a series, in turn: told apart by those who see no red as well."""

_OPENING = threading.Lock()


def open_picture(content: bytes) -> Image.Image:
    """Opens a picture; its pixels are read when they are asked for, and may be damaged still.

    Args:
        content: of a file.

    Raises:
        UnidentifiedImageError: it is of none of ``FORMATS``.
        ValueError: it has more than ``MOST_PIXELS``.
    """
    # filters of warnings are the whole process's, and pictures are opened by many threads
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return Image.open(BytesIO(content), formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise ValueError(
                f"it has more than {MOST_PIXELS / 1e6:.0f} million pixels: save it smaller"
            ) from None


def describe_failure(error: Exception) -> str:
    """Why a picture cannot be read, for a message."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is not an image ({listed(FORMATS)} are read)"
    return one_line(error, most=200) or type(error).__name__


def draw_series(x: NDArray[Any]) -> NDArray[np.uint8]:
    """A series as a picture (height, width, 3): a line a channel, all on one scale.

    Args:
        x: channels and time; where a value is NaN, a line has a gap.
    """
    width, height = SERIES_SIZE
    picture = Image.new("RGB", SERIES_SIZE, "white")
    finite = x[np.isfinite(x)].astype(np.float64)
    if finite.size:
        pen, low = ImageDraw.Draw(picture), finite.min()
        across = np.linspace(1, width - 2, x.shape[1])
        for number, channel in enumerate(x.astype(np.float64)):
            share = (channel - low) / max(finite.max() - low, np.finfo(np.float64).tiny)
            points = [*zip(across.tolist(), ((height - 3) * (1 - share) + 1).tolist(), strict=True)]
            known = np.isfinite(share)
            for start in np.flatnonzero(known[:-1] & known[1:]).tolist():
                colour = LINE_COLOURS[number % len(LINE_COLOURS)]
                pen.line(points[start : start + 2], fill=colour, width=2)
    return np.asarray(picture)
