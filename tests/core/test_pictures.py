"""Pictures: opened in the formats that are meant, of a bearable size, and in one place."""

import ast
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from da_framework.core.pictures import (
    FORMATS,
    MOST_PIXELS,
    describe_failure,
    draw_series,
    open_picture,
)

PACKAGE = Path(__file__).parents[2] / "da_framework"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


def empty_png(width: int, height: int) -> bytes:
    """A picture of any size in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest


@pytest.mark.parametrize("name", FORMATS)
def test_the_formats_that_are_meant_are_read(name: str) -> None:
    stream = BytesIO()
    Image.new("RGB", (9, 7), "red").save(stream, name)
    with open_picture(stream.getvalue()) as picture:
        assert picture.size == (9, 7)
        assert picture.convert("RGB").getpixel((3, 3)) == pytest.approx((255, 0, 0), abs=2)


@pytest.mark.parametrize("name", ["PDF", "ICO", "TGA", "PCX", "SGI", "DDS", "EPS"])
def test_no_other_format_is_read_whatever_its_name(name: str) -> None:
    stream = BytesIO()
    Image.new("RGB", (9, 7), "red").save(stream, name)
    with pytest.raises(OSError, match="cannot identify") as error:
        open_picture(stream.getvalue())
    assert describe_failure(error.value) == (
        "it is not an image (BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP are read)"
    )


def test_postscript_reaches_no_other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    def run(*_: object) -> None:
        raise AssertionError("Ghostscript was run")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    with pytest.raises(AssertionError), Image.open(BytesIO(EPS)) as picture:
        picture.load()
    with pytest.raises(OSError, match="cannot identify"):
        open_picture(EPS)


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_picture_of_too_many_pixels_is_refused_without_a_warning(side: int) -> None:
    with pytest.raises(ValueError, match="more than 89 million pixels"):
        open_picture(empty_png(side, side))
    assert open_picture(empty_png(9_400, 9_400)).size[0] ** 2 < MOST_PIXELS


def test_a_picture_that_is_cut_opens_and_says_so_when_it_is_read() -> None:
    stream = BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, "PNG")
    with pytest.raises(OSError, match="truncated"):
        open_picture(stream.getvalue()[:900]).load()


def test_many_threads_open_pictures_and_leave_the_filters_of_warnings_as_they_were() -> None:
    def open_large(_: int) -> None:
        with pytest.raises(ValueError, match="pixels"):
            open_picture(empty_png(10_000, 10_000))

    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_large, range(64)))
    assert list(warnings.filters) == before


def test_pillow_opens_nothing_elsewhere() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name != "pictures.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and node.attr == "open":
                    assert ast.unparse(node.value) not in ("Image", "PIL.Image"), path


def test_a_series_is_drawn_with_its_gaps() -> None:
    x = np.array([[0, 1, np.nan, 1, 0], [5, 5, 5, 5, 5]], dtype=np.float32)
    ink = np.any(draw_series(x) < 255, axis=2, keepdims=True)[..., 0]
    assert ink[:4].any(0).mean() > 0.95  # the second channel, at the top
    assert not ink[20:, 190:290].any()  # nothing is drawn where a value is missing
    assert ink[20:].any()
    for odd in (x * np.nan, x * 0, x[:, :1], x * np.float32(1e37), x[:0]):
        assert draw_series(odd).shape == draw_series(x).shape
