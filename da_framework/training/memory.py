"""How much memory a run takes, what to do when there is none left, and how it is kept at hand."""

import ctypes
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from da_framework.core.errors import InputError, listed, one_line

if TYPE_CHECKING:
    import torch

ALLOCATION = ("DefaultCPUAllocator", "out of memory")
"""Words of errors that have no type of their own: the CPU's allocator."""
MALLOPT = {
    "MMAP_THRESHOLD": (-3, 2**30),  # a block up to this size is cut from memory already at hand
    "TRIM_THRESHOLD": (-1, 2**31 - 1),  # which is not given back
    "TOP_PAD": (-2, 2**26),  # and grows by this much
}
"""Settings of glibc's allocator (``man mallopt``): number and value, in bytes."""


@contextmanager
def explain_out_of_memory(config: Mapping[str, Any]) -> Iterator[None]:
    """Says what to make smaller when there is no memory left.

    Raises:
        InputError: there is none.
    """
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        kinds = (MemoryError, torch.OutOfMemoryError)
        if not (isinstance(error, kinds) or any(word in str(error) for word in ALLOCATION)):
            raise
        sizes = (f"dataset.batch_size.{r}={n}" for r, n in config["dataset"]["batch_size"].items())
        raise InputError(
            f"out of memory ({one_line(error, most=200)}); the batch sizes are {listed(sizes)}: "
            "try smaller ones, a smaller network, network.recompute=true, "
            "network.freeze=backbone, trainer.precision=bf16-mixed, or trainer.devices=2, which "
            "share a batch"
        ) from None


def keep_freed_memory() -> None:
    """Lets the CPU's next tensors have the memory of those before, where glibc allocates.

    It gives large blocks back to the system when they are freed, and the system clears every page
    of the next: with activations of some 100 MiB that can take longer than the arithmetic. What is
    set by the environment (``MALLOC_MMAP_THRESHOLD_``, ``GLIBC_TUNABLES``) stays as it is, and so
    does every number that is computed.
    """
    if "GLIBC_TUNABLES" in os.environ or not (mallopt := glibc_function("mallopt")):
        return
    for name, (number, value) in MALLOPT.items():
        if f"MALLOC_{name}_" not in os.environ:
            mallopt(number, value)


def glibc_function(name: str) -> Callable[..., int] | None:
    """A function of the C library, where it is glibc."""
    if not psutil.LINUX:
        return None
    return getattr(ctypes.CDLL(None), name, None)


def reset_peak_memory() -> Literal["run", "process"]:
    """Begins to measure the most memory anew, where the system lets a process do so.

    Returns:
        What ``peak_memory`` is of from here on: this run, or the process since it began.
    """
    if trim := glibc_function("malloc_trim"):
        trim(0)  # what an earlier run has left at hand is none of this one's
    try:
        with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
            file.write("5")
    except OSError:  # not Linux, or not allowed
        return "process"
    return "run"


def peak_memory() -> float:
    """The most memory this process has held, in MiB: since the last reset, or since it began."""
    if psutil.WINDOWS:
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    with suppress(OSError):  # of Linux; what the system counts otherwise begins with the parent's
        status = Path("/proc/self/status").read_text("utf-8")
        if peak := re.search(r"VmHWM:\s*(\d+) kB", status):
            return int(peak[1]) / 2**10
    import resource

    peak_of_all = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_of_all / (2**20 if psutil.MACOS else 2**10)  # bytes there, KiB on Linux


def describe_device(device: "torch.device") -> "dict[str, Any]":
    """What is trained on, and with how many threads: sums over threads round otherwise.

    The device's peak of memory is measured from here on.
    """
    import torch

    threads = {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
    }
    if device.type != "cuda":
        return {"device": str(device), **threads}
    torch.cuda.reset_peak_memory_stats(device)
    return {"device": str(device), "gpu": torch.cuda.get_device_name(device), **threads}


def gpu_memory(device: "torch.device") -> dict[str, float]:
    """The most memory of a GPU that tensors have held, in MiB; nothing elsewhere."""
    import torch

    if device.type != "cuda":
        return {}
    return {"peak_gpu_memory_mib": torch.cuda.max_memory_allocated(device) / 2**20}
