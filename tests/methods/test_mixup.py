from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.methods import mixup
from da_framework.methods.mixup import Mixup
from da_framework.methods.source_only import SourceOnly


def test_at_share_one_it_is_training_on_the_sources(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, batch = tiny.method(Mixup, concentration=0.2), tiny.batch("source")
    monkeypatch.setattr(mixup, "draw_share", lambda *_: 1.0)
    (mixed,) = method.objectives(batch)
    (plain,) = tiny.method(SourceOnly).objectives(batch)
    assert torch.equal(mixed.total, plain.total)


def test_the_labels_are_mixed_as_the_inputs_are(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = tiny.method(Mixup, concentration=0.2, domains=3), tiny.batch(domains=3)
    other = torch.tensor([6, 5, 4, 3, 2, 1, 0])
    monkeypatch.setattr(mixup, "draw_share", lambda *_: 0.3)
    monkeypatch.setattr(mixup, "draw_partners", lambda *_, **__: other)
    (objective,) = method.objectives(batch)
    source = batch["source"]
    _, logits = method.network(0.3 * source.x + 0.7 * source.x.flip(0))
    soft = 0.3 * torch.eye(3)[source.y] + 0.7 * torch.eye(3)[source.y.flip(0)]
    assert_close(objective.total, cross_entropy(logits, soft.double()))


def test_shares_follow_the_beta_distribution() -> None:
    drawn = [mixup.draw_share(0.5, torch.Generator().manual_seed(step)) for step in range(2000)]
    shares = torch.tensor(drawn)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares.mean().item() == pytest.approx(1 / 2, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / 8, abs=0.01)  # 1 / (4 (2 a + 1))


def test_partners_are_every_sample_once_and_of_one_s_own_where_columns_differ() -> None:
    domain = torch.tensor([0, 1, 0, 2, 1, 1, 0, 2])
    crossed = moved = False
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        other = mixup.draw_partners(domain, generator, apart=False)
        assert other.sort().values.tolist() == list(range(8))
        crossed |= not torch.equal(domain[other], domain)
        other = mixup.draw_partners(domain, generator, apart=True)
        assert other.sort().values.tolist() == list(range(8))
        assert torch.equal(domain[other], domain)
        moved |= not torch.equal(other, torch.arange(8))
    assert crossed
    assert moved
