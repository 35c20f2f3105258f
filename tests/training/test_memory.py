"""What a run says of the machine it ran on."""

import logging
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
