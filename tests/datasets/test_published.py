"""Office-Caltech10 and Amazon Reviews, from their real files where these are at hand."""

import hashlib
import os
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import scipy.stats
from PIL import Image, ImageDraw
from sklearn.neighbors import KNeighborsClassifier

from da_framework.core.errors import InputError
from da_framework.datasets.amazon_reviews import AmazonReviews
from da_framework.datasets.amazon_text import AmazonText
from da_framework.datasets.msda import Denoising
from da_framework.datasets.office_caltech10 import OfficeCaltech10
from da_framework.datasets.office_caltech10_images import OfficeCaltech10Images
from da_framework.datasets.published import PublishedFile

DATA = os.environ.get("DA_DATA", "data")
ROLES: dict[str, Any] = {
    "target": None,
    "protocol": "inductive",
    "labels_per_class": 0,
    "val": 0.1,
    "test": 0.2,
    "split_seed": 0,
    "batch_size": {},
}


def office(features: Any, normalize: Any = "l2", data_dir: str = DATA) -> OfficeCaltech10:
    keys: dict[str, Any] = {"features": features, "normalize": normalize, "data_dir": data_dir}
    return OfficeCaltech10(**keys, **(ROLES | {"source": ["dslr"], "target": ["webcam"]}))


def reviews(
    counts: str = "raw", data_dir: str = DATA, denoising: Any = None, **roles: Any
) -> AmazonReviews:
    keys: dict[str, Any] = {"counts": counts, "data_dir": data_dir, "denoising": denoising}
    return AmazonReviews(**keys, **(ROLES | {"source": ["books"]} | roles))


@pytest.mark.slow
def test_layers_are_fitted_to_the_training_rows_of_both_sides_and_to_no_label() -> None:
    data = reviews()
    needs(data)

    class Means(Denoising):
        """A layer of the columns' means."""

        def fit(self, x: Any) -> list[Any]:
            layer = np.zeros((x.shape[1] + 1, x.shape[1]), dtype=x.dtype)
            layer[-1] = x.mean(0)
            return [layer]

    means = np.concatenate([data[name].x[:2000] for name in ("books", "dvd")]).mean(0)
    for source, target in (("books", "dvd"), ("dvd", "books")):
        layers = Means(layers=1, noise=0.5)
        denoised = reviews(denoising=layers, source=[source], target=[target])[target]
        assert denoised.x.shape[1] == 10000
        np.testing.assert_array_equal(denoised.x[:, :5000], data[target].x)
        np.testing.assert_allclose(denoised.x[-1, 5000:], np.tanh(means), rtol=1e-4)


def needs(data: Any) -> None:
    if not data.files(data.names[-1])[0].is_file():
        pytest.skip(f"DA_DATA has no {data.folder}")


def test_standardize_is_of_columns_alone() -> None:
    data = office("surf", "standardize")
    needs(data)
    counts = office("surf", "none")["dslr"].x.astype(float)
    x = data["dslr"].x
    np.testing.assert_allclose(x, scipy.stats.zscore(counts), atol=1e-5)
    assert not np.allclose(x, office("surf", "zscore")["dslr"].x, atol=0.1)


def test_surf_gives_the_published_nearest_neighbours() -> None:
    data = office("surf", "zscore")
    needs(data)
    # Long et al., ICCV 2013, table 2, column 1-NN
    published = {("caltech10", "amazon"): 23.70, ("amazon", "webcam"): 29.83}
    published |= {("webcam", "dslr"): 59.24, ("dslr", "caltech10"): 26.27}
    for (source, target), expected in published.items():
        judge = KNeighborsClassifier(1).fit(data[source].x, data[source].y)
        accuracy = 100 * judge.score(data[target].x, data[target].y)
        assert accuracy == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("features", "width", "rows"),
    [("surf", 800, 958), ("googlenet", 1024, 958), ("mobilenet_v2", 1280, 958)],
)
def test_features_have_their_shape_and_norm(features: str, width: int, rows: int) -> None:
    data = office(features)
    needs(data)
    amazon = data["amazon"]
    assert amazon.x.shape == (rows, width)
    np.testing.assert_allclose(np.linalg.norm(amazon.x, axis=1), width**0.5, rtol=1e-3)
    assert np.bincount(amazon.y).tolist() == [92, 82, 94, 99, 100, 100, 99, 100, 94, 98]


def test_a_domain_that_a_feature_set_lacks_is_named() -> None:
    data = office("decaf6")
    needs(data)
    assert data["dslr"].x.shape == (157, 4096)
    with pytest.raises(InputError, match="is of dslr, webcam alone, not of amazon"):
        data["amazon"]


def test_a_domain_has_the_features_and_the_norm_that_are_named_for_it() -> None:
    data = office({"dslr": "surf", "webcam": "decaf6"}, {"dslr": "zscore", "webcam": "l2"})
    needs(data)
    for name, features, normalize in (("dslr", "surf", "zscore"), ("webcam", "decaf6", "l2")):
        alone = office(features, normalize)
        np.testing.assert_array_equal(data[name].x, alone[name].x)
        np.testing.assert_array_equal(data[name].y, alone[name].y)
        assert data.fingerprint(name) == alone.fingerprint(name)
    assert (data["dslr"].x.shape[1], data["webcam"].x.shape[1]) == (800, 4096)
    with pytest.raises(InputError, match=r"dataset\.features is of dslr, webcam, .* amazon"):
        data["amazon"]


@pytest.mark.slow
def test_reviews_are_the_published_counts() -> None:
    data = reviews()
    needs(data)
    electronics = data["electronics"]
    assert electronics.x.shape == (2000 + 5681, 5000)
    assert electronics.test is not None
    assert electronics.test.sum() == 5681
    assert np.bincount(electronics.y[~electronics.test]).tolist() == [1000, 1000]
    assert electronics.x.max() > 1
    assert set(np.unique(reviews("binary")["dvd"].x)) == {0, 1}
    np.testing.assert_allclose(reviews("log")["electronics"].x, np.log1p(electronics.x))


@pytest.mark.parametrize(
    "make", [lambda at: office("surf", data_dir=at), lambda at: reviews(data_dir=at)]
)
def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path, make: Any) -> None:
    data = make(str(tmp_path))
    name = data.names[0]
    with pytest.raises(InputError, match="is not there; put it in place") as missing:
        data.fingerprint(name)
    file = data.files(name)[0]
    published = data.origins[file.name]
    for part in (str(file), str(published.size), published.sha256, "https://", "DA_DATA"):
        assert part in str(missing.value) or file.name == "mobilenet_v2_1280.npz"
    file.parent.mkdir()
    file.write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged or another file"):
        data[name]


def photographs(data_dir: str = DATA, **keys: Any) -> OfficeCaltech10Images:
    given: dict[str, Any] = {"size": 32, "crop": 0.875, "data_dir": data_dir} | keys
    return OfficeCaltech10Images(**given, **(ROLES | {"source": ["dslr"], "target": ["webcam"]}))


def packed(folder: Path, monkeypatch: pytest.MonkeyPatch, **others: bytes) -> Path:
    """An archive of three images with a white margin, and of what else is named."""
    file = folder / "office_caltech10" / "images_256.zip"
    file.parent.mkdir(exist_ok=True)
    with ZipFile(file, "w") as archive:
        for number, kind in enumerate(("mug", "bike", "mug")):
            image = Image.new("RGB", (40, 32), (0, 0, 100 * number))
            ImageDraw.Draw(image).rectangle((0, 0, 3, 31), "white")
            held = BytesIO()
            image.save(held, "png")
            archive.writestr(f"dslr/{kind}/{number}.png", held.getvalue())
        archive.writestr("../outside.png", b"")
        for name, content in others.items():
            archive.writestr(f"dslr/mug/{name}.png", content)
    content = file.read_bytes()
    published = PublishedFile(len(content), hashlib.sha256(content).hexdigest(), "made here")
    monkeypatch.setattr(OfficeCaltech10Images, "origins", {file.name: published})
    return file


def test_images_come_out_of_their_archive_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = packed(tmp_path, monkeypatch)
    data = photographs(str(tmp_path))
    dslr = data["dslr"]
    assert dslr.x.shape == (3, 3, 32, 32)
    assert dslr.x.dtype == np.uint8
    assert [data.classes[label] for label in dslr.y] == ["bike", "mug", "mug"]
    assert dslr.x[:, 2].max(axis=(1, 2)).tolist() == [100, 0, 200]
    assert not dslr.x[:, :2].any()  # the margin is cut off
    assert sorted(path.name for path in tmp_path.rglob("*")) == [file.name, "office_caltech10"]
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InputError, match="damaged or another file"):
        photographs(str(tmp_path)).fingerprint("dslr")


def test_an_image_that_is_none_or_too_large_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("da_framework.datasets.office_caltech10_images.MAX_IMAGE_BYTES", 2**16)
    packed(tmp_path, monkeypatch, large=bytes(2**16 + 1))
    with pytest.raises(InputError, match=r"mug/large\.png is said to unpack to 65537 bytes"):
        photographs(str(tmp_path))["dslr"]
    packed(tmp_path, monkeypatch, broken=b"broken")
    with pytest.raises(InputError, match=r"mug/broken\.png: it is not an image"):
        photographs(str(tmp_path))["dslr"]


def test_the_images_are_those_that_the_features_are_of() -> None:
    data, features = photographs(), office("mobilenet_v2")
    needs(data)
    needs(features)
    np.testing.assert_array_equal(data["dslr"].y, features["dslr"].y)


def test_reviews_as_texts() -> None:
    keys: dict[str, Any] = {"tokenizer": "words", "vocabulary": 999, "length": 20, "cache": None}
    data = AmazonText(data_dir=DATA, **keys, **(ROLES | {"source": ["books"]}))
    needs(data)
    dvd = data["dvd"]
    assert dvd.x.shape == (2000, 20)
    assert dvd.x.any(axis=1).all()
    assert np.bincount(dvd.y).tolist() == [1000, 1000]
