"""Keys for speed: what each changes, and that it is to rounding alone."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn

from da_framework.callbacks.base import Callback
from da_framework.core.errors import InputError
from da_framework.training.build import build, compose
from da_framework.training.method_check import fit_config, fit_for_method, short_config
from da_framework.training.trainer import build_trainer

DIGITS = ("method=dann", "trainer.accelerator=cpu", "steps=3", "network.dropout=0.0")
SMALL_BATCH = ("dataset.batch_size={source: 16, target: 16}", "evaluate_every=3")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    torch.set_num_threads(1)
    precision, allowed = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = allowed


def moons(method: str, *keys: str) -> dict[str, Any]:
    overrides = (f"method={method}", "network.dropout=0.0", "optimizer.lr=0.01", *keys)
    return short_config(compose(*overrides, name="check"))


def weights(config: dict[str, Any], *callbacks: Callback) -> dict[str, Tensor]:
    return dict(fit_config(config, callbacks=list(callbacks)).module.state_dict())


def gap(first: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert first.keys() == other.keys()
    return max((first[name].double() - other[name]).abs().max().item() for name in first)


# precision


@pytest.mark.parametrize("method", ["dann", "mmd", "mcd", "adda", "wdgrl", "vada"])
def test_half_precision_ends_near_single(method: str) -> None:
    with fit_for_method(moons(method)) as config:
        single = weights(config)
        half = weights(config | {"trainer": config["trainer"] | {"precision": "bf16-mixed"}})
    assert all(value.isfinite().all() for value in half.values())
    assert {value.dtype for value in half.values()} == {value.dtype for value in single.values()}
    assert 0 < gap(half, single) < 0.03


class Scaled(Callback):
    """Puts a scaler in a run on the CPU, which Lightning gives to a GPU alone."""

    def __init__(self, scaler: torch.amp.GradScaler, *, half: bool) -> None:
        self.plugin = (MixedPrecision if half else Single)("16-mixed", "cpu", scaler)

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.strategy.precision_plugin = self.plugin


class Single(MixedPrecision):
    """The scaler without the rounding."""

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        yield


class Recorded(torch.amp.GradScaler):
    """Notes what is asked of it."""

    def __init__(self, output: list[str], **keys: Any) -> None:
        super().__init__("cpu", **keys)
        self.said = output

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        self.said.append("unscale")
        super().unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **keys: Any) -> Any:
        self.said.append("step")
        return super().step(optimizer, *args, **keys)

    def update(self, new_scale: Any = None) -> None:
        self.said.append("update")
        super().update(new_scale)


def test_of_each_objective_all_is_unscaled_and_clipped_then_stepped_and_the_scale_updated_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output: list[str] = []
    clip = nn.utils.clip_grad_norm_

    def clipped(*args: Any, **keys: Any) -> Tensor:
        output.append("clip")
        return clip(*args, **keys)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clipped)
    config = moons("mcd", "method.repeats=1", "optimizer.clip=0.5")
    # so that a clip before the unscaling, or a scale that is updated too soon, would show
    scaler = Recorded(output, init_scale=2.0**16, growth_interval=1)
    actual = weights(config, Scaled(scaler, half=False))
    both = ["unscale", "clip", "unscale", "clip", "step", "step", "update"]
    first = ["unscale", "clip", "step", "update"]
    assert output == (both + first + first) * config["steps"]
    assert scaler.get_scale() == 2.0 ** (16 + 3 * config["steps"])
    # a power of two costs no digit
    assert gap(actual, weights(config)) < 1e-6


@pytest.mark.parametrize("method", ["dann", "mcd"])
def test_a_scale_that_overflows_costs_the_step_and_falls(method: str) -> None:
    config = moons(method)
    untrained = copy.deepcopy(build(config).module.state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    actual = weights(config, Scaled(scaler, half=True))
    assert scaler.get_scale() < 2.0**127
    assert all(value.isfinite().all() for value in actual.values())
    assert gap(actual, dict(untrained)) == 0  # not one step in twelve was small enough
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**18)
    actual = weights(config, Scaled(scaler, half=True))
    assert 0 < gap(actual, weights(config)) < 0.03


@pytest.mark.parametrize(
    ("tf32", "products", "convolutions"),
    [("none", "highest", False), ("convolutions", "highest", True), ("all", "high", True)],
)
def test_a_gpu_multiplies_as_precisely_as_is_asked(
    tf32: str, products: str, convolutions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the CPU stands for it: what is set is torch's
    monkeypatch.setattr(pl.accelerators, "CUDAAccelerator", pl.accelerators.CPUAccelerator)
    build_trainer(moons("dann", f"tf32={tf32}"), callbacks=[], loggers=[])
    assert torch.get_float32_matmul_precision() == products
    assert torch.backends.cudnn.allow_tf32 == convolutions


# layout


def test_channels_last_is_another_layout_and_the_same_network() -> None:
    first, last = (compose(*DIGITS, *SMALL_BATCH, f"channels_last={on}") for on in (False, True))
    runs = [fit_config(config) for config in (first, last)]
    layouts = [
        all(
            weight.is_contiguous(memory_format=torch.channels_last)
            for weight in run.module.parameters()
            if weight.dim() == 4
        )
        for run in runs
    ]
    assert layouts == [False, True]
    assert gap(*(dict(run.module.state_dict()) for run in runs)) < 1e-5


# compilation


def test_what_is_trained_is_compiled_and_what_is_only_evaluated_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    config = moons("dann", "compile=true")
    assert compiled == []
    run = build(config)
    assert compiled == [run.module.method.network]
    build(config, initialise=False)
    build(moons("dann"))
    assert len(compiled) == 1


def test_without_a_compiler_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="there is no no-such-compiler: install it, or name"):
        build(moons("dann", "compile=true"))


@pytest.mark.slow  # ten seconds and more of compiling
def test_a_compiled_network_ends_where_it_would_have(da: Any) -> None:
    keys = (*da.small, "method=dann", "network.dropout=0.0", "trainer.accelerator=cpu")
    assert da("train", *keys, "hydra.run.dir=plain").code == 0
    # in a process of its own: what checks shapes in tests cannot be compiled
    command = (sys.executable, "-m", "da_framework", "train", *keys)
    subprocess.run([*command, "compile=true", "hydra.run.dir=compiled"], check=True)
    assert gap(da.weights("compiled"), da.weights("plain")) < 1e-5
