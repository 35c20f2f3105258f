"""The self-check: holds a method against what every method must do, on a known shift."""

import copy
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import Tensor

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.callbacks.checkpoints import Checkpoints
from da_framework.config.schema import check_config, instantiate
from da_framework.config.settings import Settings
from da_framework.core.errors import one_line
from da_framework.datasets.base import Dataset
from da_framework.datasets.datamodule import VIEWS
from da_framework.methods.base import Method
from da_framework.methods.extra import Extra
from da_framework.metrics.domain_distance import logistic_domain_accuracy
from da_framework.results.folder import RunFolder
from da_framework.training.build import Run, build
from da_framework.training.trainer import build_trainer

WARM = 200
"""Steps of training after which a method's terms are looked at."""
SHORT = 12
"""Steps of the runs that are compared bit for bit."""
FALL = 0.05
"""By how much a method that aligns must lower the domain accuracy."""
SMALL = ({"source": 5, "target": 3}, {"source": 2, "target": 7}, {"source": 2, "target": 2})
"""Sizes of small and unequal batches."""

Check = Callable[[Mapping[str, Any]], tuple[bool | None, str]]
"""What a method must do: whether it does, and the figure."""


class Finding(NamedTuple):
    """What a check says of a method.

    Attributes:
        check: what the method must do.
        passed: whether it does; ``None`` where that cannot apply.
        detail: the figure, or why not.
    """

    check: str
    passed: bool | None
    detail: str


def check_method(
    config: Mapping[str, Any], checks: Sequence[Check] | None = None
) -> Iterator[Finding]:
    """Every check, one after the other.

    Args:
        config: of ``conf/check.yaml`` with the method in question.
        checks: some of ``CHECKS``, if not all.
    """
    exempt = method_class(config).exempt_from
    with fit_for_method(config) as config:
        for check in checks or CHECKS:
            name = check.__name__
            try:
                passed, detail = (None, exempt[name]) if name in exempt else check(config)
            except Exception as error:  # whatever a method does wrong is its own finding
                passed, detail = False, f"{type(error).__name__}: {one_line(error)}"
            yield Finding(name.replace("_", " "), passed, detail)
        for name in exempt.keys() - {check.__name__ for check in CHECKS}:
            yield Finding(name, False, "is no check that a method could be exempt from")


def terms_have_gradient(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """The added terms have a gradient in the encoder; a detached one would do nothing, silently.

    After some steps: a method may wait for predictions it can trust.
    """
    config = {**config, "steps": WARM, "evaluate_every": WARM // 4}
    run = fit_config(config)
    method = run.module.method
    parameters = [p for p in method.network.encoder.parameters() if p.requires_grad]
    norms: dict[str, float] = {}
    for objective in method.objectives(run.domains.batch(WARM)):
        added = {n: t for n, t in objective.terms.items() if n not in ("source", "target_labelled")}
        for name, term in added.items():
            gradients = (
                torch.autograd.grad(
                    term.weight * term.value, parameters, retain_graph=True, allow_unused=True
                )
                if term.value.requires_grad and parameters
                else ()
            )
            squares = sum(g.square().sum().item() for g in gradients if g is not None)
            norms[name] = norms.get(name, 0.0) + squares**0.5
    if not norms:
        return None, "adds no terms"
    detail = ", ".join(f"|gradient of {name}| = {norm:.2g}" for name, norm in norms.items())
    return any(norm > 0 for norm in norms.values()), detail


def brings_domains_together(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """A linear classifier tells the domains apart less well than without the method."""
    if not method_class(config).aligns:
        return None, "does not claim to"
    without, watched = DomainAccuracyWatch({}), DomainAccuracyWatch({})
    fit_config(config, change=without_method_terms, callbacks=[without])
    watched.bar = {step: accuracy - FALL for step, accuracy in without.seen.items()}
    with suppress(Stop):  # half of the training is often enough
        fit_config(config, callbacks=[watched])
    step, accuracy_with = list(watched.seen.items())[-1]
    detail = f"held-out linear domain accuracy {accuracy_with:.3f}, without the method "
    return accuracy_with <= watched.bar[step], f"{detail}{without.seen[step]:.3f}, at step {step}"


def nothing_at_weight_zero(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """With the knobs at 0 the task's weights are those without the method, dropout included."""
    config = short_config(config) | {"network": config["network"] | {"dropout": 0.5}}
    knobs = [name for name in ("weight", "coefficient") if name in config["method"]]
    if not knobs:
        return None, "has no weight and no coefficient"
    expected = fit_config(config, change=without_method_terms).module.method.network.state_dict()
    wrong = []
    for knob in knobs:
        changed = config | {"method": config["method"] | {knob: 0.0}}
        actual = fit_config(changed).module.method.network.state_dict()
        wrong += [f"{knob}=0 changes {name}" for name in differing_tensors(expected, actual)]
    return not wrong, "; ".join(wrong[:3]) or " and ".join(
        f"{knob}=0" for knob in knobs
    ) + ": equal"


def takes_any_batch(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Small batches, and more rows of one role than of another, give finite terms."""
    run = build(config)
    method, wrong = run.module.method, []
    for sizes in SMALL:
        batch = {
            role: samples.at(slice(sizes.get(VIEWS.get(role, role), 4)))
            for role, samples in run.domains.batch(0).items()
        }
        for objective in method.objectives(batch):
            wrong += [
                f"{name} is {term.value.item()} at {sizes}"
                for name, term in objective.terms.items()
                if not term.value.isfinite()
            ]
    shown = ", ".join("+".join(str(n) for n in sizes.values()) for sizes in SMALL)
    return not wrong, "; ".join(wrong) or f"finite at {shown}"


def takes_several_sources(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """With two sources its terms are finite."""
    if "source" not in method_class(config).roles:
        return None, "takes none"
    run = build({**config, "dataset": config["dataset"] | {"source": ["straight", "halfway"]}})
    wrong = [
        f"{name} is {term.value.item()}"
        for objective in run.module.method.objectives(run.domains.batch(0))
        for name, term in objective.terms.items()
        if not term.value.isfinite()
    ]
    return not wrong, "; ".join(wrong) or "finite with two"


def takes_extra_terms(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """What the configuration adds (``term=[...]``) is among its terms."""
    run = build(config)
    method = run.module.method
    role = "source" if "source" in method.roles else method.roles[0]
    read: Any = f"{role}.features"
    method.extra = {"size": Extra(loss=torch.mean, reads=[read], weight=1.0, ramp=1.0)}
    moves = [own.terms for own in method.objectives(run.domains.batch(0))]
    count = sum("extra_size" in terms for terms in moves)
    return count == 1, f"in {count} of its {len(moves)} moves"


def resumes_bit_for_bit(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Stopped in the middle and continued from its checkpoint, it ends with the same state."""
    config = short_config(config) | {"checkpoint_every": SHORT // 3}
    expected = fit_config(config).module.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        with suppress(Stop):
            fit_config(config, callbacks=[Checkpoints(folder), Interruption(SHORT // 2 + 1)])
        resumed = fit_config(config, checkpoint=RunFolder(Path(folder)).checkpoint("last"))
    wrong = differing_tensors(expected, resumed.module.state_dict())
    return not wrong, f"differs in {', '.join(wrong[:3])}" if wrong else "equal"


def ignores_target_labels(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """With the target's hidden labels shuffled in the data, it ends with the same state."""
    config = short_config(config)
    expected = fit_config(config).module.state_dict()
    shuffled = fit_config(config, dataset=with_shuffled_labels(instantiate(config["dataset"])))
    wrong = differing_tensors(expected, shuffled.module.state_dict())
    return not wrong, f"differs in {', '.join(wrong[:3])}" if wrong else "equal"


def two_processes_equal_one(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Two processes with half the batch each end where one does, to rounding."""
    config = short_config(config) | {"network": config["network"] | {"dropout": 0.0}}
    single = config["trainer"] | {"precision": "64-true"}
    double = single | {"devices": 2, "strategy": "ddp_fork"}
    expected, actual = (
        fit_config(config | {"trainer": trainer}, change=in_double_precision).module.state_dict()
        for trainer in (single, double)
    )
    gap = max(
        (actual[n] - expected[n]).abs().max().item()
        for n in expected
        if expected[n].is_floating_point()
    )
    return gap < 1e-9, f"largest difference {gap:.1e}"


def restores_modes(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """An evaluation and a step leave every module in the mode it was in."""
    run = build(config)
    method = run.module.method.train()
    before = {name: module.training for name, module in method.named_modules()}
    method.evaluate_samples(run.domains.test)
    for _ in method.objectives(run.domains.batch(0)):
        pass
    wrong = [name for name, module in method.named_modules() if module.training != before[name]]
    return not wrong, f"changed: {', '.join(wrong)}" if wrong else "restored"


def keeps_its_state(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """What training changes is in the state dict: nothing else would survive a checkpoint."""
    run = build(short_config(config))
    method = run.module.method
    before = {n: copy.deepcopy(unregistered_state(m)) for n, m in method.named_modules()}
    fit_run(run, short_config(config))
    wrong = []
    for name, module in method.named_modules():
        now = unregistered_state(module)
        wrong += [
            f"{name}.{key}".lstrip(".")
            for key in now
            if not is_equal(now[key], before[name].get(key))
        ]
        wrong += [
            f"{name}.{key} (a tensor that is no buffer)".lstrip(".")
            for key, value in now.items()
            if isinstance(value, Tensor)
        ]
        wrong += [
            f"{name}.{key} (not persistent)".lstrip(".")
            for key in module._non_persistent_buffers_set
        ]
    return not wrong, f"lost: {', '.join(wrong)}" if wrong else "all of it"


CHECKS = (
    terms_have_gradient,
    brings_domains_together,
    nothing_at_weight_zero,
    takes_any_batch,
    takes_several_sources,
    takes_extra_terms,
    resumes_bit_for_bit,
    ignores_target_labels,
    two_processes_equal_one,
    restores_modes,
    keeps_its_state,
)


# what the checks are made of


@contextmanager
def fit_for_method(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The config with what the method cannot do without: labelled rows, or a trained network."""
    config = dict(config)
    method = method_class(config)
    if "target_labelled" in method.roles:
        config["dataset"] = config["dataset"] | {"labels_per_class": 5}
    if method.closed_form:
        identity = {"_target_": "da_framework.networks.mlp.Identity", "_partial_": True}
        config["network"] = config["network"] | {"backbone": identity, "bottleneck": []}
        if "components" in config["method"]:
            # fewer than the two features there are, or a projection leaves nothing out
            config["method"] = config["method"] | {"components": 1}
    if method.needs_batch_norm:
        network = config["network"]
        config["network"] = network | {"backbone": network["backbone"] | {"batch_norm": True}}
    begun = not method.needs_init_from or config.get("init_from")
    taught = not method.needs_teachers or config.get("teachers")
    if begun and taught:
        yield config
        return
    with tempfile.TemporaryDirectory() as folder:
        first = {"_target_": f"{__name__}.SourceFirst", "_partial_": True}
        base = {name: config["method"][name] for name in ("alpha", "batch_norm")}
        former = {**config, "method": first | base, "steps": WARM, "evaluate_every": WARM}
        run = fit_config(former)
        place = RunFolder(Path(folder))
        place.checkpoints.mkdir()
        torch.save({"state_dict": run.module.state_dict()}, place.checkpoint("last"))
        classes = list(run.domains.task.classes)
        place.write_record({"key": "", "config": former, "target": {}, "classes": classes})
        yield (
            config
            | ({} if begun else {"init_from": folder})
            | ({} if taught else {"teachers": [folder]})
        )


class SourceFirst(Method):
    """What a method goes on from."""

    roles: ClassVar = ("source",)
    optional: ClassVar = ()


class Stop(Exception):  # noqa: N818
    """Ends a run in the middle."""


class Interruption(Callback):
    """Ends a run once so many steps are done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if module.step >= self.step:
            raise Stop


class DomainAccuracyWatch(Callback):
    """Follows how well the domains can be told apart; ends a run in which it is little enough.

    Args:
        bar: by step, what ends it.
    """

    def __init__(self, bar: Mapping[int, float]) -> None:
        self.bar = bar
        self.seen: dict[int, float] = {}

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        if evaluation.step == 0:
            return
        trained: Any = module
        self.seen[evaluation.step] = logistic_domain_accuracy(
            *(
                trained.method.evaluate_samples(trained.domains.train[role]).features
                for role in ("source", "target")
            )
        )
        if self.seen[evaluation.step] <= self.bar.get(evaluation.step, -1.0):
            raise Stop


def fit_config(
    config: Mapping[str, Any],
    *,
    change: Callable[[Run], Run] = lambda run: run,
    dataset: Dataset | None = None,
    callbacks: list[Callback] | None = None,
    checkpoint: Path | None = None,
) -> Run:
    """Builds, changes and trains."""
    run = change(build(config, dataset))
    fit_run(run, config, callbacks=callbacks, checkpoint=checkpoint)
    return run


def fit_run(
    run: Run,
    config: Mapping[str, Any],
    *,
    callbacks: list[Callback] | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Trains without a trace."""
    trainer = build_trainer(config, callbacks=callbacks or [], loggers=[])
    trainer.fit(run.module, datamodule=run.domains, ckpt_path=checkpoint, weights_only=True)


def short_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A few steps, an evaluation and a refresh among them."""
    return {**config, "steps": SHORT, "evaluate_every": SHORT // 2, "flush_every": 3}


def method_class(config: Mapping[str, Any]) -> type[Method]:
    """The class of the method."""
    method: type[Method] = instantiate(config["method"]).func
    return method


def without_method_terms(run: Run) -> Run:
    """The same network and passes under the classification loss alone."""
    method = run.module.method
    passes = {"roles": method.roles, "optional": method.optional}
    plain = type("Plain", (Method,), passes)(
        method.network.requires_grad_(True),
        method.task,
        alpha=method.alpha,
        batch_norm=method.batch_norm,
    )
    run.module.method = plain
    return run


def in_double_precision(run: Run) -> Run:
    """In double precision already here: nothing is rounded on the way back from a process."""
    run.module.double()
    return run


def with_shuffled_labels(dataset: Dataset) -> Dataset:
    """The data set with the target's labels in another order, but for those given away."""
    split = dataset.split_roles()
    given = {part.domain: part.rows for part in split.train.get("target_labelled", ())}
    for name in dataset.target:
        domain = dataset[name]
        hidden = np.setdiff1d(np.arange(len(domain.y)), given.get(name, []))
        y = domain.y.copy()
        y[hidden] = np.random.default_rng(0).permutation(y[hidden])
        dataset.replace(name, domain._replace(y=y))
    dataset.split_roles = lambda: split  # type: ignore[method-assign]
    return dataset


def differing_tensors(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Names of what is not equal bit for bit."""
    return [
        name
        for name in first.keys() | second.keys()
        if not is_equal(first.get(name), second.get(name))
    ]


def is_equal(first: Any, second: Any) -> bool:
    """Equal, tensors bit for bit."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    return type(first) is type(second) and bool(first == second)


def unregistered_state(module: torch.nn.Module) -> dict[str, Any]:
    """Numbers and tensors that a module holds outside its parameters and buffers."""
    kept = ("training", "progress")
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Tensor | int | float | list | dict)
        and not name.startswith("_")
        and name not in kept
    }


def print_checks(config: Mapping[str, Any]) -> bool:
    """Prints a line for each check; whether none fails.

    Raises:
        InputError: a key is wrong, or a part is missing.
    """
    check_config(config, Settings)
    torch.set_num_threads(1)
    logging.getLogger("da_framework").setLevel(logging.WARNING)
    console = Console(highlight=False)
    begun = time.perf_counter()
    marks = {True: "[green]passed[/]", False: "[red]FAILED[/]", None: "[dim]  -   [/]"}
    good = True
    for finding in check_method(config):
        line = f"{marks[finding.passed]} {finding.check}: {finding.detail}"
        console.print(line, soft_wrap=True)
        good &= finding.passed is not False
    console.print(f"{time.perf_counter() - begun:.1f} s")
    return good
