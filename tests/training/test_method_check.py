"""The self-check: every method passes, and broken ones are caught."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy

from da_framework.config.plugins import conf_dir
from da_framework.core.batch import Batch, Objective, Outputs, Term
from da_framework.losses.mmd import bandwidths, mmd
from da_framework.methods.base import Method
from da_framework.networks.adversary import reverse_gradient
from da_framework.training import method_check as check
from da_framework.training.build import compose
from tests.selection import a_few

METHODS = sorted(path.stem for path in (conf_dir() / "method").glob("*.yaml"))
ONE = torch.ones(1)
LONG = [check.terms_have_gradient, check.brings_domains_together]
"""Checks that train for hundreds of steps."""
KINDS = (
    *("adda", "dann", "distillation", "fine_tuning", "jda", "joint", "kmm", "mcd"),
    *("mean_teacher", "shot", "uan"),
)
"""A method of each kind: several moves, a teacher, a closed form, weights, another setting."""


def config(method: str) -> dict[str, Any]:
    return compose(f"method={method}", name="check")


def broken(kind: type[Method], **keys: Any) -> dict[str, Any]:
    """The check's config for a class of this file."""
    base = {"alpha": 0.5, "batch_norm": "shared"}
    node = {"_target_": f"{__name__}.{kind.__name__}", "_partial_": True}
    return config("control") | {"method": node | base | keys}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    # the check finds classes by name, as it would a plugin's
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    torch.set_num_threads(1)


def _this_module() -> Any:
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def check_cases() -> Iterator[Any]:
    """The short ones of a method of each kind; of all others a few."""
    short = [step for step in check.CHECKS if step not in LONG]
    for name in KINDS:
        yield pytest.param(short, name, id=f"short-{name}", marks=pytest.mark.slow)
    for name in a_few("short checks", (name for name in METHODS if name not in KINDS), 20):
        yield pytest.param(short, name, id=f"short-{name}", marks=pytest.mark.slow)
    for name in a_few("long checks", METHODS, 14):
        yield pytest.param(LONG, name, id=f"long-{name}", marks=pytest.mark.slow)


@pytest.mark.parametrize(("checks", "name"), list(check_cases()))
def test_every_method_passes_its_checks(checks: list[check.Check], name: str) -> None:
    findings = list(check.check_method(config(name), checks))
    assert [own.check.replace(" ", "_") for own in findings] == [own.__name__ for own in checks]
    assert not [own for own in findings if own.passed is False]


def test_whoever_trains_after_a_check_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def nothing(config: Any) -> Iterator[check.Finding]:
        seen.append(logging.getLogger("da_framework").level)
        yield from ()

    monkeypatch.setattr(check, "check_method", nothing)
    before = logging.getLogger("da_framework").level
    assert check.print_checks(config("dann"))
    assert seen == [logging.WARNING]
    assert logging.getLogger("da_framework").level == before != logging.WARNING


@pytest.mark.parametrize("name", ["dann", "mmd"])
def test_at_zero_the_digits_network_is_the_control_s(name: str) -> None:
    """Convolutions, batch norm over both domains and dropout: what `da train` runs."""
    passed, detail = check.nothing_at_weight_zero(
        compose(f"method={name}", "trainer.accelerator=cpu")
    )
    assert passed, detail


class SoftmaxOverOneUnit(Method):
    """A discriminator whose output is constant: it never adapts."""

    aligns: ClassVar = True

    def __init__(self, *args: Any, **base: Any) -> None:
        super().__init__(*args, **base)
        self.discriminator = nn.Linear(self.network.feature_dim, 1)

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        features = reverse_gradient(torch.cat([source.features, target.features]), 1.0)
        p = self.discriminator(features).softmax(1).squeeze(1)
        labels = torch.cat([torch.ones(len(source.x)), torch.zeros(len(target.x))]).to(p)
        return {"domain": Term(binary_cross_entropy(p, labels))}


class DetachedMMD(Method):
    """An MMD that is computed and cannot move anything."""

    aligns: ClassVar = True

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        with torch.no_grad():
            widths = bandwidths(source.features, target.features, policy="mean", factors=ONE)
            return {"mmd": Term(mmd(source.features, target.features, bandwidths=widths))}


class LearnsFromTheTarget(Method):
    """It claims never to see the target, which is in its loss."""

    generalizes: ClassVar = True

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        return {"size": Term(target.features.square().mean())}


class PassADomain(Method):
    """A critic whose batch norm sees a domain at a time, which erases the shift it should see."""

    aligns: ClassVar = True

    def __init__(self, *args: Any, **base: Any) -> None:
        super().__init__(*args, **base)
        width = self.network.feature_dim
        self.critic = nn.Sequential(nn.BatchNorm1d(width, affine=False), nn.Linear(width, 1))

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        item = [self.critic(reverse_gradient(side.features, 1.0)) for side in (source, target)]
        return {
            "domain": Term(
                nn.functional.softplus(-item[0]).mean() + nn.functional.softplus(item[1]).mean()
            )
        }


class Forgetful(Method):
    """A schedule in a plain attribute: it begins anew when a run is continued."""

    steps = 0

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        self.steps = self.steps + 1
        return {
            "pull": Term(
                (source.features.mean(0) - target.features.mean(0)).square().sum(), self.steps
            )
        }


class Peeking(Method):
    """Reads what it must not: the labels of the data set itself."""

    data: ClassVar[Any] = None

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        y = torch.as_tensor(type(self).data.y[: len(target.x)])
        return {"peek": Term(nn.functional.cross_entropy(target.logits, y))}


class DrawsAhead(Method):
    """Draws before the network does, and so shifts its dropout."""

    def __init__(self, network: Any, task: Any, *, weight: float, **base: Any) -> None:
        super().__init__(network, task, **base)
        self.weight = weight

    def outputs(self, batch: Any) -> Any:
        torch.rand(3)
        return super().outputs(batch)


class OwnBatch(Method):
    """Sees the rows of its own process alone."""

    def outputs(self, batch: Any) -> Any:
        gather, self.gather = self.gather, lambda x: x
        actual = super().outputs(batch)
        self.gather = gather
        return actual

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        gap = source.features.mean(0) - target.features.mean(0)
        return {"pull": Term(gap.square().sum())}


class LeavesEvalOn(Method):
    """Switches the network to evaluation and forgets to switch it back."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        self.network.eval()
        return {}


class LostBuffer(Method):
    """A random map that a checkpoint does not hold."""

    def __init__(self, *args: Any, **base: Any) -> None:
        super().__init__(*args, **base)
        self.register_buffer("map", torch.randn(2, 2), persistent=False)


class PlainMap(Method):
    """A random map in a plain attribute: no checkpoint holds it, no device gets it."""

    def __init__(self, *args: Any, **base: Any) -> None:
        super().__init__(*args, **base)
        self.map = torch.randn(2, 2)


class OwnNoise(Method):
    """Draws for the global batch what every process draws for itself."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        noise = torch.randn(target.features.shape[1]).to(target.features)
        return {"slice": Term((target.features @ noise).square().mean())}


class IgnoresExtras(Method):
    """Writes its own objective and forgets what the configuration adds."""

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        yield Objective(self.classification(self.outputs(batch)))


class OneSource(Method):
    """Divides by what is there with one source alone."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        return {"one": Term(source.features.mean() / (source.domain.max() - 1))}


class Excused(Method):
    """Exempt from what is no check."""

    exempt_from: ClassVar = {"terms_have_gradients": "a slip of the pen"}


class UnevenBreaks(Method):
    """Assumes as many rows of one role as of the other."""

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        n = min(len(source.x), len(target.x))
        gap = source.features[:n] - target.features[:n]
        return {"pull": Term(gap.var(0).sum() / (n - 2))}


@pytest.mark.parametrize(
    ("kind", "checked", "keys"),
    [
        (SoftmaxOverOneUnit, check.terms_have_gradient, {}),
        (DetachedMMD, check.terms_have_gradient, {}),
        (PassADomain, check.brings_domains_together, {}),
        (Forgetful, check.resumes_bit_for_bit, {}),
        (Forgetful, check.keeps_its_state, {}),
        (DrawsAhead, check.nothing_at_weight_zero, {"weight": 1.0}),
        (OwnBatch, check.two_processes_equal_one, {}),
        (LeavesEvalOn, check.restores_modes, {}),
        (LostBuffer, check.keeps_its_state, {}),
        (UnevenBreaks, check.takes_any_batch, {}),
        (PlainMap, check.keeps_its_state, {}),
        (OwnNoise, check.two_processes_equal_one, {}),
        (IgnoresExtras, check.takes_extra_terms, {}),
        (OneSource, check.takes_several_sources, {}),
    ],
)
def test_a_broken_method_is_caught(kind: type[Method], checked: Any, keys: dict[str, Any]) -> None:
    passed, detail = checked(broken(kind, **keys))
    assert passed is False, detail


def test_a_target_that_is_seen_after_all_is_caught() -> None:
    chosen = compose("validator=source_accuracy", name="check")["validator"]
    seeing = broken(LearnsFromTheTarget) | {"validator": chosen}
    passed, detail = check.never_sees_the_target(seeing)
    assert passed is False
    assert detail.startswith("differs in method.network")
    blind = config("spectral_decoupling")
    assert check.never_sees_the_target(blind) == (True, "equal under another target")


def test_an_exemption_from_nothing_is_caught() -> None:
    wrong = [own.check for own in check.check_method(broken(Excused)) if own.passed is False]
    assert wrong == ["terms_have_gradients"]


def test_reading_hidden_labels_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from da_framework.datasets.two_moons import TwoMoons

    monkeypatch.setattr(Peeking, "data", None)
    load = TwoMoons.__getitem__

    def spied(self: TwoMoons, name: str) -> Any:
        actual = load(self, name)
        if name == "rotated":
            Peeking.data = actual
        return actual

    monkeypatch.setattr(TwoMoons, "__getitem__", spied)
    passed, detail = check.ignores_target_labels(broken(Peeking))
    assert passed is False, detail
