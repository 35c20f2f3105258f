"""Emoji: what is read of the archive, and what is said of one that is not whole."""

import io
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from da_framework.core.errors import InputError
from da_framework.datasets.emoji import Emoji
from da_framework.datasets.origin import Origin
from da_framework.training.build import compose

PLACES = ("face/1_smile", "face/2_frown", "tool/3_saw", "plant/4_palm")


def picture(grey: int) -> bytes:
    content = io.BytesIO()
    half = np.repeat([[grey, 255 - grey]], 64, axis=0).repeat(32, axis=1).astype(np.uint8)
    Image.fromarray(half).convert("RGB").save(content, "webp", lossless=True)
    return content.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two drawings of four emoji, whose greys say which they are."""
    place = tmp_path / "emoji"
    place.mkdir()
    with ZipFile(place / "images_64.zip", "w") as archive:
        for drawing, name in enumerate(("noto", "twemoji")):
            for number, emoji in enumerate(PLACES):
                archive.writestr(f"{name}/{emoji}.webp", picture(10 * number + 100 * drawing))
    rows = [f"{e.replace('/', ',')},{'test' if n % 2 else 'train'}" for n, e in enumerate(PLACES)]
    (place / "split.csv").write_text("\n".join(["class,name,part", *rows]) + "\n")
    return tmp_path


def emoji(folder: Path, **keys: Any) -> Emoji:
    given = compose("dataset=emoji", f"data_dir={folder}")["dataset"]
    del given["_target_"]
    origin = {key: value for key, value in given["origin"].items() if key != "_target_"}

    return Emoji(**{**given, "origin": Origin(**origin), **keys})


def test_images_have_the_class_of_their_folder_and_the_part_of_the_table(folder: Path) -> None:
    domain = emoji(folder, size=64)["twemoji"]
    assert domain.x.shape == (4, 3, 64, 64)
    assert domain.x.dtype == np.uint8
    assert [Emoji.classes[label] for label in domain.y] == ["face", "face", "plant", "tool"]
    assert domain.x[:, 0, 0, 0].tolist() == [100, 110, 130, 120]
    assert domain.test is not None
    assert domain.test.tolist() == [False, True, True, False]
    small = emoji(folder, size=4)["noto"].x
    assert small[3, 0].tolist() == [[20, 20, 235, 235]] * 4


def test_no_emoji_is_trained_on_in_one_drawing_and_tested_in_another(folder: Path) -> None:
    split = emoji(folder, val=0.0).split_roles()
    (trained,), (tested,) = split.train["source"], split.test
    assert trained.rows.tolist() == [0, 3]
    assert tested.rows.tolist() == [1, 2]


def test_what_is_missing_or_not_in_the_table_is_named(folder: Path) -> None:
    table = folder / "emoji" / "split.csv"
    table.write_text(table.read_text().replace("plant,4_palm,test\n", ""))
    with pytest.raises(InputError, match=r"split.csv does not have noto/plant/4_palm.webp"):
        emoji(folder)["noto"]
    table.unlink()
    with pytest.raises(InputError) as error:
        emoji(folder).fingerprint("noto")
    assert "emoji lacks:\n  split.csv\n" in str(error.value)
    assert "4 drawings of 1037 emoji in 15 classes" in str(error.value)


def test_an_archive_that_is_none_is_said_to_be_damaged(folder: Path) -> None:
    (folder / "emoji" / "images_64.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match="is damaged or no archive of images"):
        emoji(folder)["noto"]
