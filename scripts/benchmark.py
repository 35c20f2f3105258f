"""Speed and memory, as ratios to what bounds them and to other libraries.

    python scripts/benchmark.py                          # every row; many minutes
    python scripts/benchmark.py --quick --rows step mmd  # small sizes, some rows

Contestants take turns in one process, on one thread: a figure is the median over the rounds of the
ratio within a round, with the lowest and the highest. Time is what this process and those it starts
spend on the processor, which other load on the machine hardly changes; on a GPU it is the clock's.
What is compared stands with each row. The other libraries are the extra ``bench``.
"""

import argparse
import ctypes
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib import import_module
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from da_framework.callbacks.base import Callback
from da_framework.callbacks.history import History
from da_framework.callbacks.progress import ProgressBar
from da_framework.core.batch import Outputs, Samples, Task, as_input
from da_framework.datasets.augmentations import BatchRandom, Crop, View
from da_framework.datasets.base import Array, Dataset, Domain
from da_framework.datasets.datamodule import Domains
from da_framework.losses import mmd as losses
from da_framework.losses.adversarial import domain_adversarial
from da_framework.losses.class_mmd import class_mmd
from da_framework.losses.contrastive_discrepancy import contrastive_discrepancy
from da_framework.losses.joint_mmd import joint_mmd
from da_framework.methods.base import Method
from da_framework.methods.reweighting.kernel_mean_matching import kernel_mean_matching
from da_framework.networks.adversary import reverse_gradient
from da_framework.networks.network import Network
from da_framework.results import record as results
from da_framework.training.build import Run, build, compose
from da_framework.training.module import Adaptation
from da_framework.training.trainer import build_trainer
from da_framework.validators.nearest_source import nearest_source
from da_framework.validators.silhouette import silhouette
from da_framework.validators.snd import snd

Slice = Callable[[], float]
"""Runs for a while; seconds a call."""
Triple = tuple[Tensor, Tensor, Tensor]
"""Source inputs, source labels, target inputs."""

FACTORS = [0.25, 0.5, 1.0, 2.0, 4.0]
LEARNING: dict[str, Any] = {"lr": 0.02, "momentum": 0.9, "fused": True}


@dataclass(frozen=True)
class Line:
    """One figure: a value for each round, and perhaps a goal: ``≤ 1.1`` or ``≥ 3``."""

    row: str
    case: str
    what: str
    values: list[float]
    unit: str = "x"
    device: str = "cpu"
    goal: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the goal."""
        if self.goal is None:
            return None
        sign, bound = self.goal.split()
        middle = median(self.values)
        return middle <= float(bound) if sign == "≤" else middle >= float(bound)

    def cells(self) -> list[str]:
        """As Markdown shows it."""
        low, middle, high = (f"{f(self.values):.3g}" for f in (min, median, max))
        figure = f"{middle} {self.unit}"
        if len(self.values) > 1:
            figure += f" ({low} to {high})"
        goal = "" if self.goal is None else f"{self.goal}: {'met' if self.met else 'MISSED'}"
        return [f"`{self.row}`", self.case, self.what, self.device, figure, goal]

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        spread = {f.__name__: f(self.values) for f in (min, median, max)}
        return {**asdict(self), **spread, "met": self.met}


@dataclass(frozen=True)
class Bench:
    """How things are measured: where, and whether with small sizes and few rounds."""

    device: torch.device
    quick: bool = False

    @property
    def rounds(self) -> int:
        """Turns of each contestant."""
        return 3 if self.quick else 5

    @property
    def span(self) -> float:
        """Seconds of a turn, at least; a turn of one call may take longer."""
        return 0.05 if self.quick else 0.3

    def now(self) -> float:
        """Seconds spent so far."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    def timed(self, call: Callable[[], object], times: int = 1) -> float:
        """Seconds a call."""
        start = self.now()
        for _ in range(times):
            call()
        return (self.now() - start) / times

    def sliced(self, call: Callable[[], object]) -> Slice:
        """Slices of as many calls as fill a span; begins with some to warm up."""
        spent = self.timed(call)
        if spent < self.span:
            spent = self.timed(call)
        return partial(self.timed, call, max(1, round(self.span / spent)))

    def race(
        self, slices: Mapping[str, Slice], *, rounds: int | None = None
    ) -> dict[str, list[float]]:
        """Seconds by contestant, who take turns."""
        seconds: dict[str, list[float]] = {name: [] for name in slices}
        for _ in range(rounds or self.rounds):
            for name, run in slices.items():
                seconds[name].append(run())
        return seconds


def ratios(times: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(times, base, strict=True)]


@cache
def peer(module: str) -> Any:
    """A library to compare with; ``None`` if it is not there."""
    try:
        return import_module(module)
    except ImportError as error:
        print(f"left out: {module} ({' '.join(str(error).split())})", file=sys.stderr)
        return None


class Size(NamedTuple):
    """Inputs, rows of each domain in a step, and overrides of the configuration."""

    shape: tuple[int, ...]
    batch: int
    overrides: tuple[str, ...]
    classes: int = 10
    rows: int = 10_000


TINY, MLP, LENET = "16 features, 4+4 rows", "256 features, 128+128 rows", "LeNet, 64+64 rows"
SIZES = {
    TINY: Size((16,), 4, ("network.backbone.widths=[32]", "network.bottleneck=[]"), classes=2),
    MLP: Size((256,), 128, ("network.backbone.widths=[256]", "network.bottleneck=[256]")),
    LENET: Size((1, 28, 28), 64, ("network=lenet", "network.dropout=0.0")),
}


class Noise(Dataset):
    """Domains of which nothing can be learnt; images are bytes.

    Args:
        size: of the inputs and batches.
        sources: how many domains are on that side.
        folder: where the inputs are kept as files, which stay on disk; ``None`` is in memory.
        weak: how training augments them.
    """

    names = ("one", "two", "other")

    def __init__(
        self, size: Size, sources: int = 1, folder: str | None = None, weak: Any = None
    ) -> None:
        self.size, self.folder = size, folder
        self.classes = tuple(map(str, range(size.classes)))
        super().__init__(
            source=[*self.names[:sources]],
            target=["other"],
            protocol="transductive",
            labels_per_class=0,
            val=0.1,
            test=0.0,
            split_seed=0,
            batch_size={"source": size.batch, "target": size.batch},
            weak=weak,
        )

    def load(self, name: str) -> Domain:
        generator = np.random.default_rng(0)
        shape = (self.size.rows, *self.size.shape)
        if len(self.size.shape) == 3:
            x: Array = generator.integers(0, 256, shape, dtype=np.uint8)
        else:
            x = generator.standard_normal(shape, dtype=np.float32)
        if self.folder is not None:
            file = Path(self.folder, f"{name}.npy")
            np.save(file, x)
            x = np.load(file, mmap_mode="r")
        return Domain(x, np.arange(self.size.rows) % self.size.classes)


def triples(domains: Domains, batch: int) -> Iterator[Triple]:
    """Batches by indexing alone: what a person would write."""
    source, target = domains.train["source"], domains.train["target"]
    while True:
        orders = [torch.randperm(len(side.x)).to(side.x.device) for side in (source, target)]
        for i in range(0, min(map(len, orders)) - batch + 1, batch):
            rows, other = (order[i : i + batch] for order in orders)
            yield as_input(source.x[rows]), source.y[rows], as_input(target.x[other])


class Plain(nn.Module):
    """DANN without a framework, of copies of the modules that ours trains."""

    def __init__(self, run: Run, device: torch.device, batch: int) -> None:
        super().__init__()
        method: Any = deepcopy(run.module.method)
        self.encoder, self.head = method.network.encoder, method.network.head
        self.discriminator = method.discriminator
        self.coefficient, self.scheduler = method.coefficient, run.module.scheduler
        self.batch = batch
        self.to(device)
        self.sides = torch.cat([torch.ones(batch), torch.zeros(batch)]).to(device)

    def loss(
        self,
        triple: Triple,
        progress: float,
        reverse: Callable[[Tensor, float], Tensor] = reverse_gradient,
    ) -> Tensor:
        """Of labels and of domains."""
        x, y, other = triple
        features = self.encoder(torch.cat([x, other]))
        sides = self.discriminator(reverse(features, self.coefficient(progress)))
        labels = cross_entropy(self.head(features[: self.batch]), y)
        return labels + binary_cross_entropy_with_logits(sides, self.sides)

    def sgd(self) -> torch.optim.SGD:
        """Over everything."""
        return torch.optim.SGD(self.parameters(), **LEARNING)


class InLightning(pl.LightningModule):
    """The same as a module of Lightning's, a step a ``training_step``."""

    def __init__(self, plain: Plain, steps: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.plain, self.steps = plain, steps

    def training_step(self, batch: Triple, batch_index: int) -> None:
        optimizer: Any = self.optimizers()
        progress = batch_index / self.steps
        for group in optimizer.param_groups:
            group["lr"] = LEARNING["lr"] * self.plain.scheduler(progress)
        optimizer.zero_grad()
        self.manual_backward(self.plain.loss(batch, progress))
        optimizer.step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.plain.sgd()


class Stopwatch(Callback):
    """Seconds between the first step and the end of the last."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.seconds = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.seconds -= self.bench.now()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.seconds += self.bench.now()


class Steps:
    """One DANN step by several hands; each method returns seconds a step, batches included.

    Modules, batch sizes and fused SGD are the same for all; the other libraries have no schedules.
    Ours is what ``da train`` runs, its losses recorded and its bar drawn, but for evaluations,
    checkpoints and what comes before the first step.
    """

    def __init__(self, bench: Bench, size: Size) -> None:
        self.bench, self.size = bench, size
        where = f"trainer.accelerator={bench.device.type}"
        parts = ("method=dann", "dataset=two_moons", "network=mlp", "optimizer=sgd")
        self.config = compose(*parts, *size.overrides, where)
        self.dataset = Noise(size)
        self.run = build(self.config, self.dataset)
        self.domains = self.run.domains
        self.domains.to(bench.device)

    def ours(self, steps: int) -> float:
        counts = dict.fromkeys(("steps", "evaluate_every", "checkpoint_every"), steps)
        config = {**self.config, **counts}
        run, watch, bar = build(config, self.dataset), Stopwatch(self.bench), ProgressBar(steps)
        bar.bar.disable = False
        bar.bar.live.console = Console(file=io.StringIO(), force_terminal=True)
        with bar.bar, TemporaryDirectory() as folder, patch.object(Adaptation, "evaluate"):
            trainer = build_trainer(config, callbacks=[watch, History(folder), bar], loggers=[])
            trainer.fit(run.module, datamodule=run.domains)
        return watch.seconds / steps

    def by_hand(self, steps: int) -> float:
        plain = self.plain()
        optimizer = plain.sgd()
        batches = triples(self.domains, self.size.batch)
        start = self.bench.now()
        for step in range(steps):
            progress = step / steps
            loss = plain.loss(next(batches), progress)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for group in optimizer.param_groups:
                group["lr"] = LEARNING["lr"] * plain.scheduler(progress)
            optimizer.step()
        return (self.bench.now() - start) / steps

    def by_hand_as_ours(self, steps: int) -> float:
        """The loop by hand with the operators that ours has: what is more than this is Python."""
        plain, half = self.plain(), self.size.batch
        optimizer = plain.sgd()
        batches = triples(self.domains, half)
        start = self.bench.now()
        for step in range(steps):
            x, y, other = next(batches)
            features = plain.encoder(torch.cat([x, other]))
            logits, _ = plain.head(features).split_with_sizes([half, half])
            turned = reverse_gradient(features, plain.coefficient(step / steps))
            sides = domain_adversarial(plain.discriminator(turned), n=half)
            loss = cross_entropy(logits, y) + sides
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for group in optimizer.param_groups:
                group["lr"] = LEARNING["lr"] * plain.scheduler(step / steps)
            optimizer.step()
        return (self.bench.now() - start) / steps

    def lightning(self, steps: int) -> float:
        """With everything off that can be."""
        watch = Stopwatch(self.bench)
        off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        trainer = pl.Trainer(
            accelerator=self.bench.device.type,
            devices=1,
            max_epochs=-1,
            max_steps=steps,
            callbacks=[watch],
            **dict.fromkeys(off, False),  # type: ignore[arg-type]
        )
        batches = triples(self.domains, self.size.batch)
        trainer.fit(InLightning(self.plain(), steps), batches)
        return watch.seconds / steps

    def transfer_learning_library(self, steps: int) -> float:
        """As its published loop spends its time: one pass, accuracies, and five waits a step.

        Written here after its structure: both domains pass together, each has a cross-entropy and
        an accuracy of its own, and every meter reads a number.
        """
        plain = self.plain()
        optimizer, rate = self.scheduled(plain)
        batches, half = triples(self.domains, self.size.batch), self.size.batch
        ones, zeros = plain.sides.chunk(2)
        meters: dict[str, list[float]] = {"loss": [], "source": [], "domain": [], "transfer": []}
        start = self.bench.now()
        for step, (x, y, other) in enumerate(islice(batches, steps)):
            features = plain.encoder(torch.cat([x, other]))
            logits, _ = plain.head(features).chunk(2)
            labels = cross_entropy(logits, y)
            turned = reverse_gradient(features, plain.coefficient(step / steps))
            first, second = plain.discriminator(turned).chunk(2)
            losses = binary_cross_entropy_with_logits(first, ones)
            transfer = 0.5 * (losses + binary_cross_entropy_with_logits(second, zeros))
            hits = [((first > 0) == ones).float().mean(), ((second > 0) == zeros).float().mean()]
            loss = labels + transfer
            meters["loss"].append(loss.item())
            meters["source"].append((logits.argmax(1) == y).float().mean().item() * half)
            meters["domain"].append(0.5 * (hits[0].item() + hits[1].item()))
            meters["transfer"].append(transfer.item())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
        return (self.bench.now() - start) / steps

    def deepda(self, steps: int) -> float:
        """As its published loop spends its time: a pass for each domain, and three waits a step.

        Written here after its structure: encoder and discriminator pass either domain by itself.
        """
        plain = self.plain()
        optimizer, rate = self.scheduled(plain)
        meters: list[list[float]] = [[], [], []]
        batches = triples(self.domains, self.size.batch)
        start = self.bench.now()
        for step, (x, y, other) in enumerate(islice(batches, steps)):
            sides = [plain.encoder(x), plain.encoder(other)]
            labels = cross_entropy(plain.head(sides[0]), y)
            factor = plain.coefficient(step / steps)
            apart = [
                binary_cross_entropy_with_logits(
                    plain.discriminator(reverse_gradient(side, factor)), domain
                )
                for side, domain in zip(sides, plain.sides.chunk(2), strict=True)
            ]
            transfer = 0.5 * (apart[0] + apart[1])
            loss = labels + transfer
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
            for meter, value in zip(meters, (labels, transfer, loss), strict=True):
                meter.append(value.item())
        return (self.bench.now() - start) / steps

    def scheduled(
        self, plain: "Plain"
    ) -> tuple[torch.optim.SGD, torch.optim.lr_scheduler.LambdaLR]:
        """The optimizer, and a schedule that follows its steps."""
        optimizer = plain.sgd()
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)

    def pytorch_adapt(self, steps: int) -> float:
        plain = self.plain()
        models = {"G": plain.encoder, "C": plain.head, "D": plain.discriminator}
        hook = peer("pytorch_adapt.hooks").DANNHook([plain.sgd()])
        source, target = plain.sides.chunk(2)
        domains = {"src_domain": source, "target_domain": target}
        batches = triples(self.domains, self.size.batch)
        start = self.bench.now()
        for x, y, other in islice(batches, steps):
            hook({**models, **domains, "src_imgs": x, "src_labels": y, "target_imgs": other})
        return (self.bench.now() - start) / steps

    def skada(self, steps: int) -> float:
        """Its own loader, a sample at a time."""
        seconds = 0.0
        bench, plain = self.bench, self.plain()

        class Watch(peer("skorch.callbacks").Callback):  # type: ignore[misc]
            def on_epoch_begin(self, *_: Any, **__: Any) -> None:
                nonlocal seconds
                seconds -= bench.now()

            def on_epoch_end(self, *_: Any, **__: Any) -> None:
                nonlocal seconds
                seconds += bench.now()

        parts = OrderedDict(encoder=plain.encoder, head=plain.head)
        net = peer("skada.deep").DANN(
            nn.Sequential(parts),
            "encoder",
            domain_classifier=plain.discriminator,
            domain_criterion=nn.BCEWithLogitsLoss(),
            optimizer=torch.optim.SGD,
            **{f"optimizer__{name}": value for name, value in LEARNING.items()},
            iterator_train__batch_size=self.size.batch,
            max_epochs=1,
            train_split=None,
            verbose=0,
            device=bench.device.type,
            callbacks=[Watch()],
        )
        few = islice(triples(self.domains, self.size.batch), steps)
        x, y, other = (torch.cat(part).cpu().numpy() for part in zip(*few, strict=True))
        sides = np.repeat([1, -2], len(x))
        net.fit(np.concatenate([x, other]), np.concatenate([y, np.full_like(y, -1)]), sides)
        return seconds / steps

    def plain(self) -> Plain:
        return Plain(self.run, self.bench.device, self.size.batch)


def step(bench: Bench) -> Iterator[Line]:
    """One DANN step, to a loop written by hand."""
    for case, size in SIZES.items():
        steps = Steps(bench, size)
        runners = {
            "by hand": steps.by_hand,
            "ours": steps.ours,
            "by hand with our operators": steps.by_hand_as_ours,
            "Lightning": steps.lightning,
            "like Transfer-Learning-Library": steps.transfer_learning_library,
            "like DeepDA": steps.deepda,
        }
        if peer("pytorch_adapt.hooks"):
            runners["pytorch-adapt"] = steps.pytorch_adapt
        if peer("skada.deep"):
            runners["skada"] = steps.skada
        for run in runners.values():
            run(5)
        number = max(10, round(bench.span / steps.by_hand(5)))
        times = bench.race({name: partial(run, number) for name, run in runners.items()})
        for name, seconds in list(times.items())[1:]:
            goal = {TINY: "≤ 1.1", MLP: "≤ 1.05"}.get(case) if name == "ours" else None
            values = ratios(seconds, times["by hand"])
            yield Line("step", case, f"{name} to by hand", values, goal=goal)


def reverse_by_arithmetic(x: Tensor, coefficient: float) -> Tensor:
    """As ``reverse_gradient``, of operators that ``vmap`` knows."""
    return (1 + coefficient) * x.detach() - coefficient * x


class Stackable(nn.Module):
    """The loss of ``Plain`` as a module's call, whose weights ``functional_call`` replaces."""

    def __init__(self, plain: Plain) -> None:
        super().__init__()
        self.plain = plain

    def forward(self, triple: Triple, progress: float) -> Tensor:
        return self.plain.loss(triple, progress, reverse_by_arithmetic)


class ManyRuns:
    """Small runs that differ in their weights and batches: one by one, or stacked as one job.

    Args:
        steps: of what.
        number: of runs.
    """

    def __init__(self, steps: Steps, number: int) -> None:
        self.steps, self.number = steps, number
        self.plains = [steps.plain() for _ in range(number)]
        domains = steps.domains.train
        self.source, self.target = domains["source"], domains["target"]

    def batches(self) -> Triple:
        """Of all runs, stacked."""
        size = self.number, self.steps.size.batch
        rows, others = (
            torch.randint(len(side.x), size, device=side.x.device)
            for side in (self.source, self.target)
        )
        return as_input(self.source.x[rows]), self.source.y[rows], as_input(self.target.x[others])

    def alone(self, number: int) -> float:
        """Seconds of so many steps of every run, one run after the other."""
        optimizers = [plain.sgd() for plain in self.plains]
        start = self.steps.bench.now()
        x, y, other = self.batches()
        for run, (plain, optimizer) in enumerate(zip(self.plains, optimizers, strict=True)):
            batch = x[run], y[run], other[run]
            for step in range(number):
                optimizer.zero_grad()
                plain.loss(batch, step / number).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return (self.steps.bench.now() - start) / number

    def gradients(
        self, weights: dict[str, Tensor], batches: Triple, progress: float
    ) -> dict[str, Tensor]:
        """Of every run's loss with respect to its own weights, stacked."""
        model = Stackable(self.plains[0])

        def loss(own: dict[str, Tensor], x: Tensor, y: Tensor, other: Tensor) -> Tensor:
            value: Tensor = torch.func.functional_call(model, own, ((x, y, other), progress))
            return value

        found: dict[str, Tensor] = torch.func.vmap(torch.func.grad(loss))(weights, *batches)
        return found

    def stacked_weights(self) -> dict[str, Tensor]:
        """Of all runs."""
        weights, _ = torch.func.stack_module_state([*map(Stackable, self.plains)])
        return weights

    def together(self, number: int) -> float:
        """Seconds of so many steps of all runs as one job."""
        weights = self.stacked_weights()
        optimizer = torch.optim.SGD(weights.values(), **LEARNING)
        batches = self.batches()
        start = self.steps.bench.now()
        for step in range(number):
            for name, gradient in self.gradients(weights, batches, step / number).items():
                weights[name].grad = gradient
            optimizer.step()
        return (self.steps.bench.now() - start) / number


def vectorised(bench: Bench) -> Iterator[Line]:
    """Small runs of DANN by hand, one after the other, to all of them as one job."""
    for case in (TINY,) if bench.quick else (TINY, MLP):
        steps = Steps(bench, SIZES[case])
        for runs in (8,) if bench.quick else (8, 32, 128):
            many = ManyRuns(steps, runs)
            number = max(2, round(bench.span / many.alone(2)))
            times = bench.race(
                {"alone": partial(many.alone, number), "together": partial(many.together, number)}
            )
            values = ratios(times["alone"], times["together"])
            yield Line("vectorised", f"{runs} runs, {case}", "alone to one job", values)


def features(n: int, d: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of two domains, with gradient."""
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(n, d, generator=generator).to(device) for _ in range(2))
    return source.requires_grad_(), (target + 0.1).requires_grad_()


def relative(source: Tensor, target: Tensor) -> Tensor:
    """Widths as the methods find them."""
    factors = torch.tensor(FACTORS, device=source.device)
    return losses.bandwidths(source, target, policy="mean", factors=factors)


def ours(source: Tensor, target: Tensor) -> Tensor:
    """The discrepancy of the method ``mmd``."""
    return losses.mmd(
        source, target, bandwidths=relative(source, target), geometric_bandwidths=True
    )


def by_class(source: Tensor, target: Tensor) -> Tensor:
    """The discrepancy of the method ``dsan``; the first ten features are the logits."""
    y, p = source[:, :10].argmax(1), target[:, :10].softmax(1)
    return class_mmd(source, target, y=y, p=p, bandwidths=relative(source, target))


def joint(source: Tensor, target: Tensor) -> Tensor:
    """The discrepancy of the method ``jan``; the first ten features are the logits."""
    layers = [(side, side[:, :10].softmax(1)) for side in (source, target)]
    return joint_mmd(*layers, bandwidths=list(map(relative, *layers)))


def there_and_back(
    loss: Callable[[Tensor, Tensor], Tensor], sides: tuple[Tensor, Tensor]
) -> Callable[[], object]:
    """A call of the loss and its gradient."""
    return lambda: torch.autograd.grad(loss(*sides), sides)


def composed(call: Callable[[], float]) -> float:
    """What a call gives when the whole kernel matrix is there at once, and autograd derives it."""

    def whole(*given: Any, geometric_bandwidths: bool = False) -> Tensor:
        return losses.composed_sum(*given)

    with patch.object(losses, "kernel_sum", whole):
        return call()


def mmd(bench: Bench) -> Iterator[Line]:
    """Multi-kernel MMD with five Gaussian kernels, forward and backward.

    The floor is 1.5 products of all features with all, 3 n² d operations; the memory that such a
    product asks for costs time of its own, which tiles can save. pytorch-adapt and ours find the
    bandwidths as well, skada is given them.
    """
    sizes = [(64, 256), (256, 256), (1024, 256), (4096, 256), (1024, 2048)]
    for n, d in sizes[:3] if bench.quick else sizes:
        sides = features(n, d, bench.device)
        z = torch.cat(sides).detach()
        ours_slice = bench.sliced(there_and_back(ours, sides))
        given = z.new_empty(2 * n, 2 * n)
        floors = {
            "the floor": bench.sliced(partial(torch.matmul, z, z.T)),
            "the floor with memory given": bench.sliced(partial(torch.matmul, z, z.T, out=given)),
        }
        slices = {"ours": ours_slice, **floors}
        slices["composed"] = partial(composed, ours_slice)
        if layers := peer("pytorch_adapt.layers"):
            loss = layers.MMDLoss(torch.tensor(FACTORS), "quadratic")
            slices["pytorch-adapt"] = bench.sliced(there_and_back(loss, sides))
        if deep := peer("skada.deep.losses"):
            widths = [f * (2 * d) ** 0.5 for f in FACTORS]
            loss = partial(deep.dan_loss, sigmas=widths)
            slices["skada"] = bench.sliced(there_and_back(loss, sides))
        times = bench.race(slices)
        case = f"{n}+{n} rows, {d} features"
        for name in floors:
            values = ratios(times["ours"], [1.5 * seconds for seconds in times.pop(name)])
            goal = "≤ 1.25" if d == 2048 and name == "the floor" else None
            yield Line("mmd", case, f"ours to {name}", values, goal=goal)
        bound = {(1024, 256): "≥ 3", (4096, 256): "≥ 8"}.get((n, d))
        for name in list(times)[1:]:
            values = ratios(times[name], times["ours"])
            goal = None if name == "composed" else bound
            yield Line("mmd", case, f"{name} to ours", values, goal=goal)


def peak(loss: Callable[[Tensor, Tensor], Tensor], n: int) -> float:
    """MiB that the loss and its gradient need beside their inputs."""
    torch.set_num_threads(1)
    sides, few = (features(rows, 256, torch.device("cpu")) for rows in (n, 512))
    there_and_back(loss, few)()  # what is loaded once is there before
    ctypes.CDLL(None).malloc_trim(0)  # what is free but held would not count
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins here
    before = resident("VmRSS")
    there_and_back(loss, sides)()
    return (resident("VmHWM") - before) / 2**10


def resident(name: str) -> int:
    """KiB of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    return int(Path("/proc/self/status").read_text("utf-8").partition(f"{name}:")[2].split()[0])


def apart(call: Callable[[], float]) -> float:
    """What a call gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(call).result()


def measures_memory() -> bool:
    """Whether there is a peak of memory to read."""
    readable = Path("/proc/self/clear_refs").exists()
    if not readable:
        print("left out: memory is read from /proc, which is Linux's", file=sys.stderr)
    return readable


def mmd_memory(bench: Bench) -> Iterator[Line]:
    """Peak memory of the MMD, in a process of its own."""
    if measures_memory():
        n = 4096 if bench.quick else 16384
        case, peak_mib = f"{n}+{n} rows, 256 features", apart(partial(peak, ours, n))
        yield Line("mmd_memory", case, "ours", [peak_mib], "MiB", goal="≤ 100")


def mmd_kin(bench: Bench) -> Iterator[Line]:
    """MMD by class and of several layers, forward and backward: time, and peak memory."""
    for name, loss in (("class MMD", by_class), ("joint MMD", joint)):
        for n in (1024,) if bench.quick else (1024, 4096):
            case = f"{name}, {n}+{n} rows, 256 features, 10 classes"
            ours = bench.sliced(there_and_back(loss, features(n, 256, bench.device)))
            times = bench.race({"ours": ours, "composed": partial(composed, ours)})
            values = ratios(times["composed"], times["ours"])
            yield Line("mmd_kin", case, "composed to ours", values)
            if bench.device.type == "cpu" and measures_memory():
                need = partial(peak, loss, n)
                tiles, whole = apart(need), apart(partial(composed, need))
                yield Line("mmd_kin", case, "ours", [tiles], "MiB")
                yield Line("mmd_kin", case, "composed to ours, memory", [whole / tiles])


def batches(bench: Bench) -> Iterator[Line]:
    """Batches of images held as bytes, to indexing the same arrays, with the same crops if any."""
    size = SIZES[LENET]
    domains = Domains(Noise(size), ("source", "target"), seed=0)
    domains.to(bench.device)
    indexed, counter = triples(domains, size.batch), count()
    sides = [TensorDataset(s.x, s.y) for s in domains.train.values()]

    def loaded() -> Iterator[object]:
        while True:
            loaders = [DataLoader(side, size.batch, shuffle=True) for side in sides]
            yield from ([as_input(x) for x, _ in pair] for pair in zip(*loaders, strict=False))

    samples = loaded()
    contestants: dict[str, Callable[[], object]] = {
        "indexing": lambda: next(indexed),
        "ours": lambda: domains.batch(next(counter)),
        "DataLoader of samples": lambda: next(samples),
    }
    yield from raced_batches(bench, "64+64 images of 28x28", contestants)
    several = Domains(Noise(size, sources=2), ("source", "target"), seed=0)
    several.to(bench.device)
    of_three = by_domain(several, [size.batch // 2, size.batch // 2, size.batch])
    case = "two sources, 32+32+64 images of 28x28"
    pair = {"indexing": lambda: next(of_three), "ours": lambda: several.batch(next(counter))}
    yield from raced_batches(bench, case, pair)
    with TemporaryDirectory() as folder:
        photographs = size._replace(shape=(3, 64, 64), rows=2000)
        weak = Crop(area=0.5, flip=0.5, brightness=0.0, contrast=0.0, saturation=0.0)
        stored = Noise(photographs, folder=folder, weak=weak)
        on_disk = Domains(stored, ("source", "target"), seed=0)
        on_disk.to(bench.device)
        cropped = crops(stored, size.batch, weak, bench.device)
        case = "64+64 images of 3x64x64 on disk, cropped"
        pair = {"indexing": lambda: next(cropped), "ours": lambda: on_disk.batch(next(counter))}
        yield from raced_batches(bench, case, pair)


def raced_batches(
    bench: Bench, case: str, contestants: Mapping[str, Callable[[], object]]
) -> Iterator[Line]:
    """The lines of one case, each to the first contestant."""
    times = bench.race({name: bench.sliced(call) for name, call in contestants.items()})
    first, *others = times
    for name in others:
        values = ratios(times[name], times[first])
        goal = "≤ 1.1" if name == "ours" else None
        yield Line("batches", case, f"{name} to {first}", values, goal=goal)


def by_domain(domains: Domains, shares: Sequence[int]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """What a person would write for several sources: rows of each domain in an order of its own."""
    source, target = domains.train["source"], domains.train["target"]
    sides = [source.at(source.domain == number) for number in range(len(domains.dataset.source))]
    sides.append(target)
    while True:
        orders = [torch.randperm(len(side.y)).to(side.y.device) for side in sides]
        for i in range(min(len(o) // share for o, share in zip(orders, shares, strict=True))):
            rows = [o[i * n : (i + 1) * n] for o, n in zip(orders, shares, strict=True)]
            x = torch.cat([side.x[own] for side, own in zip(sides[:-1], rows, strict=False)])
            y = torch.cat([side.y[own] for side, own in zip(sides[:-1], rows, strict=False)])
            yield as_input(x), y, as_input(target.x[rows[-1]])


def crops(
    dataset: Noise, batch: int, view: View, device: torch.device
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """What a person would write for images on disk: rows of the mapped files, cropped."""
    sides = [dataset[name] for name in dataset.domains]
    for step in count():
        cut = []
        for side in sides:
            rows = np.random.randint(len(side.y), size=batch)
            x = as_input(torch.from_numpy(side.x[rows]).to(device))
            random = BatchRandom(batch, slice(batch), seed=step, like=x)
            cut.append((view(x, random), torch.from_numpy(side.y[rows]).to(device)))
        yield cut


class ResNet(nn.Module):
    """torchvision's ResNet-18 without its head."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        from torchvision.models import resnet18

        self.body = resnet18(weights=None)
        self.body.fc = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x)
        return features


def frozen(bench: Bench) -> Iterator[Line]:
    """A step of a head on a frozen ResNet-18: with its features kept, and with the images."""
    rows, classes = 16, 10
    for side, goal in ((64, "≥ 50"), (224, "≥ 500")):
        if bench.quick and side > 64:
            return
        network = Network(
            (3, side, side),
            classes,
            backbone=ResNet,
            bottleneck=[256],
            head=[],
            dropout=0.0,
            freeze="backbone",
        )
        task = Task(tuple("abcdefghij"), ("s", "t"), {}, (3, side, side))
        method = Method(network, task, alpha=0.5, batch_norm="shared").to(bench.device)
        learning = [p for p in method.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, lr=0.01, fused=True)

        def step(
            x: Tensor, method: Method = method, optimizer: torch.optim.SGD = optimizer
        ) -> None:
            index = torch.arange(rows, device=x.device)
            half = Samples(x, index % classes, torch.zeros_like(index), index)
            for objective in method.objectives({"source": half, "target": half}):
                optimizer.zero_grad()
                objective.total.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

        images = torch.rand(rows, 3, side, side, device=bench.device)
        with torch.no_grad():
            features = network.encoder.backbone(images)
        slices = {
            "kept": bench.sliced(partial(step, features)),
            "images": bench.sliced(partial(step, images)),
        }
        times = bench.race(slices)
        values = ratios(times["images"], times["kept"])
        case = f"ResNet-18, {rows}+{rows} images of {side} px"
        yield Line("frozen", case, "images to features", values, goal=goal)


def da(*arguments: str) -> Callable[[], object]:
    """A call of ``da`` in a process and a folder of its own."""

    def run() -> None:
        with TemporaryDirectory() as folder:
            command = [sys.executable, *arguments]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)

    return run


DA = ("-m", "da_framework")
SHORT = ("dataset=two_moons", "network=mlp", "steps=20", "logger=[]", "callback=[]")


def sweep(bench: Bench) -> Iterator[Line]:
    """Short runs in one process; of runs in a process each, one a round is measured and scaled."""
    runs = 6 if bench.quick else 30
    slices = {
        "one process": da(*DA, "train", "-m", *SHORT, f"seed=range(1,{runs + 1})"),
        "one run": da(*DA, "train", *SHORT),
    }
    times = bench.race(
        {name: partial(bench.timed, call) for name, call in slices.items()},
        rounds=1 if bench.quick else None,
    )
    values = ratios([runs * seconds for seconds in times["one run"]], times["one process"])
    goal = None if bench.quick else "≥ 5"
    yield Line("sweep", f"{runs} runs of 20 steps", "a process each to one", values, goal=goal)
    steps = 50 if bench.quick else 500
    every = f"seed=range(1,{runs + 1})"
    longer = {
        f"{n} steps": da(*DA, "train", "-m", *SHORT, every, f"steps={n}")
        for n in (steps, 2 * steps)
    }
    once, twice = bench.race(
        {name: partial(bench.timed, call) for name, call in longer.items()},
        rounds=1 if bench.quick else 3,
    ).values()
    # twice the steps cost the steps alone more
    values = [a / (b - a) for a, b in zip(once, twice, strict=True)]
    goal = None if bench.quick else "≤ 1.5"
    case = f"{runs} runs of {steps} steps"
    yield Line("sweep", case, "one process to its steps alone", values, goal=goal)


def pictures(bench: Bench) -> Iterator[Line]:
    """What the default pictures cost a run of a sweep: that with them, less that without."""
    runs = 2 if bench.quick else 5
    words = (*DA, "train", "-m", "steps=20", "logger=[]", f"seed=range(1,{runs + 1})")
    slices = {
        "with": partial(bench.timed, da(*words)),
        "without": partial(bench.timed, da(*words, "callback=[diagnostics]")),
    }
    times = bench.race(slices, rounds=1 if bench.quick else None)
    values = [(a - b) / runs for a, b in zip(times["with"], times["without"], strict=True)]
    case, what = f"digits, a sweep of {runs}", "curves, confusion and t-SNE of a run"
    yield Line("pictures", case, what, values, "s", goal="≤ 2")


def startup(bench: Bench) -> Iterator[Line]:
    """Commands that only say something, to Python that does nothing."""
    commands = {"da list": "≤ 0.2", "da train --help": "≤ 0.7"}
    slices = {"pass": partial(bench.timed, da("-c", "pass"))}
    for name in commands:
        slices[name] = partial(bench.timed, da(*DA, *name.split()[1:]))
    times = bench.race(slices)
    for name, goal in commands.items():
        yield Line("startup", name, "ours", times[name], "s", goal=goal)
        values = ratios(times[name], times["pass"])
        yield Line("startup", name, "ours to `python -c pass`", values)


IMPORTS = "import torch, pytorch_lightning"


def first_step(bench: Bench) -> Iterator[Line]:
    """A run of one step, from the command to its record, to the imports that it cannot do without.

    Its end, an evaluation and files, is in it as well.
    """
    few = ("steps=1", *(word for word in SHORT if not word.startswith("steps=")))
    slices = {"imports": da("-c", IMPORTS), "run": da(*DA, "train", *few)}
    times = bench.race({name: partial(bench.timed, call) for name, call in slices.items()})
    values = ratios(times["run"], times["imports"])
    yield Line("first_step", "a run of one step", f"ours to `{IMPORTS}`", values, goal="≤ 1.3")


def write_records(folder: Path, count: int) -> None:
    """Records of a sweep, as a run of one step writes them: ten methods, twenty pairs, seeds."""
    words = ("dataset=two_moons", "network=mlp", "steps=20", "evaluate_every=2", "logger=[]")
    run = [sys.executable, *DA, "train", *words, "callback=[]", f"hydra.run.dir={folder}/one"]
    subprocess.run(run, check=True, capture_output=True)
    record = json.loads((folder / "one" / "result.json").read_text("utf-8"))
    pairs = [(a, b) for a in "abcde" for b in "abcde" if a != b]
    cells = [(f"method_{n}", *pair) for n in range(10) for pair in pairs]
    for number in range(count):
        method, source, target = cells[number % len(cells)]
        seed, place = number // len(cells), folder / "runs" / str(number)
        domains = {"source": [source], "target": [target]}
        command = f"da train method={method} seed={seed} steps=20"
        choices = {**record["choices"], "method": method}
        config = {**record["config"], "seed": seed, "domains": domains}
        first = {"baseline": method == "method_0", "domains": domains, "command": command}
        place.mkdir(parents=True)
        whole = {**record, **first, "choices": choices, "config": config}
        (place / "result.json").write_text(json.dumps(whole, indent=1), "utf-8")


def reports(bench: Bench) -> Iterator[Line]:
    """``da report`` of many records: seconds of processor time, and peak memory."""
    goals = {2000: "≤ 4", 10_000: "≤ 15"}
    for number in (200,) if bench.quick else goals:
        with TemporaryDirectory() as name:
            write_records(Path(name), number)
            report = (*DA, "report", f"{name}/runs")
            slices = {"a table": da(*report), "a table and a page": da(*report, "--html=page.html")}
            for what, call in slices.items():
                times = [bench.timed(call) for _ in range(bench.rounds)]
                goal = None if "page" in what and number > 2000 else goals.get(number)
                yield Line("reports", f"{number} records", what, times, "s", goal=goal)
            yield Line("reports", f"{number} records", "a table", [peak_of(report)], "MiB")
            if number <= 2000 and shutil.which("chromium"):
                page = Path(name, "page.html")
                subprocess.run(
                    [sys.executable, *report, f"--html={page}"], check=True, capture_output=True
                )
                times = [first_paint(page) for _ in range(bench.rounds)]
                what = "the page's first paint, by the clock"
                yield Line("reports", f"{number} records", what, times, "s", goal="≤ 1")


def first_paint(page: Path) -> float:
    """Seconds from asking for a page to its first paint, in Chromium without a screen."""
    # the page tells by its title; its own policy forbids scripts that are added to it
    text = page.read_text("utf-8").replace("Content-Security-Policy", "none")
    watch = (
        "<script>new PerformanceObserver((seen) => { document.title = "
        "`painted ${seen.getEntries()[0].startTime}` }).observe({type: 'paint', buffered: true})"
        "</script>"
    )
    watched = page.with_name("watched.html")
    watched.write_text(text.replace("<title>", f"{watch}<title>", 1), "utf-8")
    flags = "headless no-sandbox disable-gpu no-first-run disable-background-networking"
    for _ in range(20):  # it may tell of the page before that is painted
        with TemporaryDirectory() as profile:
            command = [
                *("chromium", *(f"--{flag}" for flag in flags.split())),
                *(f"--user-data-dir={profile}", "--dump-dom", watched.as_uri()),
            ]
            seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if painted := re.search(r"<title>painted ([\d.]+)", seen):
            return float(painted[1]) / 1000
    raise RuntimeError("Chromium never told of a first paint")


def peak_of(arguments: Sequence[str]) -> float:
    """MiB that a command of Python holds at most."""
    measure = (
        "import resource, subprocess, sys; "
        "subprocess.run([sys.executable, *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", measure, *arguments]
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return int(subprocess.run(command, check=True, capture_output=True).stdout) / unit


def growth(bench: Bench) -> Iterator[Line]:
    """Exponent of our time, or memory, as a size grows, fitted to all its values."""

    def loss(n: int, d: int) -> Slice:
        return bench.sliced(there_and_back(ours, features(n, d, bench.device)))

    wide = SIZES[MLP]._replace(rows=20_000)

    def steps(size: Size) -> Slice:
        stepper = Steps(bench, size)
        return partial(stepper.ours, max(3, round(bench.span / stepper.by_hand(3))))

    def rows(n: int) -> Slice:
        size = SIZES[TINY]._replace(rows=n, batch=64)
        domains, counter = Domains(Noise(size), ("source", "target"), seed=0), count()
        domains.to(bench.device)
        return bench.sliced(lambda: domains.batch(next(counter)))

    def classes(k: int) -> Slice:
        sides = features(64, 256, bench.device)
        y = torch.arange(64, device=bench.device) * (k // 64)
        keys: dict[str, Any] = {
            "y_source": y,
            "y_target": y,
            "classes": k,
            "bandwidths": relative(*sides),
        }
        return bench.sliced(there_and_back(partial(contrastive_discrepancy, **keys), sides))

    def median_of(n: int) -> Slice:
        z = torch.cat(features(n // 2, 64, bench.device)).detach()
        return bench.sliced(lambda: losses._median_squared_distance(z))

    def validated(score: Callable[[Mapping[str, Outputs]], float], n: int) -> Slice:
        index = torch.arange(n, device=bench.device)
        z = torch.randn(n, 16, device=bench.device)
        side = Outputs(z, index % 16, torch.zeros_like(index), index, z, z)
        return partial(bench.timed, lambda: score({"source": side, "target": side}))

    def weighed(n: int) -> Slice:
        sides = (side.detach() for side in features(n, 16, bench.device))
        call = partial(
            kernel_mean_matching, *sides, width=1.0, bound=1000.0, slack=None, ridge=None
        )
        return partial(bench.timed, call)

    many = [10**3, 10**4, 10**5, 10**6]
    laws: dict[str, tuple[list[int], Callable[[int], Slice]]] = {
        "contrastive discrepancy of 64+64, classes": ([64, 640, 6400, 20_032], classes),
        "median bandwidth, rows": ([1024, 4096, 8192, 16_384], median_of),
        "validator snd, samples": (many, partial(validated, partial(snd, temperature=0.05))),
        "validator nearest_source, samples": (many, partial(validated, nearest_source)),
        "validator silhouette, samples": (many, partial(validated, silhouette)),
        "kernel mean matching, samples": ([1000, 4000, 16_000, 64_000], weighed),
        "MMD, rows of a domain": ([64, 256, 1024, 4096, 16384], partial(loss, d=256)),
        "MMD, features": ([64, 256, 1024, 4096], partial(loss, 512)),
        "step, classes": (
            [2, 10, 100, 1000, 20_000],
            lambda k: steps(wide._replace(classes=k, rows=max(20_000, 10 * k))),
        ),
        "step, rows of a batch": (
            [64, 256, 1024, 4096, 16384],
            lambda n: steps(wide._replace(batch=n)),
        ),
        "batch of 64+64, rows of a domain": ([10**3, 10**4, 10**5, 10**6], rows),
    }
    for case, (every, make) in laws.items():
        sizes = every[:3] if bench.quick else every
        yield law(case, bench.race({str(size): make(size) for size in sizes}))
    runs = [1, 10] if bench.quick else [1, 10, 100]
    sweeps = {str(n): da(*DA, "train", "-m", *SHORT, f"seed=range(1,{n + 1})") for n in runs}
    calls = {n: partial(bench.timed, call) for n, call in sweeps.items()}
    yield law("sweep in one process, runs", bench.race(calls, rounds=1), "s")
    if bench.device.type == "cpu" and measures_memory():
        sizes = [1024, 4096] if bench.quick else [1024, 4096, 16384]
        yield law(
            "memory of the MMD, rows of a domain",
            {str(n): [apart(partial(peak, ours, n))] for n in sizes},
            "MiB",
        )


def law(case: str, seen: Mapping[str, Sequence[float]], unit: str = "ms") -> Line:
    """The exponent of each round, and the medians it is fitted to."""
    rounds = zip(*seen.values(), strict=True)
    exponents = [
        float(np.polyfit(np.log([*map(int, seen)]), np.log(times), 1)[0]) for times in rounds
    ]
    scale = 1e3 if unit == "ms" else 1
    shown = ", ".join(f"{size}: {scale * median(times):.3g} {unit}" for size, times in seen.items())
    return Line("growth", case, shown, exponents, "(exponent)")


ROWS = {
    f.__name__: f
    for f in (
        *(step, vectorised, mmd, mmd_memory, mmd_kin, batches, frozen),
        *(sweep, pictures, startup, first_step, reports, growth),
    )
}


BEYOND_GPU = ("mmd_memory", "sweep", "pictures", "startup", "first_step", "reports")
"""Rows in which no GPU computes."""


def table(lines: Sequence[Line]) -> str:
    """As Markdown."""
    head = ["row", "case", "what", "device", "median (lowest to highest)", "goal"]
    rows = [head, ["---"] * len(head), *(line.cells() for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main(arguments: Sequence[str]) -> None:
    """Measures, and writes what was asked for."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small sizes, three rounds")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes it starts
    lines: list[Line] = []
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        for name in parsed.rows:
            if device == "cuda" and name in BEYOND_GPU:
                continue
            for line in ROWS[name](Bench(torch.device(device), parsed.quick)):
                lines.append(replace(line, device=device))
                print("; ".join(filter(None, lines[-1].cells())), file=sys.stderr, flush=True)
    text = table(lines)
    print(text)
    if parsed.markdown:
        parsed.markdown.write_text(text + "\n", "utf-8")
    if parsed.json:
        record = {**results.environment(), "lines": [line.record() for line in lines]}
        parsed.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
