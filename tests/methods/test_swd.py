from typing import Any

import ot
import pytest
import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from da_framework.losses.discrepancy import sliced_wasserstein_discrepancy
from da_framework.methods.mcd import MCD
from da_framework.methods.swd import SWD

KEYS: dict[str, Any] = {"weight": 0.7, "repeats": 3, "slices": 16}


def test_the_discrepancy_is_pot_s_along_the_lines_that_were_drawn(tiny: Any) -> None:
    method, batch = tiny.method(SWD, **KEYS), tiny.batch()
    method.generator.manual_seed(5)
    value = list(method.objectives(batch))[1].terms["discrepancy"].value
    features, logits = method.network(batch["target"].x)
    lines = torch.randn((3, 16), generator=torch.Generator().manual_seed(5)).double()
    expected = ot.sliced_wasserstein_distance(
        logits.softmax(1).detach().numpy(),
        method.second(features).softmax(1).detach().numpy(),
        projections=normalize(lines, dim=0).numpy(),
        p=2,
    )
    assert value.item() == pytest.approx(float(expected) ** 2)


def test_steps_are_those_of_mcd_with_this_discrepancy(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def discrepancy(self: MCD, first: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        lines = torch.randn((3, 16), generator=self.generator).double()
        return sliced_wasserstein_discrepancy(first, other, directions=lines)

    batches = [tiny.batch(seed=seed) for seed in range(3)]
    trained = tiny.train(tiny.method(SWD, **KEYS), batches)
    plain = tiny.train(tiny.method(MCD, weight=0.7, repeats=3), batches)
    monkeypatch.setattr(MCD, "discrepancy", discrepancy)
    expected = tiny.train(tiny.method(MCD, weight=0.7, repeats=3), batches)
    assert_close(trained.state_dict(), expected.state_dict())
    assert not torch.equal(trained.second[-1].weight, plain.second[-1].weight)


def test_every_move_has_lines_of_its_own(tiny: Any) -> None:
    method = tiny.method(SWD, **KEYS)
    values = [
        move.terms["discrepancy"].value.item() for move in list(method.objectives(tiny.batch()))[1:]
    ]
    assert len(set(values)) == 4
    # the same two clouds: more lines bring the mean to one value
    assert max(values) < 3 * min(values)
