"""SHOT of a stream: the encoder learns, the head stays."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.losses.information import negative_mutual_information
from da_framework.stream_methods.frozen import Source
from da_framework.stream_methods.shot_online import SHOTOnline, nearest_centres
from tests.stream_methods.models import batches, run, sgd
from tests.stream_methods.models import small_model as model


def shot(**keys: Any) -> SHOTOnline:
    given: dict[str, Any] = {"optimizer": sgd(0.5), "weight": 1.0, "pseudo_weight": 0.3}
    return SHOTOnline(model(), **(given | keys))


def test_the_head_stays_and_the_encoder_learns() -> None:
    method = shot()
    before = {name: value.clone() for name, value in method.network.named_parameters()}
    run(method, batches())
    moved = {n for n, value in method.network.named_parameters() if not value.equal(before[n])}
    assert {name.partition(".")[0] for name in moved} == {"encoder"}
    assert moved == {name for name in before if name.startswith("encoder")}


def test_without_terms_it_is_the_source_model() -> None:
    given = run(shot(weight=0.0, pseudo_weight=0.0), batches())
    assert_close(given, run(Source(model()), batches()))


def test_it_is_a_loop_by_hand() -> None:
    own = model()
    trained = list(own.network.encoder.parameters())
    expected = []
    for x in batches():
        features, logits = own(x)
        expected.append(logits.softmax(1).detach())
        labels = nearest_centres(features.detach(), logits.detach().softmax(1))
        loss = negative_mutual_information(logits) + 0.3 * cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, trained)
        with torch.no_grad():
            for weight, gradient in zip(trained, gradients, strict=True):
                weight.sub_(gradient, alpha=0.5)
    assert_close(run(shot(), batches()), torch.cat(expected))


def test_labels_are_of_the_nearest_centre() -> None:
    features = torch.tensor([[5.0, 0.0], [4.0, 0.1], [0.0, 5.0], [0.1, 4.0], [3.0, 0.5]]).double()
    shares = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]]).double()
    assert nearest_centres(features, shares).tolist() == [0, 0, 1, 1, 0]
    alike = torch.tensor([[0.9, 0.1]]).double().repeat(5, 1)
    assert nearest_centres(features, alike).tolist() == [0] * 5  # nothing is in the other class
