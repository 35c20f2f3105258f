"""Figure of a data set: small pictures of its samples, each above the name of its class."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from da_framework.core.array_cache import Array
from da_framework.core.files import atomic_write
from da_framework.core.text import printable

TILE = 64
"""Side of a picture, in pixels."""


def draw_contact_sheet(path: Path, shown: Sequence[tuple[Array, str]]) -> None:
    """Draws pictures with their classes, as near to a square of them as can be."""
    across, height = math.ceil(len(shown) ** 0.5), TILE + 12
    down = math.ceil(len(shown) / across)
    sheet = Image.new("RGB", (across * (TILE + 2), down * height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (picture, label) in enumerate(shown):
        left, top = number % across * (TILE + 2), number // across * height
        sheet.paste(Image.fromarray(picture).resize((TILE, TILE)), (left, top))
        draw.text((left, top + TILE), printable(label)[:11], fill="black", font_size=9)
    with atomic_write(path) as partial:
        sheet.save(partial, format="png")
