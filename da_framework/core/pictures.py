"""Pictures: the one way in which any is opened, in the formats that are meant and no other."""

import threading
import warnings
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from da_framework.core.errors import listed, one_line

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""That are read, by what a file holds and not by its name; PPM is PGM and PBM as well. Others would
hand a file to further programs, as EPS does, or are decoded by what hardly anyone looks after."""
MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 2**26
"""Of a picture, 89 millions: Pillow warns from here on, since a small file may hold very many."""

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
