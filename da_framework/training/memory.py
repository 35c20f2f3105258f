"""How much memory a run takes, and what to do when there is none left."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil

from da_framework.core.errors import InputError, listed, one_line

ALLOCATION = ("DefaultCPUAllocator", "out of memory")
"""Words of errors that have no type of their own: the CPU's allocator."""


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


def peak_memory() -> float:
    """The most memory this process has held, in MiB."""
    if psutil.WINDOWS:
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if psutil.MACOS else 2**10)  # bytes there, KiB on Linux
