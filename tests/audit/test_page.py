"""Pictures within the pages of an audit."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from da_framework.audit.page import picture_url, write_sheet
from da_framework.audit.pool import Pool
from da_framework.audit.questions import Questions
from da_framework.results.contact_sheet import TILE


def test_a_page_of_a_thousand_photos_can_be_opened_and_small_images_are_exact() -> None:
    random = np.random.default_rng(0)
    small = random.integers(0, 255, (32, 32, 3)).astype(np.uint8)
    smooth = np.add.outer(np.arange(256), np.arange(256))[..., None] / 2
    photo = np.clip(smooth + random.normal(0, 5, (256, 256, 3)), 0, 255).astype(np.uint8)
    answers = np.array([[0], [1]])
    pool = Pool(("one", "two"), ("x",), ("a", "b"), answers, answers[0], "content")
    url = picture_url(replace(pool, picture=lambda row: photo), 0)
    assert url is not None
    assert len(url) < 40_000
    url = picture_url(replace(pool, picture=lambda row: small), 0)
    assert url is not None
    shown = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(shown), small)


def test_a_contact_sheet_shows_what_waits(tmp_path: Path) -> None:
    answers = np.stack([np.arange(9) % 2, (np.arange(9) + 1) % 2])
    tall = np.full((40, 20, 3), 7, np.uint8)
    names = tuple(map(str, range(9)))
    pool = Pool(("a", "b"), names, ("c", "d"), answers, answers[0], "", lambda row: tall)
    order = pool.order(0, accuracy=False)
    questions = Questions(tmp_path, {}, order, asked=6, answers={1: 0, 2: 1})
    sheet = tmp_path / "questions.png"
    write_sheet(sheet, pool, questions)
    drawn = np.asarray(Image.open(sheet))
    assert drawn.shape == (2 * (TILE + 12), 2 * (TILE + 2), 3)  # four of them
    assert (drawn[TILE // 2, TILE // 2] == 7).all()
    assert (drawn[TILE // 2, 2] == 255).all()  # not made wider than it is
    write_sheet(sheet, replace(pool, picture=lambda row: None), questions)
    assert not sheet.exists()
