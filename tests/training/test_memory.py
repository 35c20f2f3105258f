"""What a run says of the machine it ran on."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from da_framework.training import memory, module


def test_the_peak_is_of_what_came_after_the_reset() -> None:
    large = np.ones(40_000_000)  # 305 MiB
    with_it = memory.peak_memory()
    del large
    kind = memory.reset_peak_memory()
    assert kind == ("run" if Path("/proc/self/clear_refs").exists() else "process")
    if kind == "run":
        assert memory.peak_memory() < with_it - 250


@pytest.mark.skipif(not memory.glibc_function("mallopt"), reason="not glibc")
def test_a_step_takes_the_memory_of_the_step_before() -> None:
    script = """
import resource, sys
import torch
from da_framework.training.memory import MALLOPT, keep_freed_memory, reset_peak_memory, peak_memory
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def steps():
    before = faults()
    for _ in range(20):
        torch.ones(25_000_000), torch.ones(5_000_000)  # 95 and 19 MiB
    return faults() - before
if sys.argv[1] == "kept":
    keep_freed_memory()
steps()
print(steps())
reset_peak_memory()
print(peak_memory())
"""
    clean = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    faults: dict[str, int] = {}
    for kind, variables in (("as is", {}), ("kept", {}), ("set", {"MALLOC_TRIM_THRESHOLD_": "0"})):
        said = subprocess.run(
            [sys.executable, "-c", script, "kept" if kind != "as is" else ""],
            capture_output=True,
            check=True,
            text=True,
            env=clean | variables,
        ).stdout.split()
        faults[kind] = int(said[0])
        assert float(said[1]) < 1000  # torch's own and a little: nothing is held beyond a run
    pages = 20 * 30_000_000 * 4 / os.sysconf("SC_PAGE_SIZE")
    assert faults["as is"] > 0.5 * pages / 512  # huge pages, if the system gives them
    assert faults["kept"] < 100
    assert faults["set"] > faults["kept"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="not Linux")
def test_the_peak_is_not_that_of_who_began_the_process() -> None:
    large = np.ones(60_000_000)  # 458 MiB
    script = "from da_framework.training.memory import peak_memory; print(peak_memory())"
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert float(said) < large.nbytes / 2**20


def test_where_it_cannot_be_measured_anew_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **keys: Any) -> Any:
        raise PermissionError

    monkeypatch.setattr("builtins.open", refuse)
    assert memory.reset_peak_memory() == "process"


def test_the_record_says_what_its_numbers_hang_on(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    described = memory.describe_device(torch.device("cpu"))
    assert described["threads"] == torch.get_num_threads()
    # Lightning puts the module back on the CPU before the record is written
    on_gpu = described | {"device": "cuda:1", "gpu": "H100"}
    monkeypatch.setattr(module, "describe_device", lambda device: on_gpu)
    monkeypatch.setattr(module, "gpu_memory", lambda device: {"peak_gpu_memory_mib": 12.5})
    assert da.train("steps=2").code == 0
    record = da.record()
    assert {**record["environment"], **on_gpu} == record["environment"]
    assert record["environment"]["peak_gpu_memory_mib"] == 12.5
    assert record["peak_memory_of"] in ("run", "process")


def test_a_clock_that_is_turned_back_makes_no_time_negative(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(10**6, 0, -1))
    monkeypatch.setattr("time.time", lambda: 3600.0 * next(hours))
    monkeypatch.setattr(module, "time", lambda: 3600.0 * next(hours), raising=False)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    assert da.train("steps=2").code == 0
    assert all(seconds >= 0 for seconds in da.record()["seconds"].values())


def test_a_method_for_unknown_classes_says_that_none_is_known(da: Any) -> None:
    ended = da.train("method=osbp", "steps=2")
    assert ended.code == 0
    assert "OSBP is for a target with classes that the source does not have, and none" in ended.out
    assert "none is known" not in da.train("steps=2", run="other").out
