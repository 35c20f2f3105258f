from copy import deepcopy
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.methods.adabn import AdaBN


def test_a_network_without_batch_norm_is_refused_with_what_has_it(tiny: Any) -> None:
    with pytest.raises(InputError, match=r"network=convnet.*network\.backbone\.batch_norm=true"):
        tiny.method(AdaBN)


def test_training_is_the_source_s_alone_and_the_target_s_statistics_follow(tiny: Any) -> None:
    network = tiny.network(norm=True)
    plain = deepcopy(network)
    batches = [tiny.batch(seed=seed) for seed in range(4)]
    method = tiny.train(tiny.method(AdaBN, network=network), batches)

    first = plain.encoder.backbone[0]
    mean, variance = torch.zeros(5).double(), torch.ones(5).double()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for batch in batches:
        with torch.no_grad():
            hidden = first(batch["target"].x)
        mean = 0.9 * mean + 0.1 * hidden.mean(0)
        variance = 0.9 * variance + 0.1 * hidden.var(0)
        optimizer.zero_grad()
        loss = cross_entropy(plain(batch["source"].x)[1], batch["source"].y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    assert_close(list(method.network.parameters()), list(plain.parameters()))
    source, target = method.network.encoder.backbone[1].norms
    assert_close(source.state_dict(), plain.encoder.backbone[1].state_dict())
    assert_close(target.running_mean, mean)
    assert_close(target.running_var, variance)


def test_a_moved_and_scaled_target_looks_like_the_source(tiny: Any) -> None:
    method = tiny.method(AdaBN, network=tiny.network(norm=True))
    source = tiny.batch()["source"]
    moved = source._replace(x=3 * source.x + 5, domain=source.domain + 1)
    outputs = method.outputs({"source": source, "target": moved})
    # to the ε that batch norm adds to a variance
    assert_close(outputs["target"].logits, outputs["source"].logits, rtol=0, atol=1e-3)


def test_is_evaluated_with_the_statistics_of_the_row_s_domain(tiny: Any) -> None:
    method = tiny.method(AdaBN, network=tiny.network(norm=True))
    tiny.train(method, [tiny.batch(seed=seed) for seed in range(3)])
    source = tiny.batch()["source"]
    as_source = method.evaluate_samples(source)
    as_target = method.evaluate_samples(source._replace(domain=source.domain + 1))
    assert (as_source.logits - as_target.logits).abs().max() > 0.01
    with torch.no_grad():
        unnamed = method.eval()(source.x)[1]
    assert_close(unnamed.float(), as_target.logits)


def test_adds_no_terms_and_no_weights(tiny: Any) -> None:
    network = tiny.network(norm=True)
    before = sum(p.numel() for p in network.parameters())
    method = tiny.method(AdaBN, network=network, domains=3)
    (objective,) = method.objectives(tiny.batch(domains=3, source=12))
    assert list(objective.terms) == ["source"]
    assert sum(p.numel() for p in method.parameters()) == before
