from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods.mixup import Mixup
from da_framework.methods.source_only import SourceOnly


def test_at_share_one_it_is_training_on_the_sources(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, batch = tiny.method(Mixup, concentration=0.2), tiny.batch("source")
    monkeypatch.setattr(method, "draw_share", lambda: 1.0)
    (mixed,) = method.objectives(batch)
    (plain,) = tiny.method(SourceOnly).objectives(batch)
    assert torch.equal(mixed.total, plain.total)


def test_the_labels_are_mixed_as_the_inputs_are(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = tiny.method(Mixup, concentration=0.2, domains=3), tiny.batch(domains=3)
    other = torch.tensor([6, 5, 4, 3, 2, 1, 0])
    monkeypatch.setattr(method, "draw_share", lambda: 0.3)
    monkeypatch.setattr(method, "draw_partners", lambda domain: other)
    (objective,) = method.objectives(batch)
    source = batch["source"]
    _, logits = method.network(0.3 * source.x + 0.7 * source.x.flip(0))
    soft = 0.3 * torch.eye(3)[source.y] + 0.7 * torch.eye(3)[source.y.flip(0)]
    assert_close(objective.total, cross_entropy(logits, soft.double()))


def test_shares_follow_the_beta_distribution(tiny: Any) -> None:
    method = tiny.method(Mixup, concentration=0.5)
    drawn = []
    for step in range(2000):
        method.generator.manual_seed(step)
        drawn.append(method.draw_share())
    shares = torch.tensor(drawn)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares.mean().item() == pytest.approx(1 / 2, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / 8, abs=0.01)  # 1 / (4 (2 a + 1))


def test_partners_are_every_sample_once_and_of_one_s_own_where_columns_differ(tiny: Any) -> None:
    method, domain = tiny.method(Mixup, concentration=0.5), torch.tensor([0, 1, 0, 2, 1, 1, 0, 2])
    crossed = False
    for seed in range(10):
        method.generator.manual_seed(seed)
        other = method.draw_partners(domain)
        assert other.sort().values.tolist() == list(range(8))
        crossed |= not torch.equal(domain[other], domain)
    assert crossed
    object.__setattr__(method.task, "widths", (2, 3, 2, 2))
    moved = False
    for seed in range(10):
        method.generator.manual_seed(seed)
        other = method.draw_partners(domain)
        assert other.sort().values.tolist() == list(range(8))
        assert torch.equal(domain[other], domain)
        moved |= not torch.equal(other, torch.arange(8))
    assert moved
