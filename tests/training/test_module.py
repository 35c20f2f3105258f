import ast
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.testing import assert_close

import da_framework
from da_framework.callbacks.base import Callback, Evaluation
from da_framework.callbacks.checkpoints import Checkpoints
from da_framework.core.batch import UNLABELLED, Batch, Objective, Outputs, Task, Term
from da_framework.core.errors import DivergedError, InputError
from da_framework.core.schedules import Constant, InverseDecay, Schedule, SigmoidRamp
from da_framework.datasets.datamodule import Domains
from da_framework.datasets.two_moons import TwoMoons
from da_framework.methods.base import Method
from da_framework.methods.dann import DANN
from da_framework.methods.source_only import SourceOnly
from da_framework.metrics.domain_distance import domain_mmd
from da_framework.networks.mlp import MLP
from da_framework.networks.network import Network
from da_framework.training.build import build, compose
from da_framework.training.meter import Meter
from da_framework.training.method_check import Interruption, Stop
from da_framework.training.module import Adaptation
from da_framework.training.optimizers import Optimizer, sgd
from da_framework.training.step_seed import seed_step
from da_framework.training.trainer import build_trainer
from da_framework.validators.information_maximization import information_maximization
from da_framework.validators.reverse_validation import reverse_validation
from da_framework.validators.validation import Validation

PACKAGE = Path(da_framework.__file__).parent
LR, MOMENTUM = 0.1, 0.9


class Moves(Method):
    """Two moves: encoder and head classify; then the head alone spreads its target logits."""

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        yield Objective(self.classification(self.outputs(batch)), updates=("encoder", "head"))
        spread = self.outputs(batch)["target"].logits.square().mean()
        yield Objective({"spread": Term(spread, 0.3)}, updates=("head",))

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"encoder": [self.network.encoder], "head": [self.network.head]}


class Greedy(SourceOnly):
    """Draws more random numbers than source only does."""

    def updated(self, objective: Objective) -> None:
        torch.rand(7)


class Watching(Method):
    """Remembers what it is shown before each epoch."""

    refreshes: ClassVar = ("target",)

    def __init__(self, network: Network, task: Task, **base: Any) -> None:
        super().__init__(network, task, **base)
        self.seen: list[tuple[int, Mapping[str, Outputs], Tensor]] = []
        self.steps = 0

    def updated(self, objective: Objective) -> None:
        self.steps += 1

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        weight = self.network.get_parameter("head.0.weight").detach().clone()
        self.seen.append((self.steps, outputs, weight))


class Far(SourceOnly):
    """Has features beyond all numbers, behind logits that are not."""

    def forward(self, x: Tensor, domain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features, logits = super().forward(x, domain)
        return features + math.inf, logits


class Breaking(Method):
    """Fails once a share of training is done, in a value or in a gradient alone."""

    def __init__(self, network: Network, task: Task, *, way: str, at: float, **base: Any) -> None:
        super().__init__(network, task, **base)
        self.way = way
        self.at = at

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        value = target.features.mean() * 0
        if self.progress >= self.at:
            value = value + math.inf if self.way == "value" else (value * 0).square().sqrt()
        return {"fragile": Term(value)}


def moons(**roles: Any) -> TwoMoons:
    given: dict[str, Any] = {
        "source": ["straight"],
        "target": ["rotated"],
        "protocol": "inductive",
        "labels_per_class": 0,
        "val": 0.2,
        "test": 0.3,
        "split_seed": 0,
        "batch_size": {"source": 10, "target": 8},
    }
    return TwoMoons(rows=80, rotation=45.0, shift=0.5, noise=0.1, seed=0, **(given | roles))


class Fit:
    """Data, network and method, apart from the module that trains them."""

    def __init__(
        self, kind: Callable[..., Method] = SourceOnly, *, dropout: float = 0.0, **keys: Any
    ) -> None:
        roles = kind.func.roles if isinstance(kind, partial) else kind.roles  # type: ignore[attr-defined]
        self.domains = Domains(moons(), roles, seed=3)
        torch.manual_seed(0)
        network = Network(
            backbone=partial(MLP, widths=[6], dropout=0.0),
            bottleneck=[5],
            head=[],
            dropout=dropout,
            shape=(2,),
            classes=2,
        )
        self.method = kind(network, self.domains.task, alpha=0.5, batch_norm="shared", **keys)

    def run(
        self,
        *,
        precision: str = "32-true",
        callbacks: Sequence[pl.Callback] = (),
        checkpoint: Path | None = None,
        **keys: Any,
    ) -> Adaptation:
        optimizer = keys.pop("optimizer", None) or plain()
        given: dict[str, Any] = {"steps": 6, "evaluate_every": 3, "flush_every": 2}
        given |= {"seed": 3, "validator": information_maximization}
        module = Adaptation(self.method, optimizer=optimizer, **(given | keys))
        config = {
            "method": {
                "_target_": "da_framework.methods.source_only.SourceOnly",
                "_partial_": True,
            },
            "trainer": {
                "_target_": "pytorch_lightning.Trainer",
                "_partial_": True,
                "accelerator": "cpu",
                "devices": 1,
                "strategy": "auto",
                "precision": precision,
            },
        }
        trainer = build_trainer(config, callbacks=list(callbacks), loggers=[])
        trainer.fit(module, datamodule=self.domains, ckpt_path=checkpoint)
        return module


@pytest.fixture(autouse=True)
def _no_talk() -> None:
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")


def plain(**keys: Any) -> Optimizer:
    given: dict[str, Any] = {"momentum": MOMENTUM, "weight_decay": 0.0, "nesterov": False}
    return sgd(**(given | {"lr": LR} | keys))


class ByHand:
    """Momentum, written out."""

    def __init__(self, parameters: Sequence[nn.Parameter], clip: float | None = None) -> None:
        self.parameters = list(parameters)
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.clip = clip

    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        norm = torch.stack([g.norm() for g in gradients]).norm()
        factor = 1.0 if self.clip is None else min(1.0, self.clip / (norm.item() + 1e-6))
        with torch.no_grad():
            for p, v, g in zip(self.parameters, self.velocity, gradients, strict=True):
                v.mul_(MOMENTUM).add_(g * factor)
                p.sub_(lr * v)


def classify(network: nn.Module, batch: Batch) -> Tensor:
    logits: Tensor = network(batch["source"].x)[1]
    return cross_entropy(logits, batch["source"].y)


def close(first: nn.Module, other: nn.Module) -> None:
    assert_close(dict(first.state_dict()), dict(other.state_dict()), rtol=1e-9, atol=1e-11)


def equal(first: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return first.keys() == other.keys() and all(
        torch.equal(first[name], other[name]) for name in first
    )


# a step is what the paper says it is


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("scheduler", [Constant(1.0), InverseDecay(10.0, 0.75)])
def test_source_only_equals_a_loop_by_hand(clip: float | None, scheduler: Schedule) -> None:
    fit = Fit()
    network = deepcopy(fit.method.network).double()
    before = deepcopy(network)
    trained = fit.run(precision="64-true", steps=7, optimizer=plain(clip=clip), scheduler=scheduler)
    parameters = list(network.parameters())
    optimizer = ByHand(parameters, clip)
    for step in range(7):
        loss = classify(network, fit.domains.batch(step))
        optimizer.step(torch.autograd.grad(loss, parameters), LR * scheduler(step / 7))
    close(trained.method.network, network)
    with pytest.raises(AssertionError):
        close(trained.method.network, before)


def test_reverse_validation_is_training_by_hand_from_the_target_back() -> None:
    actual: list[Outputs] = []

    def watched(outputs: Validation) -> float:
        actual.append(outputs.reverse())
        return reverse_validation(outputs)

    fit = Fit()
    trained = fit.run(precision="64-true", validator=watched, steps=4, evaluate_every=4)
    network = deepcopy(trained.method.network)
    back = fit.domains.reversed(lambda rows: network(rows.x)[1].argmax(1))
    optimizer = ByHand(list(network.parameters()))
    for step in range(4):
        loss = classify(network, back.batch(step))
        optimizer.step(torch.autograd.grad(loss, optimizer.parameters), LR)
    held_out = fit.domains.validation["source"]
    logits = network(held_out.x)[1]
    assert_close(actual[-1].logits, logits.float())
    assert torch.equal(actual[-1].y, held_out.y)
    right = (logits.argmax(1) == held_out.y).double().mean()
    assert trained.picks["last"]["score"] == pytest.approx(right.item())


def test_the_way_back_never_sees_the_source_s_labels() -> None:
    fit = Fit()
    back = fit.domains.reversed(lambda rows: torch.zeros_like(rows.row))
    assert (back.train["target"].y == UNLABELLED).all()
    assert torch.equal(back.train["target"].x, fit.domains.train["source"].x)
    assert (back.train["source"].y == 0).all()  # as labelled by the model
    sizes = {role: len(samples.x) for role, samples in back.train.items()}
    assert back.task.rows == sizes
    assert back.task.domains == fit.domains.task.domains[::-1]


@pytest.mark.parametrize("kind", [Moves, Watching])
def test_reverse_validation_changes_nothing(kind: type[Method]) -> None:
    runs = [
        Fit(kind, dropout=0.5).run(validator=validator, steps=7)
        for validator in (information_maximization, reverse_validation)
    ]
    assert equal(*(run.method.state_dict() for run in runs))
    assert [run.step for run in runs] == [7, 7]


def test_reverse_validation_needs_one_source_and_one_target() -> None:
    fit = Fit()
    fit.domains = Domains(moons(source=[]), ("target",), seed=3)
    with pytest.raises(InputError, match="needs one of each and no other role, but there are rot"):
        fit.domains.reversed(lambda rows: rows.y)
    whole = Domains(moons(val=0.0, protocol="transductive"), ("source",), seed=3)
    with pytest.raises(InputError, match=r"held-out source: dataset\.val=0\.1"):
        whole.reversed(lambda rows: rows.y)


def test_dann_equals_two_players_by_hand() -> None:
    keys: dict[str, Any] = {"hidden": [4], "weight": 0.7, "coefficient": SigmoidRamp(10.0, 1.0)}
    fit = Fit(DANN, **keys)
    method = deepcopy(fit.method).double()
    trained = fit.run(precision="64-true", steps=6)
    network, judge = method.network, method.get_submodule("discriminator")
    players = [list(m.parameters()) for m in (network.encoder, network.head, judge)]
    encoder, head, discriminator = (ByHand(own) for own in players)
    for step in range(6):
        batch = fit.domains.batch(step)
        source, target = (network(batch[role].x)[0] for role in ("source", "target"))
        task = classify(network, batch)
        domain = sum(
            binary_cross_entropy_with_logits(judge(x), torch.full((len(x),), label).double()) / 2
            for x, label in ((source, 1.0), (target, 0.0))
        )
        assert isinstance(domain, Tensor)
        coefficient = 2 / (1 + math.exp(-10 * step / 6)) - 1
        # the encoder worsens the loss that the discriminator lessens
        moves = [
            torch.autograd.grad(task - coefficient * 0.7 * domain, players[0], retain_graph=True),
            torch.autograd.grad(task, players[1], retain_graph=True),
            torch.autograd.grad(0.7 * domain, players[2]),
        ]
        for item, move in zip((encoder, head, discriminator), moves, strict=True):
            item.step(move, LR)
    close(trained.method, method)


def test_two_parts_with_an_optimizer_each_equal_a_loop_by_hand() -> None:
    fit = Fit(Moves)
    network = deepcopy(fit.method.network).double()
    trained = fit.run(precision="64-true", steps=6, optimizer=plain(clip=0.2))
    parts = [list(network.encoder.parameters()), list(network.head.parameters())]
    encoder, head = (ByHand(own, clip=0.2) for own in parts)
    for step in range(6):
        batch = fit.domains.batch(step)
        gradients = torch.autograd.grad(classify(network, batch), [*parts[0], *parts[1]])
        encoder.step(gradients[: len(parts[0])], LR)
        head.step(gradients[len(parts[0]) :], LR)
        # computed after the first move, and the encoder stays where it is
        spread = 0.3 * network(batch["target"].x)[1].square().mean()
        head.step(torch.autograd.grad(spread, parts[1]), LR)
    close(trained.method.network, network)
    assert set(trained.parts) == {"encoder", "head"}


def test_the_schedule_drives_the_learning_rate_of_every_group() -> None:
    scheduler = InverseDecay(10.0, 0.75)
    optimizer = plain(factor={"network.encoder": 0.1})
    module = Fit().run(steps=5, flush_every=1, scheduler=scheduler, optimizer=optimizer)
    rates = [row["train/lr"] for row in module.history if "train/lr" in row]
    ((built, _),) = module.parts.values()
    actual = {round(group["lr"], 9) for group in built.param_groups}
    last = LR * scheduler(4 / 5)
    assert actual == {round(last, 9), round(0.1 * last, 9)}
    factor = rates[0] / LR
    assert rates == pytest.approx([factor * LR * scheduler(step / 5) for step in range(5)])


# random numbers


def trained(kind: type[Method], *, before: int = 0, **keys: Any) -> dict[str, Tensor]:
    fit = Fit(kind, dropout=0.5)
    torch.manual_seed(before)
    return dict(fit.run(**keys).state_dict())


def test_random_numbers_of_a_step_do_not_depend_on_what_was_drawn_before() -> None:
    expected = trained(SourceOnly)
    assert equal(trained(Greedy), expected)
    assert equal(trained(SourceOnly, before=99), expected)

    def draws(outputs: Mapping[str, Outputs]) -> float:
        return torch.rand(()).item()

    assert equal(trained(SourceOnly, validator=draws, evaluate_every=1), expected)
    assert not equal(trained(SourceOnly, seed=4), expected)


def test_every_step_seed_and_process_has_random_numbers_of_its_own() -> None:
    drawn = []
    for seed, step, rank in ((1, 0, 0), (1, 1, 0), (1, 0, 1), (2, 0, 0), (1, 0, 0)):
        seed_step(torch.device("cpu"), seed, step, rank)
        drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[-1])
    assert len({tuple(own.tolist()) for own in drawn}) == 4


def test_evaluations_and_flushes_change_no_weight() -> None:
    expected = trained(SourceOnly, evaluate_every=100, flush_every=100)
    assert equal(trained(SourceOnly, evaluate_every=1, flush_every=1), expected)


@pytest.mark.parametrize("inner_steps", [1, 3, 1000])
def test_how_many_steps_are_taken_at_a_time_changes_no_weight(inner_steps: int) -> None:
    assert equal(trained(SourceOnly, inner_steps=inner_steps), trained(SourceOnly))


def test_as_many_steps_are_taken_at_a_time_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    step = Adaptation.training_step

    def counted(module: Adaptation, batch: int, batch_index: int) -> None:
        before = module.step
        step(module, batch, batch_index)
        taken.append(module.step - before)

    monkeypatch.setattr(Adaptation, "training_step", counted)
    trained(SourceOnly, steps=8, inner_steps=3, evaluate_every=100, flush_every=100)
    assert taken == [3, 3, 2]


# history and picks


def test_a_row_stands_at_every_flush_evaluation_and_the_end() -> None:
    module = Fit().run(steps=7, flush_every=3, evaluate_every=4)
    losses = [row["step"] for row in module.history if "train/source" in row]
    scores = [row["step"] for row in module.history if "score" in row]
    assert losses == [3, 4, 6, 7]
    assert scores == [0, 4, 7]
    assert all(
        {"source/accuracy", "oracle/accuracy"} <= row.keys()
        for row in module.history
        if "score" in row
    )


def test_a_row_is_the_mean_since_the_row_before() -> None:
    each = Fit().run(steps=6, flush_every=1, evaluate_every=100)
    three = Fit().run(steps=6, flush_every=3, evaluate_every=100)
    losses = [row["train/source"] for row in each.history if "train/source" in row]
    means = [row["train/source"] for row in three.history if "train/source" in row]
    assert means == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 3])


def scripted(scores: Sequence[float]) -> Callable[[Mapping[str, Outputs]], float]:
    values = iter(scores)
    return lambda outputs: next(values)


def test_the_picks_are_the_last_and_the_best_trained() -> None:
    # the untrained model scores highest, and of two equals the first counts
    validator = scripted([9.0, 1.0, 3.0, 2.0, 3.0, 0.0])
    module = Fit().run(steps=5, evaluate_every=1, validator=validator)
    assert module.picks["last"]["step"] == 5
    assert module.picks["chosen"]["step"] == 2
    curve = {r["step"]: r["oracle/accuracy"] for r in module.history if "oracle/accuracy" in r}
    del curve[0]
    assert module.picks["oracle"]["step"] == max(curve, key=curve.__getitem__)
    for item in module.picks.values():
        assert item["target"]["accuracy"] == curve[item["step"]]


def test_the_oracle_is_the_best_by_true_labels_and_never_the_untrained() -> None:
    module = Adaptation(
        Fit().method, optimizer=plain(), validator=information_maximization, steps=9, seed=1
    )
    for step, accuracy in enumerate([1.0, 0.2, 0.8, 0.8, 0.5]):
        module.step = step
        module.pick({"step": step, "score": -step, "target": {"accuracy": accuracy}})
    assert {name: own["step"] for name, own in module.picks.items()} == {
        "last": 4,
        "chosen": 1,
        "oracle": 2,
    }


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_never_chosen_and_is_named(
    wrong: float, caplog: pytest.LogCaptureFixture
) -> None:
    def fragile(outputs: Mapping[str, Outputs]) -> float:
        return next(scores)

    scores = iter([0.0, wrong, 0.9, wrong, 0.1])
    module = Fit().run(steps=4, evaluate_every=1, validator=fragile)
    assert (module.picks["chosen"]["step"], module.picks["chosen"]["score"]) == (2, 0.9)
    words = f"the validator fragile gave {wrong}: an evaluation without a finite score is"
    assert module.verdicts["validator"]["step"] == 1
    assert module.verdicts["validator"]["words"].startswith(words)
    assert sum("fragile" in record.getMessage() for record in caplog.records) == 1
    assert [row["step"] for row in module.history if "score" in row] == [0, 2, 4]


def test_where_no_score_is_finite_nothing_is_chosen() -> None:
    module = Fit().run(validator=lambda outputs: math.nan)
    assert module.picks.keys() == {"last", "oracle"}
    assert module.picks["last"]["score"] is None


class Ears(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[Evaluation] = []

    def on_evaluation(
        self, trainer: pl.Trainer, module: pl.LightningModule, evaluation: Evaluation
    ) -> None:
        self.heard.append(evaluation)


class Gradients(Callback):
    """Keeps the size of the gradient behind every backward pass."""

    def __init__(self) -> None:
        self.heard: list[float] = []

    def on_after_backward(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        sizes = [float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None]
        self.heard.append(sum(sizes))


def test_lightning_s_hooks_are_called_where_somebody_hears_them_and_change_nothing() -> None:
    apart, listening = Fit().run(), Gradients()
    heard = Fit().run(callbacks=[listening])
    lent: list[float] = []
    # a callback made of functions is one as well
    made = Fit().run(callbacks=[LambdaCallback(on_before_backward=lambda *_: lent.append(1.0))])
    assert (apart.hooked, heard.hooked, made.hooked) == (False, True, True)
    assert len(listening.heard) == len(lent) == 6
    assert min(listening.heard) > 0
    for other in (heard, made):
        assert other.history == apart.history
        for name, value in apart.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])
    assert Fit().run(precision="64-true").hooked is False
    assert Fit().run(precision="bf16-mixed").hooked is True


def test_validators_see_hidden_labels_and_results_true_ones() -> None:
    ears, shown = Ears(), []

    def validator(outputs: Mapping[str, Outputs]) -> float:
        shown.append(outputs)
        return 0.0

    fit = Fit()
    module = fit.run(callbacks=[ears], validator=validator)
    assert [own.step for own in ears.heard] == [0, 3, 6]
    for outputs, evaluation in zip(shown, ears.heard, strict=True):
        assert outputs.keys() == {"source", "target"}
        assert (outputs["target"].y == UNLABELLED).all()
        assert torch.equal(evaluation.oracle.y, fit.domains.oracle)
        hits = evaluation.oracle.logits.argmax(1) == fit.domains.oracle
        actual = evaluation.figures["target"]["accuracy"]
        assert actual == pytest.approx(hits.double().mean().item())
    assert module.picks["last"] == ears.heard[-1].figures


def test_picks_have_the_distance_between_validation_rows() -> None:
    ears = Ears()
    module = Fit().run(callbacks=[ears])
    for item in ears.heard:
        expected = domain_mmd(item.validation["source"], item.validation["target"])
        assert item.figures["target"]["mmd"] == expected
    assert "mmd" in module.picks["chosen"]["target"]


# refresh


def test_a_method_is_shown_its_whole_roles_before_every_epoch() -> None:
    fit = Fit(Watching)
    fit.run(steps=7, evaluate_every=3)
    assert isinstance(fit.method, Watching)
    assert [steps for steps, _, _ in fit.method.seen] == [0, 3, 6]
    train = fit.domains.train["target"]
    for _, outputs, weight in fit.method.seen:
        assert outputs.keys() == {"target"}
        item = outputs["target"]
        assert torch.equal(item.row, train.row)
        assert torch.equal(item.x, train.x)
        assert (item.y == UNLABELLED).all()
        # made with the weights of that moment: but for them, one constant a class is left
        rest = item.logits - item.features @ weight.T
        assert_close(rest, rest[:1].expand_as(rest), atol=1e-5, rtol=0)


def test_a_method_may_refresh_by_a_number_of_its_own() -> None:
    fit = Fit(Watching, refresh_every=2)
    module = fit.run(steps=7, evaluate_every=3)
    assert isinstance(fit.method, Watching)
    assert [steps for steps, _, _ in fit.method.seen] == [0, 2, 4, 6]
    assert [row["step"] for row in module.history if "score" in row] == [0, 3, 6, 7]


class Remembering(SourceOnly):
    """Learns what its outputs were at the last refresh."""

    refreshes: ClassVar = ("source",)

    def __init__(self, network: Network, task: Task, **base: Any) -> None:
        super().__init__(network, task, **base)
        self.register_buffer("before", torch.zeros(5))

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        self.before = outputs["source"].features.mean(0)

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        return {"before": Term((outputs["source"].features.mean(0) - self.before).square().sum())}


def test_with_a_number_of_its_own_evaluations_are_no_hyperparameter() -> None:
    def weights(**keys: Any) -> Mapping[str, Tensor]:
        every = {"refresh_every": keys.pop("refresh_every", None)}
        return Fit(Remembering, **every).run(steps=8, **keys).state_dict()

    expected = weights(evaluate_every=3)
    assert equal(weights(evaluate_every=3, refresh_every=3), expected)
    assert equal(weights(evaluate_every=8, refresh_every=3), expected)
    assert not equal(weights(evaluate_every=8), expected)


def test_how_often_to_refresh_is_no_key_of_what_does_not() -> None:
    for method in ("dann", "tca"):
        with pytest.raises(InputError, match=r"refresh_every=5: \w+ makes nothing anew while"):
            build(compose(f"method={method}", "method.refresh_every=5", name="check"))
    assert build(compose("method=can", "method.refresh_every=5", name="check"))


def test_after_the_last_step_nothing_is_refreshed() -> None:
    fit = Fit(Watching)
    fit.run(steps=6, evaluate_every=3)
    assert isinstance(fit.method, Watching)
    assert [steps for steps, _, _ in fit.method.seen] == [0, 3]


# what is not finite


def test_a_loss_that_is_not_finite_is_named_with_its_step(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    fit = Fit(Breaking, way="value", at=0.5)
    with pytest.raises(DivergedError, match=r"^step 5: the term fragile is inf$"):
        fit.run(
            steps=10,
            evaluate_every=100,
            flush_every=100,
            checkpoint_every=4,
            callbacks=[Checkpoints(str(tmp_path))],
        )
    state = kept(tmp_path / "checkpoints" / "last.ckpt")
    assert state["adaptation"]["step"] == 4


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    fit = Fit(Breaking, way="gradient", at=0.75)
    with pytest.raises(DivergedError, match=r"step 4: logits of the \w+ are not finite"):
        fit.run(
            steps=4,
            evaluate_every=100,
            checkpoint_every=1,
            callbacks=[Checkpoints(str(tmp_path))],
        )
    steps = {
        file.name: kept(file)["adaptation"]["step"] for file in (tmp_path / "checkpoints").iterdir()
    }
    assert steps == {"last.ckpt": 3, "previous.ckpt": 2}


def test_features_that_are_not_finite_are_seen_behind_logits_that_are() -> None:
    with pytest.raises(DivergedError, match=r"^step 0: features of the \w+ are not finite$"):
        Fit(Far).run()


def kept(path: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())
    return checkpoint


# a run goes on where it was stopped


def test_a_resumed_run_ends_bit_for_bit_where_the_whole_one_does(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"steps": 9, "evaluate_every": 3, "checkpoint_every": 2}
    whole = Fit(Moves, dropout=0.5).run(**keys)
    (tmp_path / "checkpoints").mkdir()
    callbacks = [Checkpoints(str(tmp_path)), Interruption(4)]
    with pytest.raises(Stop):
        Fit(Moves, dropout=0.5).run(callbacks=callbacks, **keys)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert kept(last)["adaptation"]["step"] == 4
    resumed = Fit(Moves, dropout=0.5).run(checkpoint=last, **keys)
    assert equal(dict(resumed.state_dict()), dict(whole.state_dict()))
    assert resumed.history == whole.history
    assert resumed.picks == whole.picks


# meter


def test_a_meter_gives_means_and_forgets() -> None:
    meter = Meter()
    assert meter.compute_and_reset() == {}
    meter.add(0, {"a": Term(torch.tensor(1.0), 9.0), "b": Term(torch.tensor(5.0))})
    meter.add(0, {"a": Term(torch.tensor(2.0))})
    meter.add(1, {"a": Term(torch.tensor(6.0, requires_grad=True))})
    assert meter.compute_and_reset() == {"a": 3.0, "b": 5.0}
    assert meter.compute_and_reset() == {}


@pytest.mark.parametrize(("value", "message"), [(math.nan, "nan"), (-math.inf, "-inf")])
def test_a_meter_names_the_first_value_that_is_not_finite(value: float, message: str) -> None:
    meter = Meter()
    meter.add(6, {"a": Term(torch.tensor(1.0)), "b": Term(torch.tensor(2.0))})
    meter.add(7, {"a": Term(torch.tensor(1.0)), "b": Term(torch.tensor(value))})
    meter.add(8, {"a": Term(torch.tensor(math.nan))})
    with pytest.raises(DivergedError, match=rf"^step 7: the term b is {message}$"):
        meter.compute_and_reset()


# a step never waits for the device

WAITS = {"item", "tolist", "cpu", "numpy", "log", "log_dict"}


def functions(file: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(file.read_text())
    return {
        f"{node.name}.{own.name}": own
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for own in node.body
        if isinstance(own, ast.FunctionDef)
    }


def called(tree: ast.AST) -> set[str]:
    """Methods called of ``self`` or of any value but a module (``torch.log`` is mathematics)."""
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "math"))
    }


def test_a_step_of_the_trainer_never_waits_for_the_device() -> None:
    item = functions(PACKAGE / "training" / "module.py")
    for name in ("training_step", "take_step", "step_parts"):
        assert not called(item[f"Adaptation.{name}"]) & WAITS, name
    assert not called(functions(PACKAGE / "training" / "meter.py")["Meter.add"]) & WAITS


def test_lightning_s_own_logging_is_used_where_its_own_loops_evaluate_alone() -> None:
    tree = ast.parse((PACKAGE / "training" / "module.py").read_text())
    using = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and node.attr in ("log", "log_dict")
    }
    assert using == {"validation_step", "test_step"}


@pytest.mark.parametrize(
    "file", sorted((PACKAGE / "methods").glob("[a-z]*.py")), ids=lambda file: file.stem
)
def test_a_method_s_step_never_waits_for_the_device(file: Path) -> None:
    for name, item in functions(file).items():
        if name.rpartition(".")[2] in ("terms", "objectives", "updated"):
            assert not called(item) & (WAITS - {"log"}), name


class TwoParts(Method):
    """Trains its head apart, or claims to."""

    named: str = "head"
    inside: bool = True

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        item: dict[str, list[nn.Module]] = {
            "encoder": [self.network.encoder],
            "head": [self.network.head],
        }
        return item if self.inside else {"encoder": item["encoder"]}

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        outputs = self.outputs(batch)
        yield Objective(self.classification(outputs), updates=("encoder", self.named))


def test_a_part_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwoParts, "named", "heads")
    with pytest.raises(InputError, match="updates heads, but its parts are encoder, head"):
        Fit(TwoParts).run()


def test_what_is_in_no_part_is_not_forgotten_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwoParts, "inside", False)
    with pytest.raises(InputError, match=r"network\.head\.\S+ is in 0 of the parts encoder"):
        Fit(TwoParts).run()


class Drawing(SourceOnly):
    """Draws when it is shown its outputs."""

    refreshes: ClassVar = ("source",)

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        drawn.append(torch.rand(1).item())


drawn: list[float] = []


def test_what_is_drawn_between_steps_is_repeated_too() -> None:
    for before in (1, 2):
        torch.manual_seed(before)
        Fit(Drawing).run()
    assert len(set(drawn)) == len(drawn) // 2 > 1
    assert drawn[: len(drawn) // 2] == drawn[len(drawn) // 2 :]
