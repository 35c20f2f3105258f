"""Power cuts: a model of a disk keeps what was synced, and whatever is left, no run is lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from da_framework.callbacks.checkpoints import Files
from da_framework.core.array_cache import load_or_compute
from da_framework.datasets import image_cache
from da_framework.datasets.image_cache import decode_to_disk
from da_framework.results.folder import RunFolder
from da_framework.training.module import Adaptation
from da_framework.training.resume import find_checkpoint, mend_key, read_checkpoint
from tests.disk_model import Crash, Disk, restore, watch

KEYS = (
    *("method=dann", "network.dropout=0.5", "optimizer.momentum=0.9", "steps=24"),
    *("evaluate_every=8", "checkpoint_every=6", "flush_every=5", "trainer.accelerator=cpu"),
)
RECORD = {"key": "former", "config": {"seed": 1}, "target": {}}


def train(da: Any, run: str = "run") -> Any:
    return da.train(*KEYS, run=run)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that several tests begin with."""
    return tmp_path_factory.mktemp("store")


def save_checkpoint(folder: RunFolder, name: str, key: str) -> None:
    """A checkpoint without weights."""
    state = {"run_key": key, "adaptation": {"step": 1, "picks": {}}}
    Files(folder).save_checkpoint(state, folder.checkpoint(name))


def end_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Has a signal end training after a step, once."""
    take = Adaptation.take_step

    def ending(self: Adaptation, batch: Any) -> None:
        take(self, batch)
        if self.step == step:
            self.request_stop("SIGTERM")

    patch.setattr(Adaptation, "take_step", ending)


@pytest.fixture
def whole(da: Any, store: Path) -> Path:
    """The run that nothing happened to."""
    torch.set_num_threads(1)
    if not (store / "whole").exists():
        assert train(da, "whole").code == 0
        da.copy("whole", store / "whole")
    else:
        da.copy(store / "whole", "whole")
    return Path(da.folder / "whole")


@pytest.fixture
def halted(da: Any, store: Path) -> Path:
    """A run that was ended after step 13, with checkpoints of 13, 12 and, chosen, 8."""
    torch.set_num_threads(1)
    if not (store / "halted").exists():
        with pytest.MonkeyPatch.context() as patch:
            end_at(13, patch)
            assert train(da).code == 75
        da.copy("run", store / "halted")
    else:
        da.copy(store / "halted", "run")
    return Path(da.folder / "run")


def equals(run: Path, whole: Path) -> None:
    """A run ended as if nothing had happened, to the last bit and the last row."""
    for pick in ("last", "chosen"):
        actual, expected = (
            torch.load(RunFolder(path).checkpoint(pick), weights_only=True)["state_dict"]
            for path in (run, whole)
        )
        assert all(torch.equal(actual[name], expected[name]) for name in expected)
    records = [json.loads(RunFolder(path).result.read_text()) for path in (run, whole)]
    for name in ("curve", "target", "source", "steps", "key"):
        assert records[0][name] == records[1][name]
    assert RunFolder(run).metrics.read_text() == RunFolder(whole).metrics.read_text()
    left = {path.name for path in RunFolder(run).checkpoints.iterdir()}
    assert left == {"last.ckpt", "chosen.ckpt"}


# what the order of writes leaves


def watch_run(da: Any) -> list[Crash]:
    """What power cuts leave at any moment of a run, and what had been saved before."""
    disk = Disk(da.folder)
    save, write = Files.save_checkpoint, RunFolder.write_record

    def saving(self: Files, checkpoint: dict[str, Any], path: Any, **options: Any) -> None:
        save(self, checkpoint, path, **options)
        disk.promised[Path(path).stem] = checkpoint["adaptation"]["step"]

    def writing(self: RunFolder, record: Any) -> None:
        write(self, record)
        disk.promised["record"] = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Files, "save_checkpoint", saving)
        patch.setattr(RunFolder, "write_record", writing)
        with watch(disk):
            assert train(da).code == 0
    assert disk.promised.keys() == {"last", "chosen", "record"}
    return disk.crashes


def saved_step(file: Path) -> int:
    """Of a checkpoint; 0 if there is none."""
    return int(read_checkpoint(file)["adaptation"]["step"]) if file.is_file() else 0


def test_at_every_moment_of_a_run_all_that_was_saved_is_whole(da: Any, tmp_path: Path) -> None:
    crashes = watch_run(da)
    key = RunFolder(da.folder / "run").read_key()
    table = RunFolder(da.folder / "run").metrics.read_text()
    assert len(crashes) > 50
    for number, (promised, state) in enumerate(crashes):
        folder = RunFolder(tmp_path / f"cut{number}" / "run")
        restore(state, folder.path.parent)
        latest, notes = find_checkpoint(folder, first=True)
        assert notes == []
        assert (saved_step(latest) if latest else 0) >= promised.get("last", 0)
        assert saved_step(folder.checkpoint("chosen")) >= promised.get("chosen", 0)
        if latest or promised:
            assert folder.read_key() == key
        record = folder.read_record()  # raises where it is damaged
        assert record or not promised.get("record")
        if record:
            assert saved_step(folder.checkpoint("last")) == 24
            assert folder.metrics.read_text() == table


@pytest.mark.slow
def test_whatever_a_power_cut_leaves_the_same_command_ends_as_if_there_had_been_none(
    da: Any, whole: Path
) -> None:
    crashes = watch_run(da)
    for number, crash in enumerate(crashes[:: max(1, len(crashes) // 24)]):
        restore(crash.state, da.folder / f"cut{number}")
        assert train(da, f"cut{number}/run").code == 0
        equals(da.folder / f"cut{number}" / "run", whole)


def test_a_folder_that_passes_to_another_run_gives_it_nothing_of_the_former(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    folder = RunFolder(tmp_path / "disk" / "run")
    with watch(disk):
        folder.claim("former", again=False)
        save_checkpoint(folder, "last", "former")
        folder.write_record(RECORD)
        disk.promised["former"] = True
        assert folder.claim("latter", again=False)
        disk.promised["latter"] = True
    for number, (promised, state) in enumerate(disk.crashes):
        left = RunFolder(tmp_path / f"cut{number}" / "run")
        restore(state, left.path.parent)
        if promised.get("former"):  # wherever it is now, it is whole
            (record,) = left.path.rglob("result.json")
            assert json.loads(record.read_text()) == RECORD
        mend_key(left, "latter")
        left.claim("latter", again=False)
        assert not list(left.checkpoints.iterdir())
        assert left.read_record() is None


# files that are cut to nothing


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (
            ["checkpoints/last.ckpt"],
            "last.ckpt is damaged (File is not a zip file), and now called",
        ),
        (["checkpoints/chosen.ckpt"], "the weights of step 8 can only be had by the same command"),
        (["key.txt", "metrics.csv"], "key.txt was damaged"),
        (["result.json"], "result.json is damaged or no record of a run"),
        (
            ["checkpoints/last.ckpt", "key.txt", "result.json"],
            "run/checkpoints/previous.ckpt",
        ),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_run_whose_files_are_empty_continues_from_the_best_that_is_whole(
    da: Any, halted: Path, whole: Path, names: list[str], line: str
) -> None:
    for name in names:
        (halted / name).write_bytes(b"")
    ended = train(da)
    assert ended.code == 0
    assert line in ended.out + ended.err
    assert "continuing from" in ended.out
    equals(halted, whole)


def test_what_is_whole_and_cannot_be_read_is_not_overwritten(da: Any, halted: Path) -> None:
    for name in ("last", "previous"):
        torch.save({"state_dict": {}}, RunFolder(halted).checkpoint(name))
    ended = train(da)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert "last.ckpt is damaged or another's (KeyError" in ended.err
    assert not list(halted.rglob("*.damaged"))


def test_chosen_weights_of_the_step_that_is_continued_from_are_there_once_more(
    halted: Path,
) -> None:
    folder = RunFolder(halted)
    state = read_checkpoint(folder.checkpoint("last"))["adaptation"]
    state["picks"]["chosen"]["step"] = state["step"]
    for file in (folder.checkpoint("last"), folder.checkpoint("previous")):
        torch.save({"adaptation": state}, file)
    folder.checkpoint("chosen").write_bytes(b"")
    latest, notes = find_checkpoint(folder, first=True)
    assert latest == folder.checkpoint("last")
    (note,) = notes
    assert note.endswith("last.ckpt has the same weights")
    assert folder.checkpoint("chosen").read_bytes() == latest.read_bytes()


def test_a_finished_run_is_never_begun_anew_for_a_file_beside_it(da: Any, whole: Path) -> None:
    before = (whole / "result.json").stat().st_mtime_ns
    for name in ("metrics.csv", "wandb.id", "checkpoints/last.ckpt", "checkpoints/chosen.ckpt"):
        (whole / name).write_bytes(b"")
    for content in (b"", b"0123"):
        (whole / "key.txt").write_bytes(content)
        ended = train(da, "whole")
        assert ended.code == 0
        assert "already done" in ended.out
    assert (whole / "result.json").stat().st_mtime_ns == before
    assert not list(whole.glob("before-*"))


def test_a_finished_run_whose_record_is_empty_has_it_written_once_more(
    da: Any, whole: Path
) -> None:
    da.copy("whole", "run")
    (da.folder / "run" / "result.json").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Adaptation, "take_step", None)  # not a step is taken again
        ended = train(da)
    assert ended.code == 0, ended
    equals(da.folder / "run", whole)


def test_a_key_that_is_damaged_makes_no_run_of_another(da: Any, halted: Path) -> None:
    for content in (b"", b"0123", b"\xff\xfe", b"0" * 16):
        RunFolder(halted).key_file.write_bytes(content)
        mend_key(RunFolder(halted), "another")
        assert RunFolder(halted).key_file.read_bytes() == content
    assert RunFolder(halted).claim("another", again=False) == halted / "before-1"
    assert not list(RunFolder(halted).checkpoints.iterdir())


def test_an_empty_name_at_wandb_is_made_anew(tmp_path: Path) -> None:
    from da_framework.training.loggers.wandb import load_run_id

    disk = Disk(tmp_path / "disk")
    run = tmp_path / "disk" / "run"
    run.mkdir(parents=True)
    with watch(disk):
        first = load_run_id(run)
        disk.promised["id"] = True
    for promised, state in disk.crashes:
        assert state.get("run/wandb.id") in (
            [first.encode()] if promised else [None, first.encode()]
        )
    assert load_run_id(run) == first
    for content in (b"", b"\xff", b"a/b"):
        (run / "wandb.id").write_bytes(content)
        again = load_run_id(run)
        assert again not in ("", first)
        assert load_run_id(run) == again


def test_features_that_are_cut_cost_one_panel_of_a_figure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from da_framework.callbacks.tsne import read_features

    np.savez(tmp_path / "features.npz", source=np.ones((3, 2)))
    content = (tmp_path / "features.npz").read_bytes()
    features = read_features(tmp_path / "features.npz")
    assert features is not None
    assert list(features) == ["source"]
    for end in (0, 20, len(content) - 9):
        (tmp_path / "features.npz").write_bytes(content[:end])
        assert read_features(tmp_path / "features.npz") is None
    assert caplog.text.count("the figure is of after training alone") == 3


# journals and caches


@pytest.mark.slow
def test_a_search_whose_journal_is_empty_trains_nothing_twice(da: Any) -> None:
    keys = ("search", *da.small, "steps=4", "seed=1,2", "trials=2", "folder=search")
    first = da(*keys)
    assert first.code == 0
    before = {path: path.stat().st_mtime_ns for path in da.folder.rglob("result.json")}
    assert len(before) >= 1
    (da.folder / "search" / "journal.log").write_bytes(b"")
    again = da(*keys)
    assert again.code == 0
    assert again.out.splitlines()[-2:] == first.out.splitlines()[-2:]
    assert {path: path.stat().st_mtime_ns for path in da.folder.rglob("result.json")} == before


def make_array() -> Any:
    return np.arange(12.0).reshape(6, 2)


def test_whatever_is_left_of_a_cached_array_is_right_or_made_anew(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    with watch(disk):
        load_or_compute(tmp_path / "disk" / "kept", "array", 6, make_array)
        disk.promised["kept"] = True
    for number, (promised, state) in enumerate(disk.crashes):
        restore(state, tmp_path / f"cut{number}")
        made: list[bool] = []

        def make(made: list[bool] = made) -> Any:
            made.append(True)
            return make_array()

        array = load_or_compute(tmp_path / f"cut{number}" / "kept", "array", 6, make)
        np.testing.assert_array_equal(array, make_array())
        assert not (made and promised)


def decode(number: int) -> Any:
    if number == 3:
        return "is broken"
    return np.random.default_rng(number).integers(0, 256, (3, 4, 4), np.uint8)


def test_whatever_is_left_of_decoded_images_is_right_or_decoded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "DECODED_BYTES", 2 * 48)
    disk = Disk(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    decoded: list[int] = []

    def counted(number: int) -> Any:
        decoded.append(number)
        if number % 2 == 0:
            disk.promised["done"] = number  # the block before is on the disk
        return decode(number)

    with watch(disk):
        expected = decode_to_disk(counted, 9, (3, 4, 4), tmp_path / "disk" / "images")
        disk.promised["done"] = 9
    images = np.array(expected.x)
    for number, (promised, state) in enumerate(disk.crashes):
        restore(state, tmp_path / f"cut{number}")
        (tmp_path / f"cut{number}" / "images").mkdir(parents=True, exist_ok=True)
        decoded.clear()
        promise = promised.get("done", 0)
        actual = decode_to_disk(counted, 9, (3, 4, 4), tmp_path / f"cut{number}" / "images")
        np.testing.assert_array_equal(actual.x, images)
        assert actual.broken == expected.broken
        assert min(decoded, default=9) >= promise
