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
from rich.text import Text
from torch import Tensor

from da_framework.callbacks.base import Callback, Evaluation
from da_framework.callbacks.checkpoints import Checkpoints
from da_framework.config.schema import check_config, instantiate
from da_framework.config.settings import Settings
from da_framework.core.batch import Batch, Outputs, Term
from da_framework.core.errors import one_line
from da_framework.core.labels import LABELLED_ROLES
from da_framework.core.terminal import open_console
from da_framework.core.text import printable
from da_framework.datasets.base import Dataset
from da_framework.datasets.datamodule import VIEWS
from da_framework.methods.base import Method
from da_framework.methods.extra import Extra
from da_framework.metrics.domain_distance import domain_accuracy, logistic_domain_accuracy
from da_framework.results.folder import RunFolder
from da_framework.training.build import Run, build
from da_framework.training.trainer import build_trainer

WARM = 200
"""Steps of training within which a method's terms must have a gradient."""
SHORT = 12
"""Steps of the runs that are compared bit for bit."""
FALL = 0.05
"""By how much a method that aligns must lower the domain accuracy."""
SMALL = ({"source": 5, "target": 3}, {"source": 2, "target": 7}, {"source": 2, "target": 2})
"""Sizes of small and unequal batches."""

SOURCES = ("straight", "halfway")
"""Two domains of the known shift, both as sources."""

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

    Looked at again and again: a method may wait for predictions it can trust.
    """
    config = {**config, "steps": WARM, "evaluate_every": WARM // 4}
    watched = GradientWatch()
    with suppress(Stop):  # the first quarter is often enough
        fit_config(config, callbacks=[watched])
    norms = watched.norms
    if not norms:
        return None, "adds no terms"
    detail = ", ".join(f"|gradient of {name}| = {norm:.2g}" for name, norm in norms.items())
    return any(norm > 0 for norm in norms.values()), detail


def terms_learn_from_what_they_read(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """A term of a move of the encoder has a gradient in every role that its value depends on."""
    if method_class(config).closed_form:
        return None, "has no terms"
    run = build(config)
    method = run.module.method
    refresh_with_drawn_outputs(run, seed=0)
    method.progress = 0.5  # where ramps have begun
    batch = {
        role: samples._replace(x=samples.x.clone().requires_grad_())
        for role, samples in run.domains.batch(0).items()
    }
    terms = encoder_terms(method, batch)
    read: list[str] = []
    detached: list[str] = []
    for role, samples in batch.items():
        change = torch.randn(samples.x.shape, generator=torch.Generator().manual_seed(0))
        moved = samples._replace(x=samples.x.detach() + 0.1 * change)
        for name, term in encoder_terms(method, {**batch, role: moved}).items():
            value = terms[name].value
            labelled = name.partition(" ")[0] in LABELLED_ROLES
            if labelled or torch.allclose(term.value, value, rtol=1e-5, atol=1e-6):
                continue
            read.append(f"{name} from {role}")
            gradient = (
                torch.autograd.grad(value, samples.x, retain_graph=True, allow_unused=True)[0]
                if value.requires_grad
                else None
            )
            if gradient is None or not gradient.any():
                detached.append(f"{name} reads {role} and has no gradient there")
    return not detached, "; ".join(detached) or ", ".join(read) or "reads no sample"


def brings_domains_together(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """A linear classifier tells the domains apart less well than without the method."""
    if not method_class(config).aligns:
        return None, "does not claim to"
    config = {**config, "evaluate_every": config["steps"] // 4}
    without = DomainAccuracyWatch({config["steps"] // 2: 1.0})  # whatever it is
    with suppress(Stop):  # half of the training, or a quarter, is often enough
        fit_config(config, change=without_method_terms, callbacks=[without])
    watched = DomainAccuracyWatch({step: seen - FALL for step, seen in without.seen.items()})
    with suppress(Stop):
        fit_config(config, callbacks=[watched])
    step, accuracy_with = list(watched.seen.items())[-1]
    if step not in without.seen:
        without = DomainAccuracyWatch({})
        fit_config(config, change=without_method_terms, callbacks=[without])
    accuracy = without.seen[step]
    detail = f"held-out linear domain accuracy {accuracy_with:.3f}, without the method "
    return accuracy_with <= accuracy - FALL, f"{detail}{accuracy:.3f}, at step {step}"


def judges_the_shift_on_held_out_samples(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Of noise in many dimensions, whose samples can be learnt by heart, it sees no shift."""
    draws = torch.Generator().manual_seed(0)
    source, target = (torch.randn(60, 200, generator=draws) for _ in range(2))
    accuracies = {
        "ridge": domain_accuracy(source, target, rows=1000),
        "logistic": logistic_domain_accuracy(source, target),
    }
    detail = ", ".join(f"{name} {value:.2f}" for name, value in accuracies.items())
    return max(accuracies.values()) < 0.75, f"domain accuracy without a shift: {detail}"


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
    run = build({**config, "dataset": config["dataset"] | {"source": list(SOURCES)}})
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


def never_sees_the_target(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """With another target, of other samples and fewer, it ends with the same state and scores."""
    method = method_class(config)
    if not method.generalizes:
        return None, "does not claim to"
    config = short_config(config)
    expected = fit_config(config).module
    other = instantiate(config["dataset"])
    for name in other.target:
        domain = other[name]
        half = len(domain.y) // 2
        x = 3 * np.roll(domain.x[:half], 1, axis=0) - 7
        other.replace(name, domain._replace(x=x.astype(domain.x.dtype), y=domain.y[:half]))
    actual = fit_config(config, dataset=other).module
    wrong = differing_tensors(expected.state_dict(), actual.state_dict())
    if wrong:
        return False, f"differs in {', '.join(wrong[:3])}"
    scores = [
        [row["score"] for row in module.history if "score" in row] for module in (expected, actual)
    ]
    same = scores[0] == scores[1]
    return same, f"{'equal' if same else 'the scores differ'} under another target"


def splits_ignore_target_labels(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whatever the target's labels are, the same samples train, validate and test."""
    for protocol in ("inductive", "transductive"):
        keys = {"protocol": protocol, "labels_per_class": 0, "val": 0.2, "test": 0.3}
        expected, shuffled = (instantiate(config["dataset"] | keys) for _ in range(2))
        shuffle_target_labels(shuffled, given={})
        splits = [
            [*split.train.items(), *split.validation.items(), ("test", split.test)]
            for split in (expected.split_roles(), shuffled.split_roles())
        ]
        for (role, parts), (_, others) in zip(*splits, strict=True):
            for part, other in zip(parts, others, strict=True):
                if not np.array_equal(part.rows, other.rows):
                    return False, f"{protocol}: other samples of {part.domain} are {role}"
    return True, "equal, inductive and transductive"


def validators_never_see_test_samples(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Under the inductive protocol, no sample that is tested on is shown to a validator."""
    keys = {"protocol": "inductive", "val": 0.2, "test": 0.3}
    config = short_config(config) | {"dataset": config["dataset"] | keys}
    run = build(config)
    shown: list[Tensor] = []

    def watch(outputs: Mapping[str, Outputs]) -> float:
        shown.extend(seen.x for role, seen in outputs.items() if role == "target")
        return 0.0

    run.module.validator = watch
    fit_run(run, config)
    if not shown:
        return run.module.method.generalizes, "are shown the source alone"
    seen, tested = torch.cat(shown), run.domains.test.x
    count = int((tested[:, None] == seen).all(2).any(1).sum())
    return count == 0, f"{count} of {len(tested)} in {len(shown)} evaluations"


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


def refreshes_anew(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """What a refresh makes follows the outputs that it is given, in every epoch."""
    method = method_class(config)
    if method.closed_form or not method.refreshes:
        return None, "is fitted once" if method.closed_form else "does not refresh"
    run = build(config)
    states = [state_of(run.module.method)]
    for seed in (0, 1):
        run.module.method.progress = seed / 2
        refresh_with_drawn_outputs(run, seed=seed)
        states.append(state_of(run.module.method))
    made, made_anew = (differing_tensors(*states[n : n + 2]) for n in (0, 1))
    stale = sorted(set(made) - set(made_anew))
    if stale or not made:
        return False, f"as in the epoch before: {', '.join(stale)}" if stale else "makes nothing"
    return True, f"made anew: {', '.join(sorted(made_anew))}"


def knows_samples_by_their_row(config: Mapping[str, Any]) -> tuple[bool | None, str]:
    """What is kept of samples is theirs, wherever in a batch they stand."""
    method = method_class(config)
    if method.closed_form or not method.refreshes:
        return None, "keeps nothing of samples"
    run = build(config)
    refresh_with_drawn_outputs(run, seed=0)
    batch = run.domains.batch(0)
    turned = {
        role: samples.at(torch.arange(len(samples.x)).flip(0)) for role, samples in batch.items()
    }
    expected, actual = (encoder_terms(run.module.method, given) for given in (batch, turned))
    wrong = [
        name
        for name, term in expected.items()
        if not torch.allclose(actual[name].value, term.value, rtol=1e-4, atol=1e-6)
    ]
    return not wrong, f"changes with the order: {', '.join(wrong)}" if wrong else "in any order"


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
    terms_learn_from_what_they_read,
    brings_domains_together,
    judges_the_shift_on_held_out_samples,
    nothing_at_weight_zero,
    takes_any_batch,
    takes_several_sources,
    takes_extra_terms,
    resumes_bit_for_bit,
    ignores_target_labels,
    never_sees_the_target,
    splits_ignore_target_labels,
    validators_never_see_test_samples,
    two_processes_equal_one,
    refreshes_anew,
    knows_samples_by_their_row,
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
    if method.compares_sources and len(config["dataset"].get("source") or ()) == 1:
        config["dataset"] = config["dataset"] | {"source": list(SOURCES)}
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


class GradientWatch(Callback):
    """Follows the gradients that added terms have in the encoder; ends a run once one has some.

    Attributes:
        norms: of each term, when it was last looked at.
    """

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        if evaluation.step == 0:
            return
        trained: Any = module
        with torch.enable_grad():
            batch = trained.domains.batch(evaluation.step)
            self.norms = gradient_norms(trained.method, batch)
        if any(norm > 0 for norm in self.norms.values()):
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


def refresh_with_drawn_outputs(run: Run, *, seed: int) -> None:
    """Refreshes a method with outputs in which classes are clusters; the target's are drawn."""
    method, draws = run.module.method, torch.Generator().manual_seed(seed)
    outputs = {}
    for role in method.refreshes:
        plain = method.evaluate_samples(run.domains.train[role])
        k, d = len(run.domains.task.classes), plain.features.shape[1]
        centres = torch.randn(k, d, generator=torch.Generator().manual_seed(0))
        shares = torch.rand(k, generator=draws) + 0.1
        drawn = shares.multinomial(len(plain.y), replacement=True, generator=draws)
        labels = torch.where(plain.y < 0, drawn, plain.y)
        features = centres[labels] + 0.1 * torch.randn(plain.features.shape, generator=draws)
        outputs[role] = plain._replace(
            features=features.to(plain.features),
            logits=4 * torch.eye(plain.logits.shape[1])[labels].to(plain.logits),
        )
    method.refresh(outputs)


def gradient_norms(method: Method, batch: Batch) -> dict[str, float]:
    """The norm of the gradient that each added term has in the encoder, over all moves."""
    parameters = [p for p in method.network.encoder.parameters() if p.requires_grad]
    norms: dict[str, float] = {}
    for objective in method.objectives(batch):
        added = {n: t for n, t in objective.terms.items() if n not in LABELLED_ROLES}
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
    return norms


def encoder_terms(method: Method, batch: Batch) -> dict[str, Term]:
    """The terms of a step's moves that the encoder takes part in, each with its move's number."""
    encoder = {id(p) for p in method.network.encoder.parameters()}
    torch.manual_seed(0)
    method.generator.manual_seed(0)
    terms: dict[str, Term] = {}
    for number, objective in enumerate(method.objectives(batch), start=1):
        modules = [module for part in objective.updates for module in method.parts()[part]]
        if encoder & {id(p) for module in modules for p in module.parameters()}:
            terms |= {f"{name} of move {number}": t for name, t in objective.terms.items()}
    return terms


def state_of(method: Method) -> dict[str, Tensor]:
    """A copy of a method's state."""
    return {name: value.clone() for name, value in method.state_dict().items()}


def with_shuffled_labels(dataset: Dataset) -> Dataset:
    """The data set with the target's labels in another order, but for those given away."""
    split = dataset.split_roles()
    given = {part.domain: part.rows for part in split.train.get("target_labelled", ())}
    shuffle_target_labels(dataset, given=given)
    dataset.split_roles = lambda: split  # type: ignore[method-assign]
    return dataset


def shuffle_target_labels(dataset: Dataset, *, given: Mapping[str, Any]) -> None:
    """Brings the target's labels into another order, but for those of these samples by domain."""
    for name in dataset.target:
        domain = dataset[name]
        hidden = np.setdiff1d(np.arange(len(domain.y)), given.get(name, []))
        y = domain.y.copy()
        y[hidden] = np.random.default_rng(0).permutation(y[hidden])
        dataset.replace(name, domain._replace(y=y))


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


@contextmanager
def without_logs() -> Iterator[None]:
    """Without what the runs of checks say of themselves; warnings are said."""
    logger = logging.getLogger("da_framework")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def print_checks(config: Mapping[str, Any]) -> bool:
    """Prints a line for each check; whether none fails.

    Raises:
        InputError: a key is wrong, or a part is missing.
    """
    config = check_config(config, Settings)
    torch.set_num_threads(1)
    console = open_console()
    begun = time.perf_counter()
    marks = {True: ("passed", "green"), False: ("FAILED", "red"), None: ("  -   ", "dim")}
    good = True
    with without_logs():
        for finding in check_method(config):
            detail = printable(f"{finding.check}: {finding.detail}")
            console.print(Text.assemble(marks[finding.passed], " ", detail), soft_wrap=True)
            good &= finding.passed is not False
    console.print(f"{time.perf_counter() - begun:.1f} s")
    return good
