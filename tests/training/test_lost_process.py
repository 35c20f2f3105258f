"""Where one of the processes that train together is lost, all end, and one says so."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from da_framework.core.errors import PreemptedError
from da_framework.training import processes
from da_framework.training.processes import Others, end_together, is_lost_connection


def started(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", f"import os, time; {code}"])


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A trainer that has started processes which do this."""
    monkeypatch.setattr(processes, "GRACE", 10.0)
    children: list[subprocess.Popen[bytes]] = []

    def trainer(*codes: str) -> Any:
        begun = [started(code) for code in codes]
        children.extend(begun)
        launcher = SimpleNamespace(procs=begun)
        strategy = SimpleNamespace(launcher=launcher)
        return SimpleNamespace(world_size=len(codes) + 1, strategy=strategy)

    yield trainer
    for child in children:
        child.kill()
        child.wait()


GLOO = RuntimeError(
    "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"
)


def test_a_lost_process_is_said_in_place_of_the_connection(others: Callable[..., Any]) -> None:
    trainer = others("time.sleep(0)", "os.kill(os.getpid(), 9)", "time.sleep(60)")
    rest = trainer.strategy.launcher.procs[-1]
    processes.GRACE = 1.0
    with pytest.raises(PreemptedError) as lost, end_together(trainer):
        raise GLOO
    assert str(lost.value) == (
        "process 2 of 4 was lost (SIGKILL): training ended; the same command continues from the "
        "last checkpoint, if any"
    )
    assert lost.value.code == 75
    assert rest.poll() is not None  # what waits for it is ended
    assert trainer.strategy.launcher.procs == []  # of which Lightning's watch makes nothing


def test_an_error_of_another_kind_is_what_it_is(others: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="a mistake"), end_together(others("pass")):
        raise RuntimeError("a mistake")
    with end_together(others()):  # alone, nothing is watched
        pass


def test_a_process_that_does_not_notice_is_ended(
    others: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []

    def end(code: int) -> None:
        ended.append(code)
        watched.done.set()

    monkeypatch.setattr(processes, "GRACE", 0.0)
    monkeypatch.setattr("os._exit", end)
    watched = Others(others("raise SystemExit(3)").strategy.launcher)
    assert watched.done.wait(60)
    assert ended == [75]
    assert capsys.readouterr().err.startswith("process 1 of 2 was lost (exit code 3): training")


def test_connections_are_told_from_other_errors() -> None:
    import torch

    assert is_lost_connection(GLOO)
    assert is_lost_connection(torch.distributed.DistBackendError("NCCL"))
    assert not is_lost_connection(RuntimeError("size mismatch"))
    assert not is_lost_connection(KeyboardInterrupt())
