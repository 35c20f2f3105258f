"""What goes wrong while training: each fault by real means, and the run that survives it."""

import ast
import gc
import os
import re
import resource
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from da_framework.core.errors import PreemptedError
from da_framework.core.signals import handle_signals
from da_framework.training.module import Adaptation

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "da_framework"

KEYS = (
    *("method=dann", "network.dropout=0.5", "optimizer.momentum=0.9", "steps=24"),
    *("evaluate_every=8", "checkpoint_every=6", "flush_every=5", "trainer.accelerator=cpu"),
)
LIMIT = resource.getrlimit(resource.RLIMIT_FSIZE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that several tests begin with."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def whole(da: Any, store: Path) -> None:
    """The run that nothing happened to."""
    torch.set_num_threads(1)
    if not (store / "whole").exists():
        assert da.train(*KEYS, run="whole").code == 0
        da.copy("whole", store / "whole")
    else:
        da.copy(store / "whole", "whole")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Does something once, before this step is taken."""

    def at(step: int, happen: Callable[[], None]) -> None:
        take, due = Adaptation.take_step, [step]

        def stepping(self: Adaptation, batch: Any) -> None:
            if self.step in due:
                due.clear()
                happen()
            take(self, batch)

        monkeypatch.setattr(Adaptation, "take_step", stepping)

    return at


def raised(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def equals_whole(da: Any, run: str = "run") -> None:
    """The run ended as if nothing had happened, to the last bit and the last row."""
    for pick in ("last", "chosen"):
        actual, expected = da.weights(run, pick), da.weights("whole", pick)
        assert all(torch.equal(actual[name], expected[name]) for name in expected)
    for name in ("curve", "target", "source", "steps", "key"):
        assert da.record(run)[name] == da.record("whole")[name]
    tables = [(da.folder / own / "metrics.csv").read_text() for own in (run, "whole")]
    assert tables[0] == tables[1]
    left = {path.name for path in (da.folder / run / "checkpoints").iterdir()}
    assert left == {"last.ckpt", "chosen.ckpt"}


def one_line(ended: Any) -> str:
    assert "Traceback" not in ended.out + ended.err
    (line,) = ended.err.splitlines()
    return str(line)


def reached(da: Any, name: str = "last", run: str = "run") -> int:
    """The step of a checkpoint."""
    file = da.folder / run / "checkpoints" / f"{name}.ckpt"
    return int(torch.load(file, weights_only=True)["adaptation"]["step"])


# signals


def test_a_signal_ends_a_run_with_a_checkpoint_of_its_step(da: Any, whole: None, at: Any) -> None:
    # in the middle, where a checkpoint was due, where losses were read, and at the end
    numbers = [signal.SIGUSR1, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
    for step, number in zip((1, 13, 18, 20, 24), numbers, strict=True):
        before = signal.getsignal(number)
        at(step - 1, raised(number))
        ended = da.train(*KEYS)
        assert ended.code == (130 if number == signal.SIGINT else 75)
        assert ("continuing from" in ended.out) == (step > 1)
        name = "Ctrl-C" if number == signal.SIGINT else number.name
        assert one_line(ended) == (
            f"{name} ended training after step {step} of 24; its checkpoint is kept: "
            "the same command continues"
        )
        assert reached(da) == step
        assert not (da.folder / "run" / "result.json").exists()
        assert signal.getsignal(number) == before
    assert da.train(*KEYS).code == 0
    equals_whole(da)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_a_sweep_and_not_one_job_of_it(
    da: Any, at: Any, number: signal.Signals, code: int
) -> None:
    at(3, raised(number))
    ended = da("train", *da.small, "-m", "seed=1,2")
    assert ended.code == code
    assert "after step 4 of 20" in one_line(ended)
    assert len(list(da.folder.rglob("key.txt"))) == 1
    assert not list(da.folder.rglob("result.json"))


def test_a_signal_outside_training_ends_at_once(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from da_framework.datasets.two_moons import TwoMoons

    for number, name, code in ((signal.SIGTERM, "SIGTERM", 75), (signal.SIGINT, "Ctrl-C", 130)):
        monkeypatch.setattr(TwoMoons, "load", lambda *_, number=number: raised(number)())
        ended = da.train()
        assert ended.code == code
        assert one_line(ended) == (
            f"{name}: the same command continues from the last checkpoint, if any"
        )


def test_signals_are_answered_in_turn_and_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    heard: list[str] = []
    with handle_signals(heard.append):
        with handle_signals(lambda name: heard.append(f"inner {name}")):
            raised(signal.SIGUSR1)()
            raised(signal.SIGTERM)()
        raised(signal.SIGTERM)()  # answered once, whoever stands within whom
        with handle_signals(heard.append):
            pass
    assert heard == ["inner SIGUSR1"]
    with handle_signals(heard.append):
        raised(signal.SIGHUP)()
    assert heard == ["inner SIGUSR1", "SIGHUP"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert not issubclass(PreemptedError, Exception)


def test_what_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heard: list[str] = []
    try:
        with handle_signals(heard.append):  # as under nohup
            raised(signal.SIGHUP)()
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not heard


TWICE = """
import os, signal, time
from da_framework.core.signals import handle_signals
with handle_signals(lambda name: print(name, flush=True)):
    for _ in range(2):
        with handle_signals(lambda name: print(name, flush=True)):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
"""


def test_ctrl_c_twice_ends_at_once_and_without_a_traceback() -> None:
    ended = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGINT  # which every shell shows as 130
    assert (ended.stdout, ended.stderr) == (b"SIGINT\n", b"")


WAITING = """
import os, sys, time
from da_framework.training import module
step = module.Adaptation.take_step
def waiting(self, batch):
    while self.step == 8 and not os.path.exists("go"):
        time.sleep(0.01)
    step(self, batch)
module.Adaptation.take_step = waiting
from da_framework.cli.main import main
main(sys.argv[1:])
"""


def started(da: Any, *keys: str) -> subprocess.Popen[str]:
    """A run in a process of its own that has a checkpoint, and waits at step 8 for ``go``."""
    child = subprocess.Popen(
        [sys.executable, "-c", WAITING, "train", *da.small, "hydra.run.dir=run", *KEYS, *keys],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not (da.folder / "run" / "checkpoints" / "last.ckpt").exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return child


@pytest.mark.slow
def test_two_processes_of_one_command_do_not_meet_and_a_signal_from_outside_ends_one(
    da: Any, whole: None
) -> None:
    first = started(da)
    refused = da.train(*KEYS)
    assert refused.code == 2
    assert "another process works in" in one_line(refused)
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    (da.folder / "go").touch()
    _, output = first.communicate(timeout=60)
    assert first.returncode == 75
    assert output.startswith("SIGTERM ended training after step 9 ")
    assert len(output.splitlines()) == 1
    assert reached(da) == 9
    assert da.train(*KEYS).code == 0
    equals_whole(da)


@pytest.mark.slow
def test_processes_that_train_together_end_together_and_continue(da: Any, whole: None) -> None:
    keys = ("trainer.devices=2", "dataset.batch_size={source: 64, target: 64}")
    first = started(da, *keys)
    first.send_signal(signal.SIGTERM)
    (da.folder / "go").touch()
    _, output = first.communicate(timeout=60)
    assert first.returncode == 75, output
    assert output.count("SIGTERM ended training after step ") == 1
    assert reached(da) in (6, 8, 10)  # where a checkpoint, an evaluation or a reading of losses was
    again = subprocess.run(
        [
            *(sys.executable, "-m", "da_framework", "train", *da.small, *KEYS, *keys),
            "hydra.run.dir=run",
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again
    assert "continuing from" in again.stdout
    assert da.record()["steps"] == 24


@pytest.mark.slow
def test_a_lost_process_ends_all_and_the_same_command_continues(da: Any) -> None:
    keys = ("trainer.devices=2", "dataset.batch_size={source: 64, target: 64}")
    first = started(da, *keys)
    (other,) = (
        child for child in psutil.Process(first.pid).children() if "train" in child.cmdline()
    )
    other.kill()
    (da.folder / "go").touch()
    _, output = first.communicate(timeout=60)
    assert first.returncode == 75, output
    assert output == (
        "process 1 of 2 was lost (SIGKILL): training ended; the same command continues from the "
        "last checkpoint, if any\n"
    )
    ended = da.train(*KEYS, *keys[1:])
    assert ended.code == 0
    assert "continuing from" in ended.out
    assert da.record()["steps"] == 24


# numbers that cannot be


@pytest.mark.parametrize("devices", [-2, -1, 0, 10**9])
def test_a_number_of_devices_that_cannot_be_is_refused(da: Any, devices: int) -> None:
    ended = da.train(f"trainer.devices={devices}", "trainer.accelerator=cpu")
    assert ended.code == 2
    assert one_line(ended).startswith(f"trainer.devices={devices}: ")


def test_a_batch_that_cannot_be_is_refused_before_it_is_tried(da: Any) -> None:
    ended = da.train("dataset.batch_size.target=100000000000")
    assert ended.code == 2
    output = one_line(ended)
    assert output.startswith("dataset.batch_size.target=100000000000 cannot be: one batch would ")
    assert "GiB is all the memory there is" in output


# a full disk


@pytest.fixture
def limited() -> Iterator[Callable[[int], None]]:
    """Lets no file grow beyond a size, until the test ends or takes it back by 0."""

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size or LIMIT[0], LIMIT[1]))

    yield limit
    limit(0)


def test_a_checkpoint_without_room_leaves_the_one_before(
    da: Any, whole: None, at: Any, limited: Callable[[int], None]
) -> None:
    size = (da.folder / "whole" / "checkpoints" / "last.ckpt").stat().st_size
    at(17, lambda: limited(size // 2))
    ended = da.train(*KEYS)
    limited(0)
    assert ended.code == 2
    last = da.folder / "run" / "checkpoints" / "last.ckpt"
    assert one_line(ended) == (
        f"{last}: File too large; what it held before is intact: make room, and the same command "
        "continues"
    )
    assert (reached(da), reached(da, "previous")) == (12, 6)
    assert not list((da.folder / "run").rglob("*.partial"))
    assert da.train(*KEYS).code == 0
    equals_whole(da)


def test_a_result_without_room_is_written_by_the_same_command(
    da: Any, whole: None, monkeypatch: pytest.MonkeyPatch, limited: Callable[[int], None]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Adaptation, "on_train_end", lambda self: limited(500))
        ended = da.train(*KEYS)
    limited(0)
    assert ended.code == 2
    file = da.folder / "run" / "result.json"
    assert one_line(ended).startswith(f"{file}: File too large; nothing else is touched: make room")
    assert not file.exists()
    assert not list((da.folder / "run").rglob("*.partial"))
    assert da.train(*KEYS).code == 0
    equals_whole(da)


@pytest.fixture
def small_disk(da: Any) -> Iterator[Callable[..., None]]:
    """A file system in memory, mounted at ``disk``; called with another size, it changes."""
    disk = da.folder / "disk"
    disk.mkdir()

    def mount(*options: str) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(disk)],
            check=True,
            capture_output=True,
        )

    try:
        mount("size=16m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small disk")
    yield lambda size: mount("remount", f"size={size}")
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_said_and_the_run_continues_with_room(
    da: Any, whole: None, small_disk: Callable[[str], None], at: Any
) -> None:
    def fill() -> None:
        file = os.open(da.folder / "disk" / "other", os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):
            while os.write(file, b"0" * 4096):
                pass
        os.close(file)

    at(17, fill)
    ended = da.train(*KEYS, run="disk/run")
    assert ended.code == 2
    assert "last.ckpt: No space left on device; what it held before is intact" in one_line(ended)
    assert reached(da, run="disk/run") == 12
    assert not list((da.folder / "disk").rglob("*.partial"))
    # not even the files in which Hydra notes the job find room
    assert "No space left on device" in one_line(da.train(*KEYS, run="disk/run"))
    small_disk("32m")
    assert da.train(*KEYS, run="disk/run").code == 0
    equals_whole(da, "disk/run")


# damaged checkpoints


@pytest.fixture
def halted(da: Any, whole: None, at: Any, store: Path) -> Path:
    """The checkpoints of a run that was ended after step 13."""
    if not (store / "halted").exists():
        at(12, raised(signal.SIGTERM))
        assert da.train(*KEYS).code == 75
        assert (reached(da), reached(da, "previous")) == (13, 12)
        da.copy("run", store / "halted")
    else:
        da.copy(store / "halted", "run")
    return Path(da.folder / "run" / "checkpoints")


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size * 2 // 3)


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    weight = next(iter(torch.load(file, weights_only=True)["state_dict"].values()))
    content[content.index(weight.numpy().tobytes())] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, flipped, lambda file: file.write_bytes(b"")])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    da: Any, halted: Path, damage: Callable[[Path], None]
) -> None:
    damage(halted / "last.ckpt")
    ended = da.train(*KEYS)
    assert ended.code == 0
    assert f"warning: {halted / 'last.ckpt'} is damaged (" in ended.out
    assert "and now called last.ckpt.damaged; the one before it is whole" in ended.out
    assert f"continuing from {halted / 'previous.ckpt'}" in ended.out
    equals_whole(da)


def test_a_kill_between_two_renames_is_no_loss(da: Any, halted: Path) -> None:
    (halted / "last.ckpt").unlink()
    assert "previous.ckpt" in da.train(*KEYS).out
    equals_whole(da)


def test_two_damaged_checkpoints_are_named_and_the_run_begins_anew(da: Any, halted: Path) -> None:
    for name in ("last.ckpt", "previous.ckpt"):
        truncated(halted / name)
    output = da.train(*KEYS).out
    for name in ("last.ckpt", "previous.ckpt"):
        assert f"{halted / name} is damaged" in output
        assert f"and now called {name}.damaged" in output
    assert "no checkpoint is whole: the run begins anew" in output
    equals_whole(da)


# memory


TOO_MUCH = 2**50


@pytest.mark.parametrize(
    "happen", [lambda: torch.empty(TOO_MUCH), lambda: np.empty(TOO_MUCH)], ids=["torch", "numpy"]
)
def test_out_of_memory_names_the_batch_sizes_and_what_to_try(
    da: Any, at: Any, happen: Callable[[], None]
) -> None:
    at(5, happen)
    ended = da.train("dataset.batch_size.source=32")
    assert ended.code == 2
    output = one_line(ended)
    assert output.startswith("out of memory (")
    for message in ("dataset.batch_size.source=32", "try smaller ones", "trainer.devices=2"):
        assert message in output


def test_a_network_too_large_to_build_is_said(da: Any) -> None:
    output = one_line(da.train("network.backbone.widths=[10000000,10000000]"))
    assert "out of memory (" in output
    assert "a smaller network" in output


def test_a_job_that_failed_gives_its_memory_back(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Adaptation.take_step
    failed: list[weakref.ref[Adaptation]] = []
    alive: list[bool] = []

    def step(self: Adaptation, batch: Any) -> None:
        if not failed:
            failed.append(weakref.ref(self))
            torch.empty(TOO_MUCH)
        elif self.step == 0:
            gc.collect()
            alive.append(failed[0]() is not None)
        take(self, batch)

    monkeypatch.setattr(Adaptation, "take_step", step)
    ended = da("train", *da.small, "-m", "seed=1,2")
    assert "out of memory" in ended.err
    assert alive == [False]


def test_a_device_out_of_memory_is_said(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: Adaptation, batch: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Adaptation, "take_step", step)
    output = one_line(da.train())
    assert "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB.); the batch" in output


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: Adaptation, batch: Any) -> None:
        raise RuntimeError("a mistake in the code")

    monkeypatch.setattr(Adaptation, "take_step", step)
    with pytest.raises(RuntimeError, match="a mistake in the code"):
        da.train()


# files from elsewhere


class Bomb:
    """What a pickle can do to whoever loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize(
    "command",
    [
        ("train", "{small}", "hydra.run.dir=run"),
        ("train", "{small}", "init_from=run"),
        ("train", "{small}", "method=distillation", "teachers=[run]"),
        ("evaluate", "run=run"),
        ("rank", "run=[run]", "dataset=two_moons", "dataset.labels_per_class=3"),
    ],
    ids=lambda command: " ".join(command[:1] + command[2:]),
)
def test_files_from_elsewhere_run_nothing(da: Any, store: Path, command: tuple[str, ...]) -> None:
    if not (store / "start").exists():
        assert da.train(run=str(store / "start")).code == 0
    da.copy(store / "start", "run")
    folder = da.folder / "run"
    torch.save({"state_dict": Bomb(), "adaptation": Bomb()}, folder / "checkpoints/last.ckpt")
    if "hydra.run.dir=run" in command:
        (folder / "result.json").unlink()
    ended = da(*[w for word in command for w in (da.small if word == "{small}" else (word,))])
    assert not (da.folder / "exploded").exists()
    assert "Traceback" not in ended.out + ended.err
    assert ended.code == 2
    assert "damaged" in one_line(ended)


def calls(path: Path) -> Iterator[ast.Call]:
    yield from (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_pickle_is_loaded(path: Path) -> None:
    text = path.read_text()
    modules = r"^\s*(?:import|from)\s+(?:c?[pP]ickle|dill|joblib|shelve|marshal|cloudpickle)\b.*$"
    actual = [line.strip() for line in re.findall(modules, text, flags=re.MULTILINE)]
    # bytes that equal values share are written, and nobody reads them
    assert set(actual) <= {"from pickle import UnpicklingError", "import marshal"}
    assert "marshal.load" not in text
    assert not re.search(r"read_pickle|allow_pickle=True|weights_only=False", text)
    for call in calls(path):
        message = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
        called = ast.unparse(call.func)
        if called in ("torch.load", "trainer.fit") or called.endswith("load_from_checkpoint"):
            assert message.get("weights_only") is True, f"{path}:{call.lineno}"


# the table of the guide


def test_every_fault_of_the_guide_has_its_test() -> None:
    guide = (ROOT / "docs" / "pages" / "guides" / "faults.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", guide)
    assert len(named) >= 10
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(), name
