"""Pictures within the pages of an audit."""

import base64
import io
from dataclasses import replace

import numpy as np
from PIL import Image

from da_framework.audit.page import picture_url
from da_framework.audit.pool import Pool


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
