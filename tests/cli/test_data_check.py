"""``da data check``: a folder of everything that can be wrong with images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROTATED = 6


def mixed(root: Path, plain: int) -> dict[str, str]:
    """Writes a folder of two domains; says what must be found broken, and why."""
    noise = np.random.default_rng(0)
    for number in range(plain):
        place = root / ("studio", "phone é")[number % 2] / ("a cup", "pën")[number // 2 % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 255, (20 + number % 7, 30, 3), np.uint8)
        ending = ("png", "jpg", "bmp")[number % 3]
        Image.fromarray(pixels).save(place / f"photo {number} ü.{ending}")
    cup, pen = root / "studio" / "a cup", root / "phone é" / "pën"
    photo = Image.fromarray(noise.integers(0, 255, (64, 48, 3), np.uint8))
    photo.save(cup / "whole.jpg", quality=95)
    whole = (cup / "whole.jpg").read_bytes()
    (cup / "torn é.jpg").write_bytes(whole[: len(whole) // 2])
    (pen / "nothing.png").touch()
    (pen / "words.jpg").write_text("this is no image")
    deep = noise.integers(0, 65535, (9, 9), np.uint16)
    Image.fromarray(deep).save(cup / "deep.png")
    Image.new("CMYK", (9, 9), (0, 200, 0, 0)).save(pen / "print.jpg")
    exif = Image.Exif()
    exif[274] = ROTATED
    photo.save(pen / "turned.jpg", exif=exif, quality=90)
    (root / "studio" / "a cup" / "notes.txt").write_text("mine")
    (pen / "copy.jpg").write_bytes(whole)
    (root / "studio" / "pën" / "again.jpg").write_bytes(whole)
    return {"torn é.jpg": "truncated", "nothing.png": "empty", "words.jpg": "not an image"}


def check(da: Any, root: Path, *more: str) -> Any:
    return da("data", "check", "dataset=folder", f"dataset.root='{root}'", *more)


def held_against(da: Any, root: Path, plain: int) -> None:
    broken = mixed(root, plain)
    ended = check(da, root)
    assert ended.code == 1, ended
    assert ended.err == "some of it is broken\n"
    blocks = ended.out.split("broken: ")[1].splitlines()
    assert blocks[0] == "3"
    for name, why in broken.items():
        assert any(name in line and why in line for line in blocks), name
    noted = ended.out.split("though unusual: ")[1].splitlines()
    assert noted[0] == "3"
    for name, why in {"deep": "16 bits", "print": "CMYK", "turned": "turned upright"}.items():
        assert any(f"{name}." in line and why in line for line in noted), name
    assert "in several domains (leakage): 1" in ended.out
    assert "again.jpg" in ended.out.split("(leakage): 1")[1].splitlines()[1]
    assert "not read, as they are no images of a class: 1" in ended.out
    report = json.loads((da.folder / "data_check" / "report.json").read_text())
    studio = report["domains"]["studio"]
    assert studio["rows"] == plain // 2 + 4
    assert list(studio["broken"]) == [str(root / "studio" / "a cup" / "torn é.jpg")]
    assert sum(studio["classes"].values()) == studio["rows"] - 1
    assert [len(group) for group in report["copies"]] == [3]
    assert studio["sizes"][0][0] == 9
    assert studio["sizes"][0][2] == 64
    for name in ("studio", "phone é"):
        with Image.open(da.folder / "data_check" / f"{name}.png") as sheet:
            assert min(sheet.size) > 300


def test_a_folder_of_mixed_images_is_read_and_each_problem_named(da: Any) -> None:
    held_against(da, da.folder / "my images", 60)


@pytest.mark.slow
def test_a_large_folder_of_mixed_images(da: Any) -> None:
    held_against(da, da.folder / "my images", 2000)


def train(da: Any, root: Path, *more: str) -> Any:
    where = [f"dataset.root='{root}'", "dataset.source=[studio]", "dataset.size=16"]
    return da.train("dataset=folder", *where, "steps=4", *more)


def test_training_stops_with_the_list_or_works_on_the_rest(da: Any) -> None:
    root = da.folder / "my images"
    broken = mixed(root, 60)
    ended = train(da, root)
    assert ended.code == 2
    assert "3 images cannot be read" in ended.err
    for name, why in broken.items():
        assert any(name in line and why in line for line in ended.err.splitlines())
    ended = train(da, root, "dataset.on_error=skip")
    assert ended.code == 0, ended
    assert "studio: 1 images cannot be read and are left out" in ended.out + ended.err
    record = da.record()
    assert {name: len(lines) for name, lines in record["skipped"].items()} == {
        "studio": 1,
        "phone é": 2,
    }
    assert "torn é.jpg" in record["skipped"]["studio"][0]
    assert record["rows"]["target"] == 35 - 2


def test_a_folder_in_order_is_told_so(da: Any) -> None:
    for name in ("studio", "phone"):
        for kind in ("cup", "pen"):
            (da.folder / "own" / name / kind).mkdir(parents=True)
            colour = (len(name), len(kind), ord(kind[0]))
            Image.new("RGB", (9, 9), colour).save(da.folder / "own" / name / kind / "a.png")
    ended = check(da, da.folder / "own", "out=found")
    assert (ended.code, ended.err) == (0, "")
    assert "broken: none" in ended.out
    assert "classes: 2, of 1 each" in ended.out
    assert "leakage" not in ended.out
    assert (da.folder / "found" / "phone.png").is_file()


def test_what_an_earlier_check_wrote_stays(da: Any) -> None:
    (da.folder / "d").mkdir()
    np.savez(da.folder / "d" / "zero.npz", x=np.eye(4), y=np.arange(4) % 2)
    for name in ("one", "two", "three"):
        np.savez(da.folder / "d" / f"{name}.npz", x=np.eye(4), y=np.arange(4) % 2)
        ended = da("data", "check", "dataset=arrays", "dataset.root=d")
        assert ended.code == 0, ended
        assert Path(ended.out.splitlines()[-1].removeprefix("all of it: ")).is_file()
    folders = ("data_check", "data_check-2", "data_check-3")
    reports = [json.loads((da.folder / own / "report.json").read_text()) for own in folders]
    assert [len(report["domains"]) for report in reports] == [2, 3, 4]


def test_every_data_set_is_checked(da: Any) -> None:
    ended = da("data", "check")
    assert (ended.code, ended.err) == (0, "")
    assert "mnist: 2000 rows" in ended.out
    assert "classes: 10, from 126 (5) to 352 (0)" in ended.out
    assert (da.folder / "data_check" / "usps.png").is_file()


def test_arrays_have_their_rows_named(da: Any) -> None:
    x = np.random.default_rng(0).normal(size=(12, 4))
    x[3, 1] = np.nan
    parts: Any = {"x_train": x[:6], "y_train": np.arange(6) % 2, "y_test": np.arange(6) % 2}
    np.savez(da.folder / "one.npz", **parts, x_test=np.concatenate([x[:1], x[7:]]))
    np.savez(da.folder / "two.npz", x=x[8:], y=np.zeros(4, np.int64))
    ended = da("data", "check", "dataset=arrays", "dataset.root=.")
    assert ended.code == 1
    assert "row 3: it has values that are NaN" in ended.out
    assert "in several domains (leakage): 4" in ended.out
    assert "the training and the test part (leakage): 1" in ended.out
    assert "one: row 0 = one: row 6" in ended.out
    assert not list((da.folder / "data_check").glob("*.png"))


def test_what_is_not_there_is_said(da: Any) -> None:
    ended = da("data", "check", "dataset=pacs", "data_dir=nowhere")
    assert ended.code == 2
    for part in ("nowhere/pacs lacks:", "photo (1670)", "sketchx.eecs.qmul.ac.uk"):
        assert part in ended.err
    assert not list(da.folder.iterdir())
    wrong = da("data", "check", "dataset=folder", "dataset.roots=x")
    assert (wrong.code, "did you mean dataset.root?" in wrong.err) == (2, True)
    assert "'data' is no command" in da("data").err
