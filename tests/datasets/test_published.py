"""Office-Caltech10 and Amazon Reviews, from their real files where these are at hand."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from da_framework.datasets.amazon_reviews import AmazonReviews
from da_framework.datasets.office_caltech10 import OfficeCaltech10
from da_framework.errors import InputError

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


def reviews(counts: str = "raw", data_dir: str = DATA) -> AmazonReviews:
    keys: dict[str, Any] = {"counts": counts, "data_dir": data_dir}
    return AmazonReviews(**keys, **(ROLES | {"source": ["books"]}))


def needs(data: Any) -> None:
    if not data.files(data.names[-1])[0].is_file():
        pytest.skip(f"DA_DATA has no {data.folder}")


def test_surf_gives_the_published_nearest_neighbours() -> None:
    data = office("surf", "zscore")
    needs(data)
    # Long et al., ICCV 2013, table 2, column 1-NN
    published = {("caltech10", "amazon"): 23.70, ("amazon", "webcam"): 29.83}
    published |= {("webcam", "dslr"): 59.24, ("dslr", "caltech10"): 26.27}
    for (source, target), expected in published.items():
        judge = KNeighborsClassifier(1).fit(data[source].x, data[source].y)
        found = 100 * judge.score(data[target].x, data[target].y)
        assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("features", "width", "rows"),
    [("surf", 800, 958), ("googlenet", 1024, 958), ("mobilenet_v2", 1280, 958)],
)
def test_features_have_their_shape_and_norm(features: str, width: int, rows: int) -> None:
    data = office(features)
    needs(data)
    own = data["amazon"]
    assert own.x.shape == (rows, width)
    np.testing.assert_allclose(np.linalg.norm(own.x, axis=1), width**0.5, rtol=1e-3)
    assert np.bincount(own.y).tolist() == [92, 82, 94, 99, 100, 100, 99, 100, 94, 98]


def test_a_domain_that_a_feature_set_has_not_is_said() -> None:
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


def test_reviews_are_the_published_counts() -> None:
    data = reviews()
    needs(data)
    own = data["electronics"]
    assert own.x.shape == (2000 + 5681, 5000)
    assert own.test is not None
    assert own.test.sum() == 5681
    assert np.bincount(own.y[~own.test]).tolist() == [1000, 1000]
    assert own.x.max() > 1
    assert set(np.unique(reviews("binary")["dvd"].x)) == {0, 1}
    np.testing.assert_allclose(reviews("log")["electronics"].x, np.log1p(own.x))


@pytest.mark.parametrize(
    "make", [lambda at: office("surf", data_dir=at), lambda at: reviews(data_dir=at)]
)
def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path, make: Any) -> None:
    data = make(str(tmp_path))
    name = data.names[0]
    with pytest.raises(InputError, match="is not there; put it in place") as missing:
        data.fingerprint(name)
    file = data.files(name)[0]
    origin = data.origins[file.name]
    for part in (str(file), str(origin.size), origin.sha256, "https://", "DA_DATA"):
        assert part in str(missing.value) or file.name == "mobilenet_v2_1280.npz"
    file.parent.mkdir()
    file.write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged or another file"):
        data[name]
