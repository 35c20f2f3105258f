import math
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods import adversarial_generalization
from da_framework.methods.cdann_between_sources import CDANNBetweenSources
from da_framework.networks.adversary import DomainClassifier

KEYS: dict[str, Any] = {"hidden": [], "weight": 0.7, "coefficient": 0.5, "limit": 4096}


def test_within_a_source_every_class_that_it_has_counts_alike(tiny: Any) -> None:
    method, batch = tiny.method(CDANNBetweenSources, domains=3, **KEYS), tiny.batch(domains=3)
    source = batch["source"]
    (objective,) = method.objectives(batch)
    features, _ = method.network(source.x)
    (layer,) = method.discriminator
    own = layer.weight.view(2, 4, 3)
    costs = []
    for number in range(2):
        of_class = []
        for label in source.y[source.domain == number].unique():
            rows = (source.domain == number) & (source.y == label)
            # a class has weights of its own
            logits = features[rows] @ own[:, :, label].T + layer.bias
            of_class.append(cross_entropy(logits, source.domain[rows]))
        costs.append(sum(of_class) / len(of_class))
    assert_close(objective.terms["domain"].value, sum(costs) / 2)


def test_a_blind_discriminator_costs_the_logarithm_of_the_sources(tiny: Any) -> None:
    method = tiny.method(CDANNBetweenSources, domains=4, **KEYS)
    for weight in method.discriminator.parameters():
        torch.nn.init.zeros_(weight)
    (objective,) = method.objectives(tiny.batch("source", domains=4))
    assert_close(objective.terms["domain"].value.item(), math.log(3))


def test_its_one_discriminator_is_drawn_once(tiny: Any, monkeypatch: Any) -> None:
    built: list[int] = []

    def counted(width: int, hidden: list[int], sources: int) -> Any:
        built.append(width)
        return DomainClassifier(width, hidden, sources)

    monkeypatch.setattr(adversarial_generalization, "DomainClassifier", counted)
    tiny.method(CDANNBetweenSources, domains=3, **KEYS)
    assert built == [12]  # four features of each of three classes
