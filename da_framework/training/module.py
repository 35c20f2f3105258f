"""The one training loop: it runs any method and names none."""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from da_framework.callbacks.base import Callback, Evaluation, add_verdict
from da_framework.core.batch import Batch, Outputs, Samples, as_input
from da_framework.core.errors import DivergedError, InputError, listed
from da_framework.core.schedules import Constant, Schedule
from da_framework.core.seeding import fold, mix
from da_framework.datasets.datamodule import Domains
from da_framework.methods.base import Method
from da_framework.metrics.classification import metrics_per_domain
from da_framework.metrics.domain_distance import domain_mmd
from da_framework.training.memory import describe_device, gpu_memory
from da_framework.training.meter import Meter
from da_framework.training.optimizers import Optimizer
from da_framework.training.step_seed import seed_generators, seed_step
from da_framework.validators.validation import Validation

Validator = Callable[[Validation], float]
"""Scores a checkpoint without target labels; higher is better."""


class PackedSteps(pl.Callback):
    """Marks the Trainer of ``da train``, under which one of Lightning's batches is many steps."""


class Adaptation(pl.LightningModule):
    """Trains a method on domains, step by step.

    Lightning's loader yields zeros: a step asks ``Domains.batch`` for its samples itself, by its
    number. Under the Trainer of ``da train`` one of Lightning's batches may be many steps. Under
    any other it is one step, which ``global_step`` counts, and ``evaluate_every`` of them are an
    epoch, after which ``callback_metrics`` has the figures of the evaluation: ``max_steps`` and
    ``fast_dev_run`` stop training, while schedules still run over ``steps``.

    A step's batch and random numbers are functions of seed, step and rank, so a checkpoint needs
    the step alone to go on bit for bit.

    Args:
        method: what is trained.
        optimizer: makes an optimizer for each part of the method.
        validator: chooses among the evaluations, without target labels.
        steps: of training.
        seed: of the random numbers of each step.
        scheduler: factor on the learning rate, as a function of progress; ``None`` is 1.
        evaluate_every: steps between two evaluations, and between two refreshes of a method that
            does not say how many.
        flush_every: steps between two readings of the losses.
        checkpoint_every: steps between two checkpoints. Where one of the three is ``None``, it is
            at the end alone.
        inner_steps: steps in one of Lightning's batches; ``None``: as many as fit in .1 s.
        early_stopping: evaluations in a row that the validator likes no better than the one it has
            chosen, after which training ends; ``None``: it never does.

    Attributes:
        step: steps done.
        history: a row of figures for every flush and every evaluation.
        picks: the evaluations that results show: ``last``, ``chosen`` by the validator where one
            has a finite score, and ``oracle``, the best on target labels, where there are any.
        verdicts: what is ill, by kind: the step it was first seen at, and words for a person.
        seconds: of training, those before a resume included.
        machine: what it is trained on, and with how many threads; empty before.
        called_off: the signal that asked training to end; empty if none did.
        started: whether training has begun: all that a checkpoint holds is where it belongs.
        epoch_steps: steps in an epoch of Lightning's; ``None`` where it has but one.
        latest: the figures last recorded, by name.
    """

    domains: Domains

    def __init__(
        self,
        method: Method,
        *,
        optimizer: Optimizer,
        validator: Validator,
        steps: int,
        seed: int,
        scheduler: Schedule | None = None,
        evaluate_every: int | None = None,
        flush_every: int | None = None,
        checkpoint_every: int | None = None,
        inner_steps: int | None = None,
        early_stopping: int | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.method = method
        self.optimizer = optimizer
        self.scheduler = scheduler or Constant(1.0)
        self.steps = steps
        self.evaluate_every = evaluate_every or steps
        self.refresh_every = method.refresh_every or self.evaluate_every
        self.flush_every = flush_every or steps
        self.checkpoint_every = checkpoint_every or steps
        self.inner_steps = inner_steps
        self.early_stopping = early_stopping
        self.epoch_steps: int | None = None
        self.seed = seed
        self.folded = {purpose: fold(0, seed, purpose) for purpose in ("step", "method")}
        self.validator = validator
        self.meter = Meter()
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.latest: dict[str, float] = {}
        self.picks: dict[str, dict[str, Any]] = {}
        self.verdicts: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0
        self.machine: dict[str, Any] = {}
        self.stop_signal = ""
        self.started = False
        self.hooked = True
        self.begun = perf_counter()
        self.parts: dict[str, tuple[torch.optim.Optimizer, list[nn.Parameter]]] = {}

    # one step

    def training_step(self, batch: int, batch_index: int) -> None:
        """As many steps as fit in a tenth of a second: Lightning's cost is paid once for all.

        How many never changes a number. Processes must stay together, so each takes one, or as many
        as ``inner_steps`` says. Under a Trainer of a person's own it is one.
        """
        if self.epoch_steps is not None:
            self.take_counted_step()
            return
        world, rank = self.trainer.world_size, self.global_rank
        taken, deadline = 0, perf_counter() + (0.1 if world == 1 else 0.0)
        left = 0 if self.ended else self.steps_to_work
        while left:
            self.take_step(self.domains.batch(self.step, rank, world))
            taken, left = taken + 1, left - 1
            enough = taken == self.inner_steps if self.inner_steps else perf_counter() > deadline
            if enough or self.stop_signal:
                break
        if taken:
            self.run_due_work()
        if self.ended:
            self.trainer.should_stop = True

    def take_counted_step(self) -> None:
        """One step that Lightning counts, as it would that of an optimizer of its own."""
        if not self.ended:
            world, rank = self.trainer.world_size, self.global_rank
            self.take_step(self.domains.batch(self.step, rank, world))
            counted = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
            counted.increment_ready()
            counted.increment_completed()
            self.run_due_work()
        if self.ended or 0 <= self.trainer.max_steps <= self.trainer.global_step:
            self.trainer.should_stop = True

    def take_step(self, batch: Batch) -> None:
        """Every move of the method on one batch."""
        step, method = self.step, self.method
        # what ``seed_step`` does; seed and purpose are folded in once for all steps
        seed_generators(self.device, fold(self.folded["step"], step, self.global_rank) >> 1)
        method.generator.manual_seed(fold(self.folded["method"], step) >> 1)
        method.progress = step / self.steps
        for objective in method.objectives(batch):
            self.clear_gradients()
            self.compute_gradients(objective.total)
            self.step_parts(objective.updates)
            method.updated(objective)
            self.meter.add(step, objective.terms)
        self.step = step + 1

    def compute_gradients(self, loss: Tensor) -> None:
        """Of a loss; past Lightning's hooks where nobody would hear of them."""
        if self.hooked:
            self.manual_backward(loss)
        else:
            loss.backward()  # type: ignore[no-untyped-call]

    def clear_gradients(self) -> None:
        """Of everything that is trained; without the walk over all modules of ``zero_grad``."""
        for _, parameters in self.parts.values():
            for parameter in parameters:
                parameter.grad = None

    def step_parts(self, names: tuple[str, ...]) -> None:
        """Moves these parts: unscale all, clip, step all, update the scaler once."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        rate = self.scheduler(self.method.progress)
        if not self.parts.keys() >= {*names}:
            unknown = {*names} - self.parts.keys()
            raise InputError(
                f"{type(self.method).__name__} updates {listed(sorted(unknown))}, "
                f"but its parts are {listed(self.parts)}"
            )
        for name in names:
            optimizer, parameters = self.parts[name]
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate
            if scaler is not None:
                scaler.unscale_(optimizer)
            if self.optimizer.clip is not None:
                nn.utils.clip_grad_norm_(parameters, self.optimizer.clip)
        for name in names:
            optimizer, _ = self.parts[name]
            optimizer.step() if scaler is None else scaler.step(optimizer)
        if scaler is not None:
            scaler.update()

    # between steps

    def run_due_work(self) -> bool:
        """Whether something stands between this step and the next; if so, does it."""
        if not self.is_work_due:
            return False
        self.flush()
        if self.is_due(self.evaluate_every):
            self.evaluate()
        if self.is_due(self.refresh_every) and not self.ended:
            self.refresh()
        return True

    @property
    def is_work_due(self) -> bool:
        """Whether something stands between this step and the next."""
        every = (self.evaluate_every, self.refresh_every, self.checkpoint_every, self.flush_every)
        return any(map(self.is_due, every))

    @property
    def steps_to_work(self) -> int:
        """Steps up to and with the next behind which something stands: its end, if nothing else."""
        every = (self.evaluate_every, self.refresh_every, self.checkpoint_every, self.flush_every)
        return min(self.steps - self.step, *(number - self.step % number for number in every))

    @property
    def checkpointing(self) -> bool:
        """Whether this step is one to save."""
        return self.is_due(self.checkpoint_every)

    def is_due(self, every: int) -> bool:
        """Whether what is done every so many steps, and at the end, is done after this one."""
        return self.ended or self.step % every == 0

    @property
    def ended(self) -> bool:
        """Whether training is at its end: by its steps, or since it no longer gets better."""
        return self.step == self.steps or self.has_stalled

    @property
    def has_stalled(self) -> bool:
        """Whether the validator has liked nothing better for as long as is waited."""
        if self.early_stopping is None:
            return False
        best = self.picks["chosen"]["step"] if "chosen" in self.picks else 0
        waited = self.step // self.evaluate_every - best // self.evaluate_every
        return waited >= self.early_stopping

    def request_stop(self, signal: str) -> None:
        """Asks for an end after this step."""
        self.stop_signal = signal

    def flush(self) -> None:
        """Reads the losses of the last steps and records their mean.

        Raises:
            DivergedError: one of them is not finite.
        """
        means = self.meter.compute_and_reset()
        if means:
            schedules = {
                name: schedule(self.method.progress)
                for name, schedule in vars(self.method).items()
                if isinstance(schedule, Schedule)
            }
            figures = means | schedules | {"lr": self.groups()[0]["lr"]}
            self.record({f"train/{name}": value for name, value in figures.items()})

    def evaluate(self) -> None:
        """Scores the model: the validator sees hidden labels, the results true ones."""
        validation, oracle = self.outputs_to_judge()
        reading = self.read(validation, oracle)
        self.method.evaluated(self.visible(validation))
        self.pick(reading)
        self.record(shown_figures(reading))
        evaluation = Evaluation(
            *(self.step, self.domains.task, validation, oracle.labelled(), reading),
            tuple(self.method.warnings(validation)),
        )
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Callback):
                callback.on_evaluation(self.trainer, self, evaluation)

    def outputs_to_judge(self) -> tuple[Validation, Outputs]:
        """What the validator sees, and the outputs of the tested samples with their true labels.

        Raises:
            DivergedError: some are not finite.
        """
        seed_step(self.device, self.seed, self.step, 0, purpose="evaluate")
        method, domains = self.method, self.domains
        validation = Validation(
            {role: method.evaluate_samples(rows) for role, rows in domains.validation.items()},
            evaluate_samples=method.evaluate_samples,
            reverse=self.reverse,
        )
        tested = domains.test is domains.validation["target"]
        test = validation["target"] if tested else method.evaluate_samples(domains.test)
        for role, outputs in (*validation.items(), ("target", test)):
            for name, values in (("logits", outputs.logits), ("features", outputs.features)):
                if not values.isfinite().all():
                    raise DivergedError(f"step {self.step}: {name} of the {role} are not finite")
        return validation, test._replace(y=domains.oracle)

    def read(self, validation: Validation, oracle: Outputs) -> dict[str, Any]:
        """The figures of an evaluation: the validator's score, metrics of both sides."""
        reading: dict[str, Any] = {
            "step": self.step,
            "score": self.score(validation),
            "target": self.metrics(oracle),
        }
        if "source" in validation:
            reading["source"] = self.metrics(validation["source"])
            apart = domain_mmd(validation["source"], validation["target"])
            reading["target"].update(mmd=apart)
        return reading

    def metrics(self, outputs: Outputs) -> dict[str, Any]:
        """How well these outputs fit their labels."""
        calibrated = self.method.gives_probabilities
        return metrics_per_domain(outputs, self.domains.task, calibrated=calibrated)

    def score(self, validation: Validation) -> float | None:
        """What the validator makes of these outputs; none where that is not finite.

        Raises:
            InputError: it needs a role that the data has not, or that is not for it to see.
        """
        seen = self.visible(validation)
        if self.domains.dataset.left_out is not None:
            seen = seen.without("target")
        try:
            score = float(self.validator(seen))
        except KeyError as error:
            if self.method.generalizes or self.domains.dataset.left_out is not None:
                raise InputError(self.unseen_target_advice(seen)) from None
            raise InputError(
                f"the validator needs the role {error}, but the data has {listed(validation)}; "
                "validator=entropy and validator=information_maximization need the target alone"
            ) from None
        if math.isfinite(score):
            return score
        if self.step > 0:
            name = validator_name(self.validator)
            add_verdict(
                *(self.trainer, self, "validator"),
                f"the validator {name} gave {score}: an evaluation without a finite score is never "
                "chosen",
            )
        return None

    def visible(self, validation: Validation) -> Validation:
        """What method and validator may see: not the target where that is never seen."""
        return validation.without("target") if self.method.generalizes else validation

    def unseen_target_advice(self, seen: Validation) -> str:
        """Why a validator that is not shown the target has no score, and what to do."""
        kind, name = type(self.method).__name__, validator_name(self.validator)
        if "source" in seen:
            left_out = self.domains.dataset.left_out
            why = f"{kind} never sees" if left_out is None else f"dataset.left_out={left_out} hides"
            return f"validator={name} reads the target, which {why}: validator=source_accuracy"
        return (
            f"{kind} never sees the target, so it is chosen by held-out source samples, and there "
            "are none: dataset.val=0.1"
        )

    def reverse(self) -> Outputs:
        """The held-out source as seen by a copy of the method that is trained the other way.

        Raises:
            InputError: it cannot be, for want of one source and one target.
        """
        if self.trainer.world_size > 1:
            raise InputError(
                "validator=reverse_validation trains in one process: trainer.devices=1"
            )
        method = self.method
        if others := set(method.roles) - {"source", "target"}:
            raise InputError(
                f"validator=reverse_validation: {type(method).__name__} learns from the role "
                f"{listed(sorted(others))}, which the way back does not have"
            )
        known = len(method.task.classes)
        # no sample is learnt from as one of an unknown class: the likeliest of the known labels it
        domains = self.domains.reversed(
            lambda rows: method.evaluate_samples(rows).logits[:, :known].argmax(1)
        )
        twin = Adaptation(
            deepcopy(method),
            optimizer=self.optimizer,
            validator=self.validator,
            steps=max(self.step, 1),
            seed=mix(self.seed, "reverse"),
            scheduler=self.scheduler,
            evaluate_every=self.evaluate_every,
        )
        twin.trainer, twin.domains = self.trainer, domains
        twin.configure_optimizers()
        twin.method.reset_fitted(domains.task)
        twin.refresh()
        while not method.closed_form and twin.step < self.step:
            twin.take_step(domains.batch(twin.step))
            if twin.is_due(twin.refresh_every):
                twin.meter.compute_and_reset()
                twin.refresh()
        return twin.method.evaluate_samples(domains.test)

    def pick(self, reading: dict[str, Any]) -> None:
        """Keeps the evaluations that results show.

        The untrained model is never chosen, nor one without a score.
        """
        self.picks["last"] = reading
        if self.step == 0:
            return
        chosen, best = self.picks.get("chosen"), self.picks.get("oracle")
        scored = reading["score"] is not None
        if scored and (chosen is None or reading["score"] > chosen["score"]):
            self.picks["chosen"] = reading
        accuracy = reading["target"].get("accuracy")
        if accuracy is not None and (best is None or accuracy > best["target"]["accuracy"]):
            self.picks["oracle"] = reading

    def refresh(self) -> None:
        """Shows the method its outputs over whole training sets, if it asked for them."""
        if self.method.refreshes:
            seed_step(self.device, self.seed, self.step, 0, purpose="refresh")
            self.method.generator.manual_seed(mix(self.seed, "refresh", self.step))
            self.method.progress = self.step / self.steps
            train = self.domains.train
            self.method.refresh(
                {
                    r: self.method.evaluate_samples(train[r])
                    for r in self.method.refreshes
                    if r in train
                }
            )

    def record(self, figures: Mapping[str, float]) -> None:
        """A row of the history, and of every logger."""
        self.history.append({"step": self.step, **figures})
        self.latest.update(figures)
        self.log_row(self.history[-1])

    def log_row(self, row: Mapping[str, Any]) -> None:
        """Gives a row of the history to every logger."""
        figures = {name: value for name, value in row.items() if name != "step"}
        for logger in self.trainer.loggers:
            logger.log_metrics(dict(figures), step=row["step"])

    # Lightning's hooks

    def configure_callbacks(self) -> list[pl.Callback]:
        """The first hook of all: what a Trainer of a person's own cannot mean is refused here."""
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        packed = any(isinstance(callback, PackedSteps) for callback in callbacks)
        self.epoch_steps = None if packed else self.evaluate_every
        if not packed and self.trainer.state.fn == "fit":
            refuse_limits(self.trainer, self)
        return []

    def setup(self, stage: str) -> None:
        given = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(given, Domains):
            self.domains = given
        elif stage != "predict":
            raise InputError(
                "Adaptation trains on Domains: trainer.fit(run.module, run.domains); "
                "da_framework.prepare makes both, of a LightningDataModule (data=...) or of "
                "loaders (source=..., target=...)"
            )
        if self.trainer.world_size > 1:
            if self.method.closed_form:
                raise InputError(
                    f"{type(self.method).__name__} is fitted in one process: trainer.devices=1"
                )
            self.method.gather = self.gathered

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        self.optimizer.check(self.method)
        for name, modules in self.method.parts().items():
            built = self.optimizer.build(self.method, name, list(modules))
            parameters = [p for group in built.param_groups for p in group["params"]]
            self.parts[name] = (built, parameters)
        moved = [id(p) for _, parameters in self.parts.values() for p in parameters]
        for name, parameter in self.method.named_parameters():
            if parameter.requires_grad and moved.count(id(parameter)) != 1:
                raise InputError(
                    f"{type(self.method).__name__}: {name} is in {moved.count(id(parameter))} of "
                    f"the parts {listed(self.parts)}; what is trained belongs to exactly one"
                )
        return [built for built, _ in self.parts.values()]

    def on_train_start(self) -> None:
        self.started = True
        self.hooked = is_backward_hooked(self.trainer, self)
        self.begun = perf_counter() - self.seconds
        self.domains.to(self.device)
        # here, since Lightning puts the module back on the CPU at the end
        self.machine = describe_device(self.device)
        if self.epoch_steps is not None and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.trainer.fit_loop.max_epochs = -1  # not the 1000 that Lightning makes of none
        if self.step == 0 or self.ended:
            # the start of the curve; or a run that was stopped between its last step and its result
            self.history = [r for r in self.history if r["step"] < self.step or "train/lr" in r]
        # a kill may have cost a logger rows that it had not written yet; which, only it could know
        for row in self.history:
            self.log_row(row)
        if self.step in (0, self.steps):
            self.evaluate()
        if self.step == 0:
            self.refresh()
            if self.method.closed_form:
                self.step = self.steps
                self.run_due_work()

    def validation_step(self, batch: int, batch_index: int) -> None:
        """Gives Lightning's callbacks the figures of this step's evaluation, but the oracle's."""
        if self.trainer.sanity_checking:
            return
        self.domains.to(self.device)
        fitting = self.trainer.state.fn == "fit"
        if fitting and self.picks.get("last", {}).get("step") != self.step:
            self.method.train()  # as at every other evaluation
            # what is made here may be trained on
            with torch.inference_mode(False), torch.enable_grad():
                self.evaluate()
        figures = self.latest if fitting else shown_figures(self.read(*self.outputs_to_judge()))
        seen = {n: value for n, value in figures.items() if not n.startswith("oracle/")}
        # while it trains, loggers have had them
        self.log_dict(seen, logger=not fitting, batch_size=1)

    def test_step(self, batch: int, batch_index: int) -> None:
        """Metrics of the tested samples, by their true labels: ``test/accuracy`` and others.

        Raises:
            InputError: none of them has a label.
        """
        self.domains.to(self.device)
        outputs = self.method.evaluate_samples(self.domains.test)
        figures = self.metrics(outputs._replace(y=self.domains.oracle))
        if "accuracy" not in figures:
            raise InputError("the tested target has no labels: trainer.validate scores without")
        shown = {f"test/{n}": value for n, value in figures.items() if isinstance(value, float)}
        self.log_dict(shown, batch_size=1)

    def predict_step(self, batch: Any, batch_index: int) -> Tensor:
        """The softmax of the logits, as samples of the last target where no other is named.

        Args:
            batch: inputs; or inputs and whatever follows them, as loaders give them.
            batch_index: which batch it is.
        """
        x = batch[0] if isinstance(batch, tuple | list) else batch
        domain = batch.domain if isinstance(batch, Samples) else None
        logits: Tensor = self.method(as_input(x), domain)[1]
        return logits.softmax(1)

    def on_train_end(self) -> None:
        self.machine |= gpu_memory(self.device)
        self.seconds = perf_counter() - self.begun

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        terms = self.meter.peek()
        for name, value in self.method.state_dict().items():
            if value.is_floating_point() and not value.isfinite().all():
                raise DivergedError(f"step {self.step}: the weight {name} is not finite")
        checkpoint["adaptation"] = {
            "step": self.step,
            "history": self.history,
            "picks": self.picks,
            "verdicts": self.verdicts,
            "terms": terms,
            "seconds": perf_counter() - self.begun,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["adaptation"]
        self.step, self.history, self.picks = state["step"], state["history"], state["picks"]
        self.meter.seen, self.verdicts = state["terms"], state["verdicts"]
        self.seconds = state["seconds"]

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of all parts."""
        return [group for built, _ in self.parts.values() for group in built.param_groups]

    def gathered(self, x: Tensor) -> Tensor:
        """Rows of all processes in rank order, with gradient: the global batch."""
        every: Tensor = self.all_gather(x, sync_grads=x.requires_grad)  # type: ignore[assignment]
        return every.flatten(0, 1)


def validator_name(validator: Validator) -> str:
    """What a validator is called."""
    return str(getattr(validator, "func", validator).__name__)


def shown_figures(reading: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an evaluation that curves show, by name."""
    # named for what it is: a figure that no choice may rest on
    figures = {} if reading["score"] is None else {"score": reading["score"]}
    if "accuracy" in reading["target"]:
        figures["oracle/accuracy"] = reading["target"]["accuracy"]
    if "source" in reading:
        figures["source/accuracy"] = reading["source"]["accuracy"]
        figures["domains/mmd"] = reading["target"]["mmd"]
    return figures


def is_backward_hooked(trainer: Any, module: pl.LightningModule) -> bool:
    """Whether a backward pass is more than that of torch: for strategy, precision or a callback."""
    from pytorch_lightning.plugins import Precision
    from pytorch_lightning.profilers import PassThroughProfiler
    from pytorch_lightning.strategies import Strategy

    passes = ("pre_backward", "backward", "post_backward")
    hooks = ("on_before_backward", "on_after_backward")
    methods: list[tuple[Any, type, Sequence[str]]] = [
        (trainer.strategy, Strategy, passes),
        (trainer.precision_plugin, Precision, passes),
        (module, pl.LightningModule, ("manual_backward", "backward", *hooks)),
        *((callback, pl.Callback, hooks) for callback in trainer.callbacks),
    ]
    return not isinstance(trainer.profiler, PassThroughProfiler) or any(
        getattr(getattr(owner, name), "__func__", None) is not getattr(base, name)
        for owner, base, names in methods
        for name in names
    )


LIGHTNING_EPOCHS = (None, -1, 1000)
"""What ``max_epochs`` is where nobody has given one: Lightning makes 1000 of none."""


def refuse_limits(trainer: Any, module: Adaptation) -> None:
    """Refuses what a Trainer is told and ``Adaptation`` could not heed, with what to type.

    Raises:
        InputError: there is something of the kind.
    """
    reasons = []
    every = module.evaluate_every
    if trainer.max_epochs not in LIGHTNING_EPOCHS and not trainer.fast_dev_run:
        reasons.append(
            f"Trainer(max_epochs={trainer.max_epochs}): training is of steps, {every} of which are "
            f"an epoch: Trainer(max_steps={every * trainer.max_epochs})"
        )
    limit = trainer.limit_train_batches
    if limit != 1.0 and not trainer.fast_dev_run:
        steps = limit if isinstance(limit, int) else max(1, round(limit * module.steps))
        reasons.append(
            f"Trainer(limit_train_batches={limit}): a batch is a step, and there is no end of "
            f"them: Trainer(max_steps={steps})"
        )
    if (parts := trainer.accumulate_grad_batches) != 1 and isinstance(trainer.datamodule, Domains):
        size = parts * max(trainer.datamodule.dataset.batch_size.values())
        reasons.append(
            f"Trainer(accumulate_grad_batches={parts}): a distance between domains is of a whole "
            "batch, and the mean of those of its parts is another: a batch as large is "
            f"dataset.batch_size={size}"
        )
    if trainer.gradient_clip_val is not None:
        reasons.append(
            f"Trainer(gradient_clip_val={trainer.gradient_clip_val}): the optimizer clips: "
            f"optimizer.clip={trainer.gradient_clip_val}"
        )
    if reasons:
        raise InputError(*reasons)
