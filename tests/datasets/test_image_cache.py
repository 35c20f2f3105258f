"""Images that do not fit in memory: decoded once into a file, read by rows, to the same bits."""

import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from da_framework.cli.evaluate import evaluate
from da_framework.core.batch import Batch
from da_framework.core.errors import InputError
from da_framework.core.room import memory_limit
from da_framework.datasets import image_cache, images
from da_framework.datasets.base import Array, Dataset
from da_framework.datasets.datamodule import Domains
from da_framework.datasets.folder import Folder
from da_framework.datasets.image_cache import (
    DecodedImages,
    decode_in_memory,
    decode_to_disk,
)
from da_framework.datasets.memmap import MappedSamples
from da_framework.training.module import Adaptation

SHAPE = (3, 4, 4)
SMALL = (
    *("dataset=folder", "dataset.root=photos", "dataset.source=[studio,outdoors]"),
    *("dataset.size=8", "network=convnet", "network.bottleneck=[8]"),
    "dataset.batch_size={source: 8, target: 6}",
)


class Decoder:
    """Makes images of noise, but for those that are broken.

    Attributes:
        asked: the numbers it was asked for.
    """

    def __init__(self, broken: Sequence[int] = (), ends_at: int | None = None) -> None:
        self.broken = broken
        self.ends_at = ends_at
        self.asked: list[int] = []

    def __call__(self, number: int) -> Array | str:
        if number == self.ends_at:
            raise KeyboardInterrupt
        self.asked.append(number)
        if number in self.broken:
            return f"{number} is broken"
        draws = np.random.default_rng(number)
        return draws.integers(0, 256, SHAPE, np.uint8)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images at a time."""
    monkeypatch.setattr(image_cache, "DECODED_BYTES", 2 * 48)


def same(images: DecodedImages, others: DecodedImages) -> None:
    np.testing.assert_array_equal(images.x, others.x)
    assert images.broken == others.broken


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("broken", [(), (0, 4), (6,), range(7)])
def test_both_forms_hold_the_same(tmp_path: Path, broken: Sequence[int]) -> None:
    expected = decode_in_memory(Decoder(broken), 7, SHAPE)
    assert list(expected.broken) == list(broken)
    assert len(expected.x) == 7 - len(broken)
    same(decode_to_disk(Decoder(broken), 7, SHAPE, tmp_path), expected)
    again = Decoder(broken)
    same(decode_to_disk(again, 7, SHAPE, tmp_path), expected)
    assert not again.asked  # the second epoch costs no decoding


@pytest.mark.usefixtures("two")
def test_whatever_ends_it_the_next_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        decode_to_disk(Decoder([1], ends_at=5), 7, SHAPE, tmp_path)
    with (tmp_path / image_cache.IMAGES_FILE).open("ab") as file:
        file.write(b"half a row")  # written, and not yet done
    rest = Decoder([1])
    same(decode_to_disk(rest, 7, SHAPE, tmp_path), decode_in_memory(Decoder([1]), 7, SHAPE))
    assert sorted(rest.asked) == [4, 5, 6]


@pytest.mark.usefixtures("two")
def test_a_file_that_was_cut_is_made_anew(tmp_path: Path) -> None:
    first = decode_to_disk(Decoder(), 5, SHAPE, tmp_path)
    expected = np.array(first.x)
    (tmp_path / image_cache.IMAGES_FILE).write_bytes(b"")
    again = Decoder()
    np.testing.assert_array_equal(decode_to_disk(again, 5, SHAPE, tmp_path).x, expected)
    assert len(again.asked) == 5


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("place", "asked"), [(0, range(9)), (95, range(9)), (96, range(2, 9))])
def test_what_has_changed_since_is_decoded_anew(
    tmp_path: Path, place: int, asked: Sequence[int], caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.array(decode_to_disk(Decoder([3]), 9, SHAPE, tmp_path).x)
    file = tmp_path / image_cache.IMAGES_FILE
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    again = Decoder([3])
    decoded = decode_to_disk(again, 9, SHAPE, tmp_path)
    np.testing.assert_array_equal(decoded.x, expected)
    assert list(decoded.broken) == [3]
    assert sorted(again.asked) == list(asked)
    assert f"is damaged: {len(asked)} images are decoded anew" in caplog.text


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"done": 5, "broken": {}}', b'{"blocks": [[1]], "broken": {}}'],
)
def test_images_whose_checksums_are_damaged_are_decoded_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.array(decode_to_disk(Decoder(), 5, SHAPE, tmp_path).x)
    (tmp_path / image_cache.PROGRESS_FILE).write_bytes(content)
    np.testing.assert_array_equal(decode_to_disk(Decoder(), 5, SHAPE, tmp_path).x, expected)
    assert "all images are decoded anew" in caplog.text


@pytest.mark.usefixtures("two")
def test_of_several_at_once_one_decodes(tmp_path: Path) -> None:
    decoder = Decoder([2])
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: decode_to_disk(decoder, 9, SHAPE, tmp_path), range(3)))
    assert sorted(decoder.asked) == list(range(9))
    for decoded in results:
        same(decoded, decode_in_memory(Decoder([2]), 9, SHAPE))


def test_no_room_and_no_leave_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Free:
        free = 47

    monkeypatch.setattr("shutil.disk_usage", lambda folder: Free)
    with pytest.raises(InputError, match=r"0\.0 MiB are free: dataset\.cache names another folder"):
        decode_to_disk(Decoder(), 1, SHAPE, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"File exists; dataset\.cache names another folder"):
        decode_to_disk(Decoder(), 1, SHAPE, tmp_path / "file")


def photos(root: Path, count: int = 12) -> None:
    draws = np.random.default_rng(0)
    for domain in ("studio", "outdoors", "phone"):
        for label, name in enumerate(("cup", "hat")):
            (root / domain / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 60, (10, 8, 3)) + 90 * label
                Image.fromarray(pixels.astype(np.uint8)).save(
                    root / domain / name / f"{number}.png"
                )


def data(root: Path, **keys: Any) -> Folder:
    given: dict[str, Any] = {
        "size": 8,
        "channels": 3,
        "on_error": "stop",
        "cache": str(root.parent / "cache"),
        "source": ["studio", "outdoors"],
        "target": ["phone"],
        "protocol": "inductive",
        "labels_per_class": 2,
        "val": 0.2,
        "test": 0.2,
        "split_seed": 0,
        "batch_size": {"source": 6, "target": 5, "target_labelled": 3},
    }
    return Folder(root=str(root), **given | keys)


def make_domains(dataset: Dataset) -> Domains:
    return Domains(dataset, ("source", "target"), seed=1, optional=("target_labelled",))


def pools(domains: Domains) -> list[Any]:
    return [*domains.train.values(), *domains.validation.values(), domains.test]


def test_roles_stay_on_disk_and_give_the_same_rows(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    mapped, expected = (
        make_domains(data(tmp_path / "photos", in_memory=here)) for here in (False, True)
    )
    assert isinstance(mapped.dataset["phone"].x, np.memmap)
    for samples, plain in zip(pools(mapped), pools(expected), strict=True):
        assert isinstance(samples.x, MappedSamples)
        for rows in (slice(None), slice(2, 5), torch.tensor([1, 0, 1])):
            for field, other in zip(samples.at(rows), plain.at(rows), strict=True):
                assert torch.equal(field, other)
    for step in range(9):
        batches = [one.batch(step, rank=0, world=1) for one in (mapped, expected)]
        for role in mapped.train:
            for field, other in zip(*(batch[role] for batch in batches), strict=True):
                assert torch.equal(field, other)


def test_the_place_is_chosen_by_size_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "photos")
    size = 72 * 3 * 8 * 8
    for memory, resident in ((8 * size, True), (8 * size - 8, False)):
        monkeypatch.setattr(images, "memory_limit", lambda memory=memory: memory)
        photographs = data(tmp_path / "photos", in_memory="auto")
        assert isinstance(photographs["phone"].x, np.memmap) != resident
        where = "in memory" if resident else f"in {tmp_path}/cache/images, read as needed"
        assert photographs.storage_note == f"72 images, 0.0 MiB decoded: {where}"
    with pytest.raises(InputError, match=r"no folder for them: dataset\.cache=cache names one"):
        data(tmp_path / "photos", in_memory="auto", cache=None)["phone"]
    assert memory_limit() > 2**28


@pytest.mark.parametrize(("name", "value"), [("size", 9), ("channels", 1), ("crop", 0.5), ("", 0)])
def test_other_images_are_other_files(tmp_path: Path, name: str, value: float) -> None:
    root = tmp_path / "photos"
    photos(root, 2)
    before = np.array(data(root, in_memory=False)["phone"].x)
    if not name:
        Image.new("RGB", (8, 8), "red").save(root / "phone" / "cup" / "0.png")
    read = []
    for here in (False, True):
        other = data(root, in_memory=here)
        setattr(other, name or "source", value or other.source)
        read.append(other["phone"].x)
    np.testing.assert_array_equal(read[0], read[1])
    assert not np.array_equal(read[0], before)
    assert len([*(tmp_path / "cache" / "images").iterdir()]) == 2


def test_broken_images_stop_or_are_left_out_all_the_same(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    photos(root, 3)
    (root / "phone" / "cup" / "1.png").write_bytes(b"")
    (root / "studio" / "hat" / "2.png").write_text("no image")
    messages = []
    for here in (True, False, False):
        with pytest.raises(InputError, match="2 images cannot be read") as error:
            data(root, in_memory=here)["phone"]
        messages.append(str(error.value))
        kept = data(root, in_memory=here, on_error="skip")
        assert len(kept["phone"].x) == len(kept["phone"].y) == 5
        assert kept.skipped == {"phone": [f"{root}/phone/cup/1.png: it is empty"]}
    assert messages[0] == messages[1] == messages[2]


ENDS = (
    "method=importance_weighting method.of=inputs",
    "method=shot_im init_from=start",
    "method=dann network.freeze=backbone",
    "method=dann validator=mix_val",
)


@pytest.fixture
def studio(da: Any) -> Any:
    """The command, beside photographs."""
    photos(da.folder / "photos")
    return da


def equal(da: Any, run: str, other: str) -> None:
    weights, others = da.weights(run), da.weights(other)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weight, others[name]) for name, weight in weights.items())
    for part in ("target", "source", "rows", "data"):
        assert da.record(run)[part] == da.record(other)[part]


@pytest.mark.parametrize("method", ENDS)
def test_training_ends_alike(studio: Any, method: str) -> None:
    keys = (*SMALL, "steps=6", "evaluate_every=3")
    if "start" in method:
        assert studio.train(*keys, run="start").code == 0
    both = {"held": "feature_cache=null", "read": "dataset.cache=files"}
    for run, cache in both.items():
        here = f"dataset.in_memory={str(run == 'held').lower()}"
        ended = studio.train(*keys, *method.split(), here, cache, run=run)
        assert ended.code == 0, ended
        assert ("in memory" if run == "held" else "in files/images, read as needed") in ended.out
    equal(studio, "read", "held")


def test_a_run_that_was_ended_goes_on_to_the_same_bits(
    studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = (*SMALL, "steps=8", "evaluate_every=4")
    assert studio.train(*keys, "dataset.in_memory=true", run="straight").code == 0
    take = Adaptation.take_step

    def ends(self: Adaptation, batch: Batch) -> None:
        take(self, batch)
        if self.step == 5:
            self.request_stop("SIGTERM")

    for here in ("true", "false"):
        run = f"resumed_{here}"
        with monkeypatch.context() as patch:
            patch.setattr(Adaptation, "take_step", ends)
            assert studio.train(*keys, f"dataset.in_memory={here}", run=run).code == 75
        ended = studio.train(*keys, f"dataset.in_memory={here}", run=run)
        assert "continuing from" in ended.out
        equal(studio, run, "straight")
        evaluation = evaluate(run=run, pick="last", data_dir=None, dataset={"root": "photos"})
        assert evaluation["accuracy"] == studio.record("straight")["target"]["last"]["accuracy"]


def test_what_is_on_disk_is_no_memory_of_python_s(tmp_path: Path) -> None:
    root, size = tmp_path / "photos", 72 * 3 * 128**2
    photos(root)
    peaks = {}
    for here in (True, False):
        tracemalloc.start()
        make_domains(data(root, in_memory=here, size=128)).batch(3)
        peaks[here] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[True] > size
    assert peaks[False] < size / 2
