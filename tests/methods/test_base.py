from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.batch import Batch, Outputs, Samples, Task, Term, as_input
from da_framework.core.errors import InputError
from da_framework.methods.base import Method, evaluating
from da_framework.methods.importance_weighting import ImportanceWeighting
from da_framework.methods.mcd import MCD
from da_framework.methods.mdan import MDAN
from da_framework.methods.pada import PADA
from da_framework.networks.mlp import MLP, Identity
from da_framework.networks.network import Network

TASK = Task(("a", "b"), ("s", "t"), {"source": 5, "target": 3}, (2,))


class Both(Method):
    """Labels of both domains, and a term of its own."""

    roles: ClassVar = ("source", "target", "target_labelled")

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        return {"gap": Term(target.features.mean() - source.features.mean(), 0.2)}


def network(dropout: float = 0.0) -> Network:
    torch.manual_seed(0)
    keys: dict[str, Any] = {"bottleneck": [4], "head": [], "dropout": dropout}
    backbone = partial(MLP, widths=[5], dropout=0.0)
    return Network(backbone=backbone, shape=(2,), classes=2, **keys).double()


def normed() -> Network:
    torch.manual_seed(0)

    def backbone(shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Linear(shape[0], 4), nn.BatchNorm1d(4), nn.Tanh())

    return Network(
        backbone=backbone, bottleneck=[], head=[], dropout=0.0, shape=(2,), classes=2
    ).double()


def method(net: Network | None = None, kind: type[Method] = Both, **keys: Any) -> Method:
    given: dict[str, Any] = {"alpha": 0.3, "batch_norm": "shared"}
    return kind(net or network(), TASK, **(given | keys))


def samples(rows: int, seed: int, domain: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 2, dtype=torch.float64, generator=generator) + 3 * domain
    y = torch.randint(2, (rows,), generator=generator)
    return Samples(x, y, torch.full((rows,), domain), torch.arange(rows) + 100 * seed)


BATCH: Batch = {
    "source": samples(5, 1, 0),
    "target": samples(3, 2, 1)._replace(y=torch.full((3,), -1)),
    "target_labelled": samples(4, 3, 1),
}


def loss(net: Network, role: str) -> Tensor:
    return cross_entropy(net(BATCH[role].x)[1], BATCH[role].y)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_classification_is_the_weighted_joint_loss(alpha: float) -> None:
    net = network()
    tested = method(net, alpha=alpha)
    terms = tested.classification(tested.outputs(BATCH))
    assert set(terms) == {"source", "target_labelled"}
    assert {role: term.weight for role, term in terms.items()} == pytest.approx(
        {"source": alpha, "target_labelled": 1 - alpha}
    )
    for role, term in terms.items():
        assert_close(term.value, loss(net, role))


COUNTS = {"source": (9, 1), "target_labelled": (2, 6)}


def weighted_loss(net: Network, role: str, *, smoothing: float = 0.0) -> Tensor:
    """The loss of a role in which each sample counts n / (k n_c), sample by sample."""
    x, y, counts = BATCH[role].x, BATCH[role].y, COUNTS[role]
    total = torch.zeros((), dtype=torch.float64)
    for logits, label in zip(net(x)[1], y.tolist(), strict=True):
        log_p = logits - logits.exp().sum().log()
        wanted = (1 - smoothing) * log_p[label] + smoothing * log_p.sum() / len(log_p)
        total = total - sum(counts) / (len(counts) * counts[label]) * wanted
    return total / len(y)


def balanced(net: Network, kind: type[Method] = Both, **keys: Any) -> Method:
    task = replace(TASK, class_counts=COUNTS, sources=1)
    given: dict[str, Any] = {"alpha": 0.3, "batch_norm": "shared", "class_weights": "balanced"}
    return kind(net, task, **(given | keys)).double()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_with_balanced_weights_the_loss_is_that_of_a_loop(smoothing: float) -> None:
    net = network()
    tested = balanced(net, label_smoothing=smoothing)
    for role, term in tested.classification(tested.outputs(BATCH)).items():
        expected = weighted_loss(net, role, smoothing=smoothing)
        assert_close(term.value, expected, rtol=1e-6, atol=0)
        weights = list(net.parameters())
        actual, wanted = (
            torch.autograd.grad(value, weights, retain_graph=True)
            for value in (term.value, expected)
        )
        assert_close(actual, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (ImportanceWeighting, {"ratio": torch.add, "of": "features", "exponent": 1.0}),
        (MDAN, {"hidden": [4], "weight": 1.0, "coefficient": 0.0, "sharpness": 1.0}),
        (PADA, {"hidden": [4], "weight": 1.0, "coefficient": 0.0}),
        (MCD, {"weight": 1.0, "repeats": 1}),
    ],
)
def test_a_method_that_has_a_loss_of_its_own_weighs_classes_too(
    kind: type[Method], keys: dict[str, Any]
) -> None:
    net = network()
    tested = balanced(net, kind, **keys)
    batch = {**BATCH, "source": BATCH["source"]._replace(row=torch.arange(5))}
    objective = next(iter(tested.objectives(batch)))
    assert_close(objective.terms["source"].value, weighted_loss(net, "source"), rtol=1e-6, atol=0)


def test_weights_are_of_the_data_that_a_method_has_now() -> None:
    tested = balanced(network())
    before = tested.classification(tested.outputs(BATCH))["source"].value
    tested.reset_fitted(replace(tested.task, class_counts={"source": (5, 5)}))
    after = tested.label_loss(tested.outputs(BATCH)["source"], "source")
    assert_close(after, loss(tested.network, "source"))
    assert before != after


@pytest.mark.parametrize("role", ["source", "target_labelled"])
def test_a_labelled_role_alone_weighs_one(role: str) -> None:
    net = network()
    tested = method(net, alpha=0.3)
    tested.roles = (role, "target")  # type: ignore[misc]
    tested.optional = ()  # type: ignore[misc]
    ((name, term),) = tested.classification(tested.outputs(BATCH)).items()
    assert name == role
    assert term.weight == 1
    assert_close(term.value, loss(net, role))


def test_the_objective_is_the_joint_loss_and_the_method_s_terms() -> None:
    net = network()
    (objective,) = method(net, alpha=0.3).objectives(BATCH)
    assert objective.updates == ("model",)
    gap = net(BATCH["target"].x)[0].mean() - net(BATCH["source"].x)[0].mean()
    expected = 0.3 * loss(net, "source") + 0.7 * loss(net, "target_labelled") + 0.2 * gap
    assert_close(objective.total, expected)
    parameters = list(net.parameters())
    assert_close(
        torch.autograd.grad(objective.total, parameters),
        torch.autograd.grad(expected, parameters),
    )


@pytest.mark.parametrize("batch_norm", ["shared", "separate"])
def test_outputs_carry_each_role_s_rows(batch_norm: str) -> None:
    net = network()
    outputs = method(net, batch_norm=batch_norm).outputs(BATCH)
    assert list(outputs) == ["source", "target", "target_labelled"]
    for role, given in BATCH.items():
        side = outputs[role]
        assert all(torch.equal(a, b) for a, b in zip(side[:4], given, strict=True))
        assert_close((side.features, side.logits), net(given.x))


def test_joint_batch_norm_is_one_pass_over_all_roles() -> None:
    net = normed()
    reference = deepcopy(net)
    outputs = method(net, batch_norm="shared").outputs(BATCH)
    features, logits = reference(torch.cat([given.x for given in BATCH.values()]))
    assert_close(torch.cat([own.features for own in outputs.values()]), features)
    assert_close(torch.cat([own.logits for own in outputs.values()]), logits)
    assert_close(dict(net.named_buffers()), dict(reference.named_buffers()))


def test_separate_batch_norm_is_a_pass_a_role() -> None:
    net = normed()
    reference = deepcopy(net)
    outputs = method(net, batch_norm="separate").outputs(BATCH)
    for role, given in BATCH.items():
        assert_close((outputs[role].features, outputs[role].logits), reference(given.x))
    assert_close(dict(net.named_buffers()), dict(reference.named_buffers()))
    joint = method(normed(), batch_norm="shared").outputs(BATCH)
    assert not torch.allclose(joint["source"].features, outputs["source"].features)


def test_batch_norm_by_domain_is_that_of_each_domain_alone() -> None:
    references = [normed(), normed()]
    tested = method(normed(), batch_norm="domain")
    outputs = tested.outputs(BATCH)
    assert_close(outputs["source"].features, references[0](BATCH["source"].x)[0])
    both = [BATCH["target"].x, BATCH["target_labelled"].x]  # of one domain
    expected = references[1](torch.cat(both))[0]
    actual = torch.cat([outputs["target"].features, outputs["target_labelled"].features])
    assert_close(actual, expected)
    # evaluated, a row is normed by its own domain's
    x = BATCH["source"].x
    for number, reference in enumerate(references):
        seen = tested.eval()(x, torch.full((len(x),), number))
        assert_close(seen, reference.eval()(x))
    with pytest.raises(InputError, match="the network has no batch norm"):
        method(batch_norm="domain")


def test_every_field_is_gathered_over_processes() -> None:
    tested = method()
    alone = tested.outputs(BATCH)
    tested.gather = lambda x: torch.cat([x, x])
    for role, outputs in tested.outputs(BATCH).items():
        for field, expected in zip(outputs, alone[role], strict=True):
            assert torch.equal(field, torch.cat([expected, expected]))


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def test_observe_is_the_evaluated_forward_pass_without_a_trace() -> None:
    tested = method(normed()).train()
    state = {name: value.clone() for name, value in tested.state_dict().items()}
    seen = tested.evaluate_samples(BATCH["source"])
    assert all(torch.equal(a, b) for a, b in zip(seen[:4], BATCH["source"], strict=True))
    assert not seen.features.requires_grad
    assert not seen.logits.requires_grad
    assert seen.features.dtype == seen.logits.dtype == torch.float32
    assert_close(dict(tested.state_dict()), state)
    features, logits = tested.eval()(BATCH["source"].x)
    assert_close((seen.features, seen.logits), (features.float(), logits.float()))


def test_observe_drops_nothing_out() -> None:
    tested = method(network(dropout=0.5)).train()
    first, second = (tested.evaluate_samples(BATCH["source"]) for _ in range(2))
    assert torch.equal(first.features, second.features)


def test_observe_restores_the_mode_of_every_part() -> None:
    tested = method(normed()).train()
    tested.network.encoder.eval()
    before = modes(tested)
    tested.evaluate_samples(BATCH["source"])
    assert modes(tested) == before
    assert len(set(before)) == 2


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_observe_does_not_depend_on_how_many_rows_a_pass_has(size: int) -> None:
    tested = method(normed()).train()
    seen, expected = (
        tested.evaluate_samples(BATCH["source"], size=size),
        tested.evaluate_samples(BATCH["source"]),
    )
    assert_close(tuple(seen), tuple(expected))


def test_observe_turns_bytes_into_inputs() -> None:
    keys: dict[str, Any] = {"bottleneck": [], "head": [], "dropout": 0.0}
    tested = method(Network(backbone=Identity, shape=(2,), classes=2, **keys))
    x = torch.tensor([[0, 255], [51, 102]], dtype=torch.uint8)
    given = Samples(x, *(torch.zeros(2, dtype=torch.long) for _ in range(3)))
    seen = tested.evaluate_samples(given)
    assert torch.equal(seen.x, x)
    assert_close(seen.features, as_input(x))
    assert_close(seen.features[0], torch.tensor([-1.0, 1.0]))


def test_modes_are_restored_after_an_error() -> None:
    tested = method().train()

    def fail() -> Iterator[None]:
        with evaluating(tested):
            assert not any(modes(tested))
            raise KeyError("anything")
        yield

    with pytest.raises(KeyError, match="anything"):
        next(fail())
    assert all(modes(tested))


def test_everything_is_one_part_and_nothing_is_said_unless_a_method_does() -> None:
    tested = method()
    assert tested.parts() == {"model": [tested]}
    assert list(tested.warnings({})) == []


def test_the_few_labelled_rows_join_wherever_the_data_has_them() -> None:
    net = network()
    tested = method(net, alpha=0.3)
    tested.roles = ("source", "target")  # type: ignore[misc]
    assert set(tested.outputs(BATCH)) == {"source", "target", "target_labelled"}
    without = {role: given for role, given in BATCH.items() if role != "target_labelled"}
    assert set(tested.outputs(without)) == {"source", "target"}
