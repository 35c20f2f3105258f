import math

import pytest

from da_framework.core.schedules import (
    Constant,
    Cosine,
    InverseDecay,
    Schedule,
    SigmoidRamp,
    Step,
    as_schedule,
)

GRID = [i / 100 for i in range(101)]
RAMP = SigmoidRamp(gamma=10.0, high=1.0)
DECAY = InverseDecay(alpha=10.0, power=0.75)


def test_constant_ignores_progress() -> None:
    assert {Constant(0.3)(p) for p in GRID} == {0.3}


def test_a_plain_number_is_a_constant_and_a_schedule_itself() -> None:
    assert {as_schedule(0.3)(p) for p in GRID} == {0.3}
    assert as_schedule(RAMP) is RAMP


@pytest.mark.parametrize("gamma", [0.5, 10.0, 1e4])
@pytest.mark.parametrize("high", [1.0, 0.1, -2.0, 0.0])
def test_ramp_starts_at_nothing(gamma: float, high: float) -> None:
    assert SigmoidRamp(gamma=gamma, high=high)(0.0) == 0


@pytest.mark.parametrize(
    ("progress", "value"),
    # 2 / (1 + exp(-10 p)) - 1
    [(0.01, 0.0499583750), (0.1, 0.4621171573), (0.5, 0.9866142982), (1.0, 0.9999092043)],
)
def test_ramp_has_the_paper_s_values_at_gamma_10(progress: float, value: float) -> None:
    assert RAMP(progress) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("gamma", [1.0, 10.0, 40.0])
def test_ramp_is_a_hyperbolic_tangent(gamma: float) -> None:
    for p in GRID:
        assert SigmoidRamp(gamma, 3.0)(p) == pytest.approx(3 * math.tanh(gamma * p / 2), abs=1e-12)


def test_decay_has_the_closed_form() -> None:
    for p in GRID:
        assert DECAY(p) == pytest.approx(1 / (1 + 10 * p) ** 0.75)
    assert DECAY(1.0) == pytest.approx(0.16556003)


def test_no_decay_is_one() -> None:
    assert {InverseDecay(0.0, 0.75)(p) for p in GRID} == {1.0}
    assert {InverseDecay(10.0, 0.0)(p) for p in GRID} == {1.0}


def test_cosine_goes_from_one_over_a_half_to_nothing() -> None:
    cosine = Cosine()
    assert [cosine(p) for p in (0.0, 1 / 3, 0.5, 1.0)] == pytest.approx([1, 0.75, 0.5, 0])


@pytest.mark.parametrize("schedule", [DECAY, Cosine()])
def test_learning_rates_start_whole_and_only_fall(schedule: Schedule) -> None:
    values = [schedule(p) for p in GRID]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    assert min(values) >= 0


def test_ramp_only_rises_and_stays_below_its_height() -> None:
    values = [RAMP(p) for p in GRID]
    assert values == sorted(values)
    assert len(set(values)) == len(values)
    assert values[-1] < 1


def test_a_step_has_its_second_value_from_its_place_on() -> None:
    step = Step(at=0.25, before=1.0, after=-3.0)
    assert [step(p) for p in (0.0, 0.2499, 0.25, 1.0)] == [1.0, 1.0, -3.0, -3.0]
