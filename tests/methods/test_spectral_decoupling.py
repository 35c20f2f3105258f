from typing import Any

import torch
from torch.nn.functional import cross_entropy, one_hot
from torch.testing import assert_close

from da_framework.methods.spectral_decoupling import SpectralDecoupling


def test_the_gradient_is_that_of_the_labels_and_the_logits_themselves(tiny: Any) -> None:
    method = tiny.method(SpectralDecoupling, domains=3, weight=0.7)
    batch = tiny.batch("source", domains=3)
    outputs = method.outputs(batch)
    logits = outputs["source"].logits.detach().requires_grad_()
    terms = method.all_terms({"source": outputs["source"]._replace(logits=logits)})
    total = sum(term.weight * term.value for term in terms.values())
    (actual,) = torch.autograd.grad(total, logits)
    residuals = logits.softmax(1) - one_hot(batch["source"].y, 3)
    assert_close(actual, ((residuals + 0.7 * logits) / len(logits)).detach())


def test_the_loss_is_the_labels_and_half_of_the_squared_logits(tiny: Any) -> None:
    method, batch = tiny.method(SpectralDecoupling, weight=0.7), tiny.batch("source")
    (objective,) = method.objectives(batch)
    _, logits = method.network(batch["source"].x)
    expected = cross_entropy(logits, batch["source"].y)
    expected = expected + 0.35 * sum(row @ row for row in logits) / len(logits)
    assert_close(objective.total, expected)
