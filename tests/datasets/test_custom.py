"""A user's own data: folders of images, arrays, tables."""

from collections.abc import Callable, Mapping
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from da_framework.core.errors import InputError
from da_framework.datasets.arrays import Arrays
from da_framework.datasets.base import Dataset
from da_framework.datasets.folder import Folder
from da_framework.datasets.table import Table
from tests.datasets.roles import TRANSDUCTIVE, own_keys

KEYS, ARRAYS = own_keys("table"), own_keys("arrays")
ROLES: dict[str, Any] = {
    "source": ["studio"],
    **TRANSDUCTIVE,
}
COLOURS = {"cup": (200, 0, 0), "pen": (0, 200, 0), "hat": (0, 0, 200)}


def photos(root: Path, name: str, classes: Mapping[str, int]) -> None:
    for kind, count in classes.items():
        for number in range(count):
            path = root / name / kind / f"{number} é.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20 + number, 12), COLOURS[kind]).save(path)


def folder(root: Path, **keys: Any) -> Folder:
    given: dict[str, Any] = {"size": 8, "channels": 3, "on_error": "stop"} | ROLES | keys
    return Folder(root=str(root), **given)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    photos(tmp_path, "studio", {"cup": 3, "pen": 4})
    photos(tmp_path, "phone", {"cup": 5, "pen": 2})
    return tmp_path


def test_a_folder_is_a_domain_and_in_it_a_folder_a_class(shop: Path) -> None:
    data = folder(shop)
    assert (data.source, data.target, data.known) == (("studio",), ("phone",), ("cup", "pen"))
    studio = data["studio"]
    assert studio.x.shape == (7, 3, 8, 8)
    assert studio.x.dtype == np.uint8
    assert studio.y.tolist() == [0, 0, 0, 1, 1, 1, 1]
    for row, label in zip(studio.x, studio.y, strict=True):
        assert tuple(row[:, 4, 4]) == COLOURS[data.classes[label]]
    assert folder(shop, channels=1)["studio"].x.shape == (7, 1, 8, 8)


def test_what_only_the_target_has_is_unknown_and_what_it_lacks_is_partial(shop: Path) -> None:
    photos(shop, "phone", {"hat": 2})
    photos(shop, "web", {"pen": 3})
    data = folder(shop, target=["phone"])
    assert (data.known, data.unknown) == (("cup", "pen"), ("hat",))
    assert sorted(data.task_labels(data["phone"].y)) == [0] * 5 + [1] * 2 + [2] * 2
    partial = folder(shop, target=["web"])
    assert (partial.known, partial.unknown) == (("cup", "pen"), ())
    assert set(partial["web"].y) == {1}
    free = folder(shop, source=[], target=["phone"])
    assert free.known == ("cup", "hat", "pen")


def test_images_are_upright_and_of_every_kind(shop: Path) -> None:
    turned = shop / "studio" / "cup" / "turned.jpg"
    half = np.zeros((10, 20, 3), np.uint8)
    half[:, 10:] = 255
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright: to be turned by 90 degrees
    Image.fromarray(half).save(turned, exif=exif, quality=95)
    Image.fromarray(np.full((9, 9), 65535, np.uint16)).save(shop / "studio" / "pen" / "deep.png")
    Image.new("CMYK", (9, 9), (0, 0, 0, 255)).save(shop / "studio" / "pen" / "print.jpg")
    data = folder(shop)
    rows = dict(zip([f.name for f in data.files("studio")], data["studio"].x, strict=True))
    assert rows["turned.jpg"][0, 0].max() < 80
    assert rows["turned.jpg"][0, -1].min() > 170
    assert rows["deep.png"].min() == 255
    assert rows["print.jpg"].max() < 20


def test_images_that_cannot_be_read_are_named_or_left_out(shop: Path) -> None:
    whole = (shop / "studio" / "cup" / "0 é.png").read_bytes()
    (shop / "studio" / "cup" / "torn.png").write_bytes(whole[:40])
    (shop / "studio" / "pen" / "empty.jpg").touch()
    with pytest.raises(InputError, match="2 images cannot be read") as error:
        folder(shop)["studio"]
    assert "torn.png" in str(error.value)
    assert "empty.jpg" in str(error.value)
    assert len(folder(shop, on_error="skip")["studio"].y) == 7
    for path in (shop / "studio").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="none of the 9 images"):
        folder(shop, on_error="skip")["studio"]


def numbers(rows: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, 3))


def array_files(root: Path) -> Dataset:
    np.savez(root / "studio.npz", x=numbers(4, 0), y=np.array(["b", "a", "b", "a"]))
    parts = {"x_train": numbers(3, 1), "y_train": np.array(["a", "a", "b"])}
    np.savez(root / "phone.npz", **parts, x_test=numbers(2, 2), y_test=np.array(["b", "a"]))
    return Arrays(root=str(root), **ARRAYS, **ROLES)


def test_a_file_of_arrays_is_a_domain(tmp_path: Path) -> None:
    data = array_files(tmp_path)
    assert data.classes == ("a", "b")
    assert data["studio"].y.tolist() == [1, 0, 1, 0]
    assert data["studio"].x.dtype == np.float32
    phone = data["phone"]
    assert phone.y.tolist() == [0, 0, 1, 1, 0]
    assert phone.test is not None
    assert phone.test.tolist() == [False] * 3 + [True] * 2
    np.testing.assert_allclose(phone.x[:3], numbers(3, 1), rtol=1e-6)


def test_labels_that_are_numbers_are_in_their_own_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "studio.npz", x=numbers(3, 0), y=np.array([10, 9, 2]))
    np.savez(tmp_path / "phone.npz", x=numbers(2, 1), y=np.array([2, 10]))
    data = Arrays(root=str(tmp_path), **ARRAYS, **ROLES)
    assert data.classes == ("2", "9", "10")
    assert data["studio"].y.tolist() == [2, 1, 0]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_large_arrays_are_mapped_and_take_the_shape_that_is_said(
    tmp_path: Path, dtype: str
) -> None:
    x = np.arange(60).reshape(5, 12).astype(dtype)
    for name in ("studio", "phone"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", x)
        np.save(tmp_path / name / "y.npy", np.array(["a", "b", "a", "b", "a"]))
    np.save(tmp_path / "phone" / "test.npy", np.arange(5) > 2)
    data = Arrays(root=str(tmp_path), **(ARRAYS | {"shape": [3, 4]}), **ROLES)
    phone = data["phone"]
    np.testing.assert_array_equal(phone.x, x.reshape(5, 3, 4))
    assert phone.y.tolist() == [0, 1, 0, 1, 0]
    assert phone.test is not None
    assert phone.test.sum() == 2
    base: Any = phone.x
    while getattr(base, "base", None) is not None and not isinstance(base, mmap):
        base = base.base
    assert isinstance(base, mmap) == (dtype != "float64")
    with pytest.raises(InputError, match=r"shape=\[5\] is of 5 numbers, the samples of .* of 12"):
        Arrays(root=str(tmp_path), **(ARRAYS | {"shape": [5]}), **ROLES)["studio"]
    np.savez(tmp_path / "phone.npz", x=x, y=x[:, 0])
    with pytest.raises(InputError, match=r"holds phone as \.npz and as a folder"):
        Arrays(root=str(tmp_path), **ARRAYS, **ROLES)


def frame(name: str, rows: int, seed: int) -> pd.DataFrame:
    features = pd.DataFrame(5 + 3 * numbers(rows, seed), columns=["a", "b", "c"])
    return features.assign(label=["yes", "no"] * (rows // 2), domain=name)


@pytest.mark.parametrize("kind", ["one file", "a file a domain"])
def test_a_table_has_a_row_a_sample(tmp_path: Path, kind: str) -> None:
    frames = {"studio": frame("studio", 6, 0), "phone": frame("phone", 4, 1)}
    root = tmp_path / "all.csv"
    if kind == "one file":
        pd.concat(frames.values()).to_csv(root, index=False)
    else:
        root = tmp_path
        for name, rows in frames.items():
            rows.to_csv(root / f"{name}.csv", index=False)
    keys = KEYS | {"drop": ["c"]}
    plain = Table(root=str(root), **(keys | {"scale": "none"}), **ROLES)
    assert plain["phone"].y.tolist() == [1, 0, 1, 0]
    expected = frames["phone"][["a", "b"]].to_numpy()
    np.testing.assert_allclose(plain["phone"].x, expected, rtol=1e-6)
    data = Table(root=str(root), **keys, **ROLES)
    studio = frames["studio"][["a", "b"]].to_numpy()
    np.testing.assert_allclose(data["studio"].x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(data["studio"].x.std(0), 1, rtol=1e-5)
    scaled = (expected - studio.mean(0)) / studio.std(0)
    np.testing.assert_allclose(data["phone"].x, scaled, rtol=1e-4, atol=1e-6)


def test_files_of_arrays_may_differ_in_columns(tmp_path: Path) -> None:
    array_files(tmp_path)
    np.savez(tmp_path / "phone.npz", x=np.ones((2, 5)), y=np.array(["b", "a"]))
    data = Arrays(root=str(tmp_path), **ARRAYS, **ROLES)
    assert (data["studio"].x.shape, data["phone"].x.shape) == ((4, 3), (2, 5))


def test_a_table_of_other_columns_is_standardized_by_its_own_rows(tmp_path: Path) -> None:
    for seed, name in enumerate(("studio", "shop", "phone", "web")):
        rows = frame(name, 6, seed)
        rows = rows if name in ("studio", "phone") else rows.assign(d=np.arange(6.0))
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
    data = table(tmp_path, target=["phone", "shop", "web"], columns="own")
    x = {name: data[name].x for name in data.names}
    assert {name: own.shape[1] for name, own in x.items()} == {
        **{"studio": 3, "phone": 3},
        **{"shop": 4, "web": 4},
    }
    wide = np.concatenate([x["shop"], x["web"]])
    for known in (x["studio"], wide):
        np.testing.assert_allclose(known.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(known.std(0), 1, rtol=1e-5)
    alone = Table(root=str(tmp_path), **(KEYS | ROLES | {"target": ["phone"]}))  # as ever
    np.testing.assert_array_equal(alone["phone"].x, x["phone"])


def table(root: Path, **keys: Any) -> Table:
    return Table(root=str(root), **(KEYS | ROLES | keys))


def wordy(root: Path, **keys: Any) -> None:
    pd.concat([frame(n, 4, 0).assign(note="x") for n in ("studio", "phone")]).to_csv(root / "t.csv")
    table(root / "t.csv", **keys)["studio"]


def another_domain(root: Path) -> None:
    array_files(root)
    Arrays(root=str(root), **ARRAYS, **(ROLES | {"source": ["x"]}))


def other_arrays(root: Path, **held: Any) -> None:
    array_files(root)
    np.savez(root / "studio.npz", **held)
    arrays(root)


def damaged(root: Path) -> None:
    array_files(root)
    (root / "studio.npz").write_bytes(b"PK")
    arrays(root)


def another_file(root: Path) -> None:
    (root / "a.txt").touch()
    table(root / "a.txt")


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing there": (lambda root: folder(root / "no"), "is not there"),
    "no domains": (lambda root: folder(root), "holds the domains none"),
    "another domain": (another_domain, "the domains are phone, studio"),
    "other arrays": (
        lambda root: other_arrays(root, z=np.ones(1)),
        "studio.npz holds z; needed are x and y",
    ),
    "no numbers": (
        lambda root: other_arrays(root, x=np.array(["a"]), y=np.zeros(1)),
        "one label a sample",
    ),
    "damaged arrays": (damaged, "studio.npz is damaged"),
    "words": (wordy, "note is texts, 1 different"),
    "no label": (lambda root: wordy(root, label="y"), "has no column 'y'"),
    "another file": (another_file, "are read"),
}


def arrays(root: Path) -> Any:
    return Arrays(root=str(root), **ARRAYS, **ROLES)


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_said(tmp_path: Path, case: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        make(tmp_path)


def test_own_images_train_from_two_arguments(da: Any, shop: Path) -> None:
    for name in ("studio", "phone"):
        photos(shop, name, {"cup": 12, "pen": 12})
    ended = da(
        "train",
        "dataset=folder",
        f"dataset.root={shop}",
        "dataset.source=[studio]",
        "dataset.size=16",
        "steps=10",
        "logger=[]",
        "callback=[]",
        "hydra.run.dir=run",
    )
    assert ended.code == 0, ended
    record = da.record()
    assert record["classes"] == ["cup", "pen"]
    assert record["domains"] == {"source": ["studio"], "target": ["phone"]}
