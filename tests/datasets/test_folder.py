"""Folders of images as they come: levels, parts, what tools leave, sizes and channels."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from da_framework.core.errors import InputError
from da_framework.core.labels import UNLABELLED
from da_framework.datasets.augmentations import BatchRandom, Distortion
from da_framework.datasets.folder import Folder
from da_framework.datasets.images import crop_middle
from da_framework.training.audit_pool import own_picture
from tests.datasets.roles import TRANSDUCTIVE

ROLES: dict[str, Any] = {**TRANSDUCTIVE, "source": ["s"], "target": ["t"]}


def pictures(root: Path, places: Sequence[str], count: int = 2) -> Path:
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (12, 8), (number, 0, 0)).save(root / place / f"{number}.png")
    return root


def folder(root: Path, **keys: Any) -> Folder:
    given: dict[str, Any] = {"size": 8, "channels": 3, "on_error": "stop"} | ROLES | keys
    return Folder(root=str(root), **given)


LABELLED = ("s/cat", "s/dog", "t/cat", "t/dog")


def test_images_are_found_at_any_depth_of_a_class(tmp_path: Path) -> None:
    data = folder(pictures(tmp_path, ["s/cat/2019/may", "s/cat", "s/dog", "t/cat", "t/dog/a/b"]))
    assert data.classes == ("cat", "dog")
    assert data["s"].y.tolist() == [0] * 4 + [1] * 2
    assert data["t"].y.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "left", ["__MACOSX/s/cat", "s/.ipynb_checkpoints", "t/__MACOSX", "s/cat/.thumbs", ".git/x"]
)
def test_what_tools_leave_is_no_data(tmp_path: Path, left: str) -> None:
    pictures(tmp_path, [*LABELLED, left])
    (tmp_path / "s" / "cat" / "._0.png").write_bytes(b"Mac OS X")
    (tmp_path / "s" / "Thumbs.db").write_bytes(b"")
    (tmp_path / ".DS_Store").write_bytes(b"")
    data = folder(tmp_path)
    assert (data.names, data.classes) == (("s", "t"), ("cat", "dog"))
    assert len(data["s"].y) == len(data["t"].y) == 4


@pytest.mark.parametrize("places", [["t"], ["t/"], ["t", "t"]])
def test_a_target_without_folders_of_classes_is_not_labelled(
    tmp_path: Path, places: list[str]
) -> None:
    data = folder(pictures(tmp_path, ["s/cat", "s/dog", *places]))
    assert data.classes == ("cat", "dog")
    assert data["t"].y.tolist() == [UNLABELLED] * 2
    reports = [call(False) for call in data.inspections("t")]
    assert {(report.label, report.broken) for report in reports} == {(None, None)}


def test_an_image_beside_folders_of_classes_is_none_of_the_data(tmp_path: Path) -> None:
    data = folder(pictures(tmp_path, [*LABELLED, "s"]))
    assert len(data["s"].y) == 4
    assert [path.name for path in data.ignored("s")] == ["0.png", "1.png"]


@pytest.mark.parametrize("part", ["test", "Test", "testing"])
def test_a_domain_may_hold_its_official_parts(tmp_path: Path, part: str) -> None:
    places = [f"{d}/{p}/{c}" for d in "st" for p in ("train", part) for c in ("cat", "dog")]
    data = folder(pictures(tmp_path, places))
    assert data.classes == ("cat", "dog")
    for name in "st":
        test = data[name].test
        assert test is not None
        assert test.sum() == 4
        assert data[name].y[test].tolist() == [0, 0, 1, 1]


def test_a_target_without_classes_may_hold_parts_as_the_source_does(tmp_path: Path) -> None:
    places = ["s/train/cat", "s/train/dog", "s/test/cat", "s/test/dog", "t/train", "t/test"]
    data = folder(pictures(tmp_path, places))
    assert data["t"].y.tolist() == [UNLABELLED] * 4
    assert data["t"].test is not None
    assert data["t"].test.sum() == 2


def test_a_target_without_classes_may_hold_parts_though_the_source_has_none(tmp_path: Path) -> None:
    data = folder(pictures(tmp_path, ["s/cat", "s/dog", "t/train", "t/test"]))
    assert data.classes == ("cat", "dog")
    assert data["t"].y.tolist() == [UNLABELLED] * 4
    assert data["t"].test is not None


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    data = folder(pictures(tmp_path, ["s/train", "s/test", "t/train", "t/test"]))
    assert data.classes == ("test", "train")
    assert data["s"].test is None
    data = folder(pictures(tmp_path / "flat", ["s/train", "s/test", "t", "t/unlabelled"]))
    assert data.classes == ("test", "train")


def test_a_folder_that_every_domain_holds_alone_is_gone_through(tmp_path: Path) -> None:
    data = folder(pictures(tmp_path, [p.replace("/", "/images/") for p in LABELLED]))
    assert data.classes == ("cat", "dog")
    alone = folder(pictures(tmp_path / "other", ["s/cat/a", "s/cat/b", "t/dog/a", "t/dog/b"]))
    assert set(alone.classes) == {"cat", "dog"}


def test_one_level_too_many_or_too_few_says_the_way_out(tmp_path: Path) -> None:
    pictures(tmp_path, [f"my photos/{place}" for place in LABELLED])
    with pytest.raises(InputError, match=r"two are needed: .*one level further: .*my photos"):
        folder(tmp_path)
    inner = tmp_path / "my photos" / "s"
    with pytest.raises(InputError, match=r"in no folders of classes; .*dataset.source=\[s\]"):
        folder(inner, source=["cat"], target=["dog"])


def test_other_files_lead_to_the_data_set_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a,label\n1,x\n")
    with pytest.raises(InputError, match="dataset=table reads what is there"):
        folder(tmp_path)
    with pytest.raises(InputError, match=r"s\.csv is a file, .*dataset=table reads such"):
        folder(tmp_path / "s.csv")
    image = pictures(tmp_path, ["x"]) / "x" / "0.png"
    with pytest.raises(InputError, match=r"its folder is meant: dataset\.root="):
        folder(image)


@pytest.mark.parametrize("size", [[4, 6], [6, 4], [5, 5]])
def test_sizes_are_of_both_sides(tmp_path: Path, size: list[int]) -> None:
    assert folder(pictures(tmp_path, LABELLED), size=size)["s"].x.shape == (4, 3, *size)


def test_a_rectangle_shows_the_middle_unstretched(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[2:6, 4:12] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    shown = crop_middle(content, [8, 16], 3).transpose(1, 2, 0)
    np.testing.assert_array_equal(shown, pixels)
    square = crop_middle(content, 8, 3)
    np.testing.assert_array_equal(square, crop_middle(content, [8, 8], 3))


def test_transparency_is_a_fourth_channel_where_it_is_asked_for(tmp_path: Path) -> None:
    pictures(tmp_path, LABELLED)
    Image.new("RGBA", (8, 8), (9, 8, 7, 100)).save(tmp_path / "s" / "cat" / "0.png")
    x = folder(tmp_path, channels=4)["s"].x
    assert x.shape == (4, 4, 8, 8)
    assert x[0, :, 0, 0].tolist() == [9, 8, 7, 100]
    assert (x[1:, 3] == 255).all()
    assert folder(tmp_path)["s"].x.shape == (4, 3, 8, 8)


def deep_png(values: Any, kind: int) -> bytes:
    """A PNG of 16 bits a channel, of one of its kinds of colour."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in parts)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("kind", "shape"), [(0, ()), (2, (3,)), (4, (2,)), (6, (4,))])
def test_of_sixteen_bits_the_upper_eight_are_read(
    kind: int, shape: tuple[int, ...], channels: int
) -> None:
    values = np.full((4, 4, *shape), 256 * 100 + 255, np.uint16)
    x = crop_middle(deep_png(values, kind), 4, channels)
    assert x.shape == (channels, 4, 4)
    assert abs(int(x[0, 0, 0]) - 100) <= 1
    if channels == 4:
        assert abs(int(x[3, 0, 0]) - (100 if kind in (4, 6) else 255)) <= 1


def test_rectangles_with_transparency_are_learnt_and_predicted(da: Any) -> None:
    draws = np.random.default_rng(0)
    for place in ("s/dark", "s/light", "t/dark", "t/light", "new/.ipynb_checkpoints"):
        (da.folder / place).mkdir(parents=True)
        for number in range(12):
            shade = 150 if "light" in place else 20
            pixels = shade + draws.integers(0, 60, (20, 33, 4))
            Image.fromarray(pixels.astype(np.uint8)).save(da.folder / place / f"{number}.png")
    keys = ("dataset.size=[12,20]", "dataset.channels=4", "dataset.batch_size=8", "steps=10")
    ended = da(
        *("train", "dataset=folder", "dataset.root=.", "dataset.source=s", "dataset.target=t"),
        *(*keys, "feature_cache=null", "logger=[]", "callback=[]", "hydra.run.dir=run"),
    )
    assert ended.code == 0, ended.err
    assert da.record()["inputs"]["shape"] == [4, 12, 20]
    (da.folder / "s" / "dark" / "0.png").rename(da.folder / "new" / "one.png")
    ended = da("predict", "run=run", "dataset.root=new", "out=p.csv")
    assert ended.code == 0, ended.err
    lines = (da.folder / "p.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["file", "one.png"]


@pytest.mark.parametrize("shape", [(8, 8), (6, 12)])
def test_a_turn_of_a_rectangle_is_no_shear(shape: tuple[int, int]) -> None:
    import torch

    class Quarter(BatchRandom):
        """Draws a turn by a quarter and nothing else."""

        def __init__(self) -> None: ...

        def uniform(self, *shape: int) -> Any:
            return torch.ones(1, *shape) if not shape else torch.zeros(1, *shape)

    x = torch.full((1, 1, *shape), -1.0)
    high, wide = shape[0] // 2, shape[1] // 2
    x[:, :, high - 2 : high + 2, wide - 2 : wide + 2] = 1.0  # a square stays itself
    turned = Distortion(rotation=90.0, translation=0.0, scale=0.0, contrast=0.0, cutout=0.0)(
        x,
        Quarter(),
    )
    torch.testing.assert_close(turned, x, atol=1e-4, rtol=0)


def test_a_sample_is_called_by_its_own_file_though_others_are_left_out(tmp_path: Path) -> None:
    root = tmp_path
    for place, shade in (("s/cat", 10), ("s/dog", 20), ("t/cat", 110), ("t/dog", 210)):
        (root / place).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (shade + number,) * 3).save(root / place / f"{number}.png")
    for broken in ("t/cat/0.png", "t/cat/2.png", "t/dog/0.png"):
        (root / broken).write_bytes(b"no picture")
    data = folder(root, on_error="skip")
    picture = own_picture(data, [("t", row) for row in range(3)])
    called = [Path(data.sample_name("t", row)) for row in range(3)]
    assert [path.relative_to(root / "t").as_posix() for path in called] == [
        "cat/1.png",
        "dog/1.png",
        "dog/2.png",
    ]
    for row, path in enumerate(called):
        assert data.classes[data["t"].y[row]] == path.parent.name
        shade = np.asarray(Image.open(path))[0, 0, 0]
        assert (data["t"].x[row] == shade).all()
        assert (np.asarray(picture(row)) == shade).all()
    # what is inspected, or labelled, are all files of the domain
    assert len(data.inspections("t")) == 6
    assert Path(data.place_name("t", 0)).name == "0.png"
