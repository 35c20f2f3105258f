from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.adversarial import domain_adversarial
from da_framework.methods.dann import DANN
from da_framework.methods.mdan import MDAN

KEYS: dict[str, Any] = {"hidden": [6], "weight": 0.7, "coefficient": 0.5, "sharpness": 2.0}


def losses(method: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each source, from its own rows alone; without reversal."""
    source, target = batch["source"], batch["target"]
    features, logits = method.network(torch.cat([source.x, target.x]))
    labels, domains = [], []
    for number, discriminator in enumerate(method.discriminators):
        rows = torch.nonzero(source.domain == number).squeeze(1)
        labels.append(cross_entropy(logits[rows], source.y[rows]))
        both = torch.cat([features[rows], features[len(source.x) :]])
        domains.append(domain_adversarial(discriminator(both), n=len(rows)))
    return torch.stack(labels), torch.stack(domains)


def test_the_gradient_is_that_of_the_soft_maximum(tiny: Any, gradient: Any) -> None:
    method, batch = tiny.method(MDAN, domains=4, **KEYS), tiny.batch(domains=4)
    assert len(method.discriminators) == 3
    (objective,) = method.objectives(batch)
    label, domain = losses(method, batch)
    soft = (2.0 * (label - 0.7 * 0.5 * domain)).logsumexp(0) / 2.0
    for part in (method.network.encoder, method.network.head):
        assert_close(gradient(objective.total, part), gradient(soft, part))
    # the discriminators climb: without λ, which is on the encoder's side of the reversal
    climbed = [-own / 0.5 for own in gradient(soft, method.discriminators)]
    assert_close(gradient(objective.total, method.discriminators), climbed)


def test_with_one_source_it_is_domain_adversarial_training(tiny: Any) -> None:
    batch = tiny.batch("source", "target", "target_labelled")
    single = tiny.method(MDAN, **KEYS)
    other = tiny.method(DANN, **{name: KEYS[name] for name in ("hidden", "weight", "coefficient")})
    (mine,), (plain,) = single.objectives(batch), other.objectives(batch)
    assert mine.terms.keys() == plain.terms.keys()
    assert_close(mine.total, plain.total)


@pytest.mark.parametrize("sharpness", [1e-6, 1e6])
def test_sharpness_goes_from_all_sources_alike_to_the_hardest_alone(
    tiny: Any, sharpness: float
) -> None:
    method, batch = (
        tiny.method(MDAN, domains=3, **(KEYS | {"sharpness": sharpness})),
        tiny.batch(domains=3),
    )
    (objective,) = method.objectives(batch)
    label, domain = losses(method, batch)
    hardest = (label - 0.7 * 0.5 * domain).argmax()
    expected = label.mean() if sharpness < 1 else label[hardest]
    assert_close(objective.terms["source"].value, expected, rtol=1e-5, atol=1e-6)


def test_a_source_without_a_row_in_the_batch_makes_no_nan(tiny: Any) -> None:
    method, batch = tiny.method(MDAN, domains=4, **KEYS), tiny.batch(domains=2)
    (objective,) = method.objectives(batch)
    assert objective.total.isfinite()
