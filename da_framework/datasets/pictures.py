"""Pictures: files of images as squares of bytes."""

from io import BufferedIOBase
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from da_framework.datasets.base import Array


def square(file: Path | BufferedIOBase, size: int, channels: int, *, crop: float = 1.0) -> Array:
    """An image, turned upright as its camera says, scaled, and cut to a square about its middle.

    Args:
        file: of any format that Pillow reads; what it raises of damaged ones is the caller's.
        size: height and width, in pixels.
        channels: 3 for colour, 1 for grey.
        crop: share of the shorter side that is kept.

    Returns:
        Channels, height and width.
    """
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # sixteen bits, which Pillow would cut off at 255
            upright = Image.fromarray((np.asarray(upright) / 257).astype(np.uint8))
        plain = upright.convert("L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(plain, (size, size), Image.Resampling.BILINEAR, bleed=(1 - crop) / 2)
    return np.asarray(fitted).reshape(size, size, -1).transpose(2, 0, 1)
