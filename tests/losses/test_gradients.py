"""The gradient of every loss is that of its value: a walk over the package."""

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import kl_div
from torch.testing import assert_close

from da_framework import losses
from da_framework.losses.adversarial import domain_adversarial, domain_cross_entropy
from da_framework.losses.class_mmd import class_mmd
from da_framework.losses.confusion import class_confusion
from da_framework.losses.consistency import hard_consistency, squared_difference
from da_framework.losses.contrastive_discrepancy import contrastive_discrepancy
from da_framework.losses.coral import coral, log_coral
from da_framework.losses.discrepancy import l1_discrepancy, sliced_wasserstein_discrepancy
from da_framework.losses.distillation import angles, distillation, relative_distances
from da_framework.losses.entropy import entropy, row_entropy
from da_framework.losses.feature_norm import hard_norm, stepwise_norm
from da_framework.losses.information import (
    negative_entropy_of_mean,
    negative_mutual_information,
)
from da_framework.losses.invariance import fishr, gradient_variances, irm_penalty, risk_variance
from da_framework.losses.joint_mmd import joint_mmd
from da_framework.losses.labelled_pairs import (
    contrastive_semantic_alignment,
    neighborhood_margin,
)
from da_framework.losses.margin_disparity import margin_disparity
from da_framework.losses.mmd import (
    bandwidths,
    composed_sum,
    kernel_sum,
    mmd,
    product_mmd,
    relative_mmd,
)
from da_framework.losses.moments import central_moment_discrepancy, moment_distance
from da_framework.losses.nuclear_norm import negative_nuclear_norm
from da_framework.losses.open_set import unknown_boundary
from da_framework.losses.pseudo_label import pseudo_label
from da_framework.losses.spectral_penalty import spectral_penalty
from da_framework.losses.spectral_shrinkage import spectral_shrinkage
from da_framework.losses.virtual_adversarial import unit, virtual_adversarial
from da_framework.losses.wasserstein import critic_gap, gradient_penalty


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Case(NamedTuple):
    """A loss of the tensors that learn from it.

    ``held`` is its formula with what gets no gradient, as its docstring says, held at its value.
    """

    loss: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    held: Callable[..., Tensor] | None = None


S, T = normal(5, 3), normal(4, 3, seed=1) + 0.3
OTHER, P = normal(5, 3, seed=2), normal(5, 3, seed=3).softmax(1)
Y, WIDTHS = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0.7, 1.5]).double()
FACTORS = [0.5, 2.0]
LABELS = {"y_source": Y, "y_target": torch.tensor([0, 1, 1, -1])}


def held_confusion(z: Tensor) -> Tensor:
    weights = 1 + (-row_entropy(S / 2)).exp()
    p = (z / 2).softmax(1)
    c = p.T @ (weights[:, None] * p)
    return 1 - (c.diagonal() / c.sum(1)).mean()


def held_relative_mmd(s: Tensor, t: Tensor) -> Tensor:
    widths = bandwidths(S, T, policy="mean", factors=torch.tensor(FACTORS).double())
    return mmd(s, t, bandwidths=widths)


def held_adversarial(weight: Tensor) -> Tensor:
    """The direction that one power iteration finds with the weights as they are."""

    def divergence(weights: Tensor, moved: Tensor) -> Tensor:
        expected = (T @ OTHER.T).log_softmax(1)
        return kl_div(
            (moved @ weights.T).log_softmax(1), expected, reduction="sum", log_target=True
        )

    probe = (torch.finfo(T.dtype).eps ** 0.5 * unit(NOISE)).requires_grad_()
    (direction,) = torch.autograd.grad(divergence(OTHER, T + probe), probe)
    return divergence(weight, T + 0.5 * unit(direction)) / len(T)


NOISE = normal(4, 3, seed=4)
CASES = {
    domain_adversarial: Case(lambda z: domain_adversarial(z, n=2), (normal(5),)),
    domain_cross_entropy: Case(lambda z: domain_cross_entropy(z, Y), (S,)),
    class_mmd: Case(lambda s, t: class_mmd(s, t, y=Y, p=P[:4], bandwidths=WIDTHS), (S, T)),
    class_confusion: Case(lambda z: class_confusion(z, temperature=2.0), (S,), held_confusion),
    squared_difference: Case(lambda z: squared_difference(z, OTHER, threshold=0.4), (S,)),
    hard_consistency: Case(lambda z: hard_consistency(z, OTHER, threshold=0.4), (S,)),
    contrastive_discrepancy: Case(
        lambda s, t: contrastive_discrepancy(s, t, classes=3, bandwidths=WIDTHS, **LABELS), (S, T)
    ),
    contrastive_semantic_alignment: Case(
        lambda s, t: contrastive_semantic_alignment(
            s, t, y_source=Y, y_target=torch.tensor([0, 1, 1, 2]), margin=3.0
        ),
        (S, T),
    ),
    neighborhood_margin: Case(
        lambda s, t: neighborhood_margin(
            s, t, y_source=Y, y_target=torch.tensor([0, 1, 1, 2]), margin=1.0
        ),
        (S, T),
    ),
    coral: Case(coral, (S, T)),
    log_coral: Case(lambda s, t: log_coral(s, t, ridge=0.1), (S, T)),
    l1_discrepancy: Case(l1_discrepancy, (S, OTHER)),
    sliced_wasserstein_discrepancy: Case(
        lambda s, t: sliced_wasserstein_discrepancy(s, t, directions=T.T), (S, OTHER)
    ),
    distillation: Case(lambda z: distillation(z, probabilities=P, temperature=2.0), (S,)),
    relative_distances: Case(lambda z: relative_distances(z, normal(5, 2, seed=5)), (S,)),
    angles: Case(lambda z: angles(z, normal(5, 2, seed=5)), (S,)),
    entropy: Case(entropy, (S,)),
    stepwise_norm: Case(
        lambda z: stepwise_norm(z, step=0.5),
        (S,),
        lambda z: (z.norm(dim=1) - S.norm(dim=1) - 0.5).square().mean(),
    ),
    hard_norm: Case(lambda z: hard_norm(z, radius=2.0), (S,)),
    negative_mutual_information: Case(negative_mutual_information, (S,)),
    negative_entropy_of_mean: Case(negative_entropy_of_mean, (S,)),
    irm_penalty: Case(lambda z: irm_penalty(z, Y, torch.tensor([0, 0, 1, 1, 1])), (S,)),
    risk_variance: Case(risk_variance, (S[:, 0],)),
    fishr: Case(
        lambda f, z: fishr(gradient_variances(f, z, Y, torch.tensor([0, 0, 1, 1, 1]))), (OTHER, S)
    ),
    joint_mmd: Case(
        lambda s, t: joint_mmd([s, 2 * s], [t, 3 * t], bandwidths=[WIDTHS, WIDTHS]), (S, T)
    ),
    margin_disparity: Case(
        lambda s, t: margin_disparity(s, t, source_logits=OTHER, target_logits=T, margin=4.0),
        (S, T + 1),
    ),
    mmd: Case(lambda s, t: mmd(s, t, bandwidths=WIDTHS), (S, T)),
    relative_mmd: Case(
        lambda s, t: relative_mmd(s, t, policy="mean", factors=FACTORS, estimator="biased"),
        (S, T),
        held_relative_mmd,
    ),
    product_mmd: Case(lambda s, t: product_mmd([s], [t], [WIDTHS], unbiased=True), (S, T)),
    kernel_sum: Case(lambda s, t: kernel_sum([s], [t], [WIDTHS], lambda i, j: 0.5), (S, T)),
    composed_sum: Case(lambda s, t: composed_sum([s], [t], [WIDTHS], lambda i, j: 0.5), (S, T)),
    central_moment_discrepancy: Case(
        lambda s, t: central_moment_discrepancy(s, t, orders=5, span=1.5), (S, T)
    ),
    moment_distance: Case(
        lambda z: moment_distance(z, torch.tensor([0, 0, 1, 2, 2]), sources=2, orders=2), (S,)
    ),
    negative_nuclear_norm: Case(negative_nuclear_norm, (S,)),
    unknown_boundary: Case(lambda z: unknown_boundary(z, boundary=0.3), (S,)),
    pseudo_label: Case(lambda z: pseudo_label(z, threshold=0.4), (S,)),
    spectral_penalty: Case(lambda z: spectral_penalty(z, largest=2), (S,)),
    spectral_shrinkage: Case(lambda z: spectral_shrinkage(z, smallest=2), (S,)),
    virtual_adversarial: Case(
        lambda w: virtual_adversarial(lambda x: x @ w.T, T, noise=NOISE, radius=0.5),
        (OTHER,),
        held_adversarial,
    ),
    critic_gap: Case(critic_gap, (S[:, 0], T[:, 0])),
    gradient_penalty: Case(
        lambda w: gradient_penalty(lambda x: (x @ w.T).tanh().sum(1), T), (OTHER,)
    ),
}
"""What gradient reversal multiplies is no loss: ``networks/adversary.py`` tests it."""


def scalar_losses() -> Iterator[Any]:
    """The public functions of the package that give one number."""
    for module in iter_modules(losses.__path__, f"{losses.__name__}."):
        for name, function in vars(import_module(module.name)).items():
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            returned = inspect.signature(function).return_annotation
            if function.__module__ == module.name and getattr(returned, "dim_str", None) == "":
                yield function


def test_every_loss_has_a_case() -> None:
    assert set(scalar_losses()) == CASES.keys()


@pytest.mark.parametrize("loss", CASES, ids=lambda loss: loss.__name__)
def test_the_gradient_is_that_of_the_value(loss: Any) -> None:
    case = CASES[loss]
    inputs = tuple(x.clone().requires_grad_() for x in case.inputs)
    value, formula = case.loss(*inputs), (case.held or case.loss)(*inputs)
    derived = [
        torch.autograd.grad(result, inputs, retain_graph=True) for result in (value, formula)
    ]
    assert any(gradient.abs().max() > 1e-6 for gradient in derived[0])
    assert_close(derived[0], derived[1], rtol=1e-6, atol=1e-9)
    assert_close(value, formula, rtol=1e-9, atol=1e-9)
    assert gradcheck(case.held or case.loss, inputs)
