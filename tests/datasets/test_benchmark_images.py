"""Benchmarks of images: every YAML's loader, on a small generated twin of its files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from da_framework.config.plugins import conf_dir
from da_framework.config.schema import instantiate
from da_framework.core.errors import InputError
from da_framework.datasets.adatime import AdaTime
from da_framework.datasets.benchmark import Benchmark
from da_framework.training.build import compose

BENCHMARKS = [
    file.stem
    for file in sorted((conf_dir() / "dataset").glob("*.yaml"))
    if "datasets.benchmark.Benchmark" in file.read_text()
]
SIZES = {"office31": 31, "office_home": 65, "visda2017": 12, "domainnet": 345, "pacs": 7, "vlcs": 5}


def node(name: str, folder: Path, **keys: Any) -> dict[str, Any]:
    """The dataset of a YAML, with room for a few images."""
    config: dict[str, Any] = compose(f"dataset={name}", f"data_dir={folder}", "dataset.size=8")
    return {**config["dataset"], **keys}


def twin(name: str, folder: Path, each: int = 2) -> dict[str, Any]:
    """Writes an image of a colour for each of the first and last classes, as published."""
    keys = node(name, folder)
    root = folder / keys["folder"]
    classes = [keys["classes"][0], keys["classes"][-1]]
    for place in keys["places"].values():
        lines: dict[str, list[str]] = {part: [] for part in place.get("lists", {})}
        for kind in classes:
            for number in range(each):
                path = root / place["path"] / kind / f"{kind}_{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                level = 255 * classes.index(kind)
                Image.new("RGB", (12, 9), (level, number, 0)).save(path)
                part = "test" if number and "test" in lines else "train"
                # paths are from the data set's folder, or from the domain's
                start = root if name == "domainnet" else root / place["path"]
                where = path.relative_to(start).as_posix()
                if lines:
                    lines[part].append(f"{where} {keys['classes'].index(kind)}")
        for part, file in place.get("lists", {}).items():
            (root / file).write_text("\n".join(lines[part]) + "\n")
    few = {domain: {**place, "images": 2 * each} for domain, place in keys["places"].items()}
    return {**keys, "places": few}


def test_every_benchmark_is_here() -> None:
    assert set(BENCHMARKS) == SIZES.keys()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_read_as_it_is_published(name: str, tmp_path: Path) -> None:
    data: Benchmark = instantiate(twin(name, tmp_path))
    assert len(data.classes) == len(set(data.classes)) == SIZES[name]
    data.split_roles()
    official = name == "domainnet"
    for domain_name in data.names:
        domain = data[domain_name]
        assert domain.x.shape == (4, 3, 8, 8)
        for row, label in zip(domain.x, domain.y, strict=True):
            assert label == (SIZES[name] - 1 if row[0].mean() > 128 else 0)
        assert (domain.test is not None) == official
        if domain.test is not None:
            assert domain.test.sum() == 2
        assert len(data.fingerprint(domain_name)) == 16


@pytest.mark.parametrize("name", [*BENCHMARKS, "uci_har"])
def test_what_is_missing_is_said_in_one_message(name: str, tmp_path: Path) -> None:
    keys = node(name, tmp_path) if name in BENCHMARKS else ucihar(tmp_path)
    data = instantiate(keys)
    with pytest.raises(InputError) as error:
        data.fingerprint(data.target[0])
    message = str(error.value)
    place = tmp_path / keys["folder"]
    for part in (f"{place} lacks:", keys["origin"]["address"], "by hand: ", f"{place}/", "DA_DATA"):
        assert part in message
    for domain, place_ in keys.get("places", {}).items():
        assert f"{domain} ({place_['images']})" in message
    if keys["origin"]["files"]:
        assert "dataset.download=true" in message
        assert "http://csr.bu.edu/ftp/" in message
    assert f"{len(data.classes)} classes" in message


def test_another_number_of_images_is_said_and_may_be_meant(tmp_path: Path) -> None:
    keys = twin("pacs", tmp_path)
    next((tmp_path / "pacs" / "photo" / "dog").iterdir()).unlink()
    with pytest.raises(InputError, match=r"has 3 images, the published photo 4") as error:
        instantiate(keys).fingerprint("photo")
    assert "dataset.places.photo.images=3" in str(error.value)
    keys["places"]["photo"]["images"] = 3
    assert len(instantiate(keys)["photo"].y) == 3


def test_a_strange_class_and_a_list_of_nothing_are_said(tmp_path: Path) -> None:
    keys = twin("pacs", tmp_path)
    (tmp_path / "pacs" / "photo" / "dog").rename(tmp_path / "pacs" / "photo" / "wolf")
    with pytest.raises(InputError, match="has the classes wolf, which are none of dog"):
        instantiate(keys).fingerprint("photo")
    keys = twin("visda2017", tmp_path)
    next((tmp_path / "visda2017" / "train" / "truck").iterdir()).unlink()
    with pytest.raises(InputError, match="1 lines of the lists of synthetic"):
        instantiate(keys).fingerprint("synthetic")


def test_a_list_s_number_is_the_class_where_the_folder_is_none(tmp_path: Path) -> None:
    keys = twin("visda2017", tmp_path)
    root = tmp_path / "visda2017" / "validation"
    (root / "truck").rename(root / "trunk00")
    listing = root / "image_list.txt"
    listing.write_text(listing.read_text().replace("truck/", "trunk00/"))
    assert sorted(instantiate(keys)["real"].y) == [0, 0, 11, 11]


def test_a_benchmark_is_fetched_where_that_is_possible(tmp_path: Path) -> None:
    keys = twin("domainnet", tmp_path / "published")
    place = tmp_path / "published" / "domainnet"
    for domain in ("clipart", "sketch"):
        import shutil

        shutil.make_archive(str(place / domain), "zip", place, domain)
    for domain, files in keys["origin"]["files"].items():
        for remote in files:
            remote["urls"] = [(place / remote["name"]).as_uri()]
            remote.update(size=None, hash=None)
        assert files[0]["gives"] == domain
    keys |= {"data_dir": str(tmp_path / "new"), "download": True}
    data: Benchmark = instantiate(keys)
    assert len(data["clipart"].y) == len(data["sketch"].y) == 4
    there = {path.name for path in (tmp_path / "new" / "domainnet").iterdir()}
    assert {"clipart", "sketch", "sketch_test.txt"} <= there
    assert not {"real", "quickdraw"} & there  # of no use now


def test_a_file_in_another_class_is_other_data(tmp_path: Path) -> None:
    keys = twin("vlcs", tmp_path)
    before = instantiate(keys).fingerprint("sun09")
    root = tmp_path / "vlcs" / "SUN09"
    (root / "bird" / "bird_1.jpg").rename(root / "person" / "bird_1.jpg")
    assert instantiate(keys).fingerprint("sun09") != before


def ucihar(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = compose("dataset=uci_har", f"data_dir={folder}")
    return dict(config["dataset"])


@pytest.mark.parametrize("kind", ["tensors", "arrays", "channels last"])
def test_series_are_read_as_adatime_publishes_them(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "uci_har"
    folder.mkdir()
    x = {}
    for seed, name in enumerate(("2", "11")):
        for part, n in (("train", 12), ("test", 5)):
            series = torch.randn(n, 9, 128, generator=torch.manual_seed(seed)).double() * 3 + 1
            x[name, part] = series
            kept: Any = series.transpose(1, 2) if kind == "channels last" else series
            labels: Any = torch.arange(n) % 6
            if kind == "arrays":
                kept, labels = kept.numpy(), labels.float().numpy()
            torch.save({"samples": kept, "labels": labels}, folder / f"{part}_{name}.pt")
    data: AdaTime = instantiate(ucihar(tmp_path))
    domain = data["11"]
    assert domain.x.shape == (17, 9, 128)
    assert domain.x.dtype == np.float32
    assert domain.y.tolist() == [*(n % 6 for n in range(12)), *range(5)]
    assert domain.test is not None
    assert domain.test.tolist() == [False] * 12 + [True] * 5
    np.testing.assert_allclose(domain.x[:12].mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(domain.x[:12].std((0, 2)), 1, rtol=1e-5)
    plain = instantiate(ucihar(tmp_path) | {"normalize": False})
    np.testing.assert_allclose(plain["2"].x[12:], x["2", "test"], rtol=1e-6)


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("run",))


@pytest.mark.parametrize("what", ["shape", "code", "nothing"])
def test_series_that_cannot_be_used_are_said(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "uci_har"
    folder.mkdir()
    held: dict[str, Any] = {
        "shape": {"samples": torch.zeros(2, 3, 128), "labels": torch.zeros(2)},
        "code": {"samples": Harm(), "labels": torch.zeros(2)},
        "nothing": {},
    }
    for name in ("2", "11"):
        for part in ("train", "test"):
            torch.save(held[what], folder / f"{part}_{name}.pt")
    with pytest.raises(InputError, match=r"train_11\.pt (holds windows|cannot be read)"):
        instantiate(ucihar(tmp_path))["11"]
    assert "run" not in capsys.readouterr().out
