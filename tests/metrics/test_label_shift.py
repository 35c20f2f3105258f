"""Probabilities corrected for label shift: Bayes' rule in closed form; intervals of shares."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from da_framework.calibrations.bias_corrected_temperature import bias_corrected_temperature
from da_framework.core.batch import Outputs
from da_framework.core.errors import InputError
from da_framework.label_shift_corrections.bbse import bbse
from da_framework.label_shift_corrections.em import em
from da_framework.label_shift_corrections.shift_estimate import ShiftEstimate
from da_framework.metrics.label_shift import (
    LabelShiftCorrection,
    bootstrap_shares,
    correct_label_shift,
    correct_outputs,
)
from tests.label_shift_corrections.test_formulas import CORRECTIONS, EQUAL, SKEWED, K, draw, sides

CALIBRATION = partial(bias_corrected_temperature, ridge=1.0)
EM = partial(em, prior="predicted", rounds=10_000, tolerance=1e-8)


def known(shares: Tensor) -> LabelShiftCorrection:
    """A correction that knows the shares."""

    def correction(source: Tensor, y: Tensor, target: Tensor) -> ShiftEstimate:
        return ShiftEstimate(shares / EQUAL, shares)

    return correction


def test_with_the_true_shares_it_is_bayes_rule_on_a_mixture_of_normals() -> None:
    source, y = draw(EQUAL, 50, 0)
    logits, _ = draw(SKEWED, 50, 1)
    corrected = correct_label_shift(source, y, logits, correction=known(SKEWED))
    # logits are those of densities under equal shares: x·μ - |μ|²/2, all means as long
    density = logits.exp()
    expected = SKEWED * density / (density @ SKEWED)[:, None]
    assert_close(corrected.target.exp(), expected, atol=1e-12, rtol=0)
    assert_close(corrected.source.exp(), source.softmax(1), atol=1e-12, rtol=0)


def test_calibrated_and_corrected_by_em_it_comes_near_bayes_rule() -> None:
    source, y = draw(EQUAL, 40_000, 0)
    target, labels = draw(SKEWED, 40_000, 1)
    wrong = torch.tensor([0.5, -1.0, 0.0]).double()
    corrected = correct_label_shift(
        3 * source + wrong, y, 3 * target + wrong, calibration=CALIBRATION, correction=EM
    )
    density = target.exp()
    bayes = SKEWED * density / (density @ SKEWED)[:, None]
    assert_close(corrected.target.exp(), bayes, atol=0.05, rtol=0)
    assert (corrected.target.exp() - bayes).abs().mean() < 0.005
    assert corrected.estimate is not None
    assert_close(corrected.estimate.shares, SKEWED, atol=0.015, rtol=0)
    right = (corrected.target.argmax(1) == labels).double().mean()
    assert right > (target.argmax(1) == labels).double().mean() + 0.05
    # and without calibration the shares are off
    bare = correct_label_shift(3 * source + wrong, y, 3 * target + wrong, correction=EM)
    assert bare.estimate is not None
    assert (bare.estimate.shares - SKEWED).abs().max() > 0.02


def test_without_either_nothing_changes() -> None:
    source, y = draw(EQUAL, 20, 0)
    corrected = correct_label_shift(source, y, source)
    assert_close(corrected.target, source.log_softmax(1))
    assert corrected.estimate is None


def outputs(logits: Tensor, y: Tensor) -> Outputs:
    rows = torch.arange(len(y))
    return Outputs(logits, y, torch.zeros_like(rows), rows, logits, logits)


def test_the_source_is_calibrated_and_every_other_role_corrected() -> None:
    source, y = draw(EQUAL, 300, 0)
    target, _ = draw(SKEWED, 300, 1)
    given = {"source": outputs(source, y), "target": outputs(target, -torch.ones_like(y))}
    assert correct_outputs(given) is given
    changed = correct_outputs(given, calibration=CALIBRATION, correction=EM)
    expected = correct_label_shift(source, y, target, calibration=CALIBRATION, correction=EM)
    assert_close(changed["source"].logits, expected.source)
    assert_close(changed["target"].logits, expected.target)


def test_what_cannot_be_corrected_is_said() -> None:
    source, y = draw(EQUAL, 300, 0)
    target = {"target": outputs(source, -torch.ones_like(y))}
    with pytest.raises(InputError, match="fitted to held-out source samples, and there are none"):
        correct_outputs(target, calibration=CALIBRATION)
    two = outputs(source[y < 2], y[y < 2])
    with pytest.raises(InputError, match="of 1 of 3 classes there is no held-out source sample"):
        correct_outputs({**target, "source": two}, correction=EM)
    sure = 50 * torch.eye(K).double()
    one = sure[torch.zeros(30, dtype=torch.long)]
    labels = torch.arange(30) % K
    with pytest.raises(InputError, match="label_shift_correction=null"):
        correct_label_shift(one, labels, sure[1:2], correction=partial(bbse, mode="hard"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bbse hard", "bbse soft", "em of labels"])
def test_intervals_hold_the_planted_shares_about_as_often_as_they_say(name: str) -> None:
    held, runs = 0, 30
    for seed in range(runs):
        found = bootstrap_shares(CORRECTIONS[name], *sides(100 + seed, 200), draws=200)
        held += int((found.low <= SKEWED).logical_and(found.high >= SKEWED).sum())
    # of 90 intervals at 95 %, a percentile one of few samples, and dependent
    assert held >= 0.85 * runs * K
