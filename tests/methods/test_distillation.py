from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.methods.distillation import Distillation


def test_one_teacher_at_temperature_1_is_cross_entropy_with_its_soft_labels(
    tiny: Any, gradient: Any
) -> None:
    teacher = tiny.network(seed=5)
    method = tiny.method(
        Distillation, teachers=(teacher,), weight=1.0, temperature=1.0, shares=None
    )
    batch = tiny.batch("target")
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["teachers"]
    x = batch["target"].x
    soft = teacher(x)[1].softmax(1).detach()
    expected = cross_entropy(method.network(x)[1], soft)
    assert_close(objective.total, expected)
    pairs = zip(gradient(objective.total, method), gradient(expected, method), strict=True)
    for weight, other in pairs:
        assert_close(weight, other)


def test_several_teachers_are_averaged_by_their_shares(tiny: Any) -> None:
    teachers = tuple(tiny.network(seed=seed) for seed in (5, 6))
    method = tiny.method(
        Distillation, teachers=teachers, weight=1.0, temperature=3.0, shares=[3.0, 1.0]
    )
    x = tiny.batch("target")["target"].x
    taught = [(teacher(x)[1] / 3).softmax(1) for teacher in teachers]
    assert_close(method.teach(x), 0.75 * taught[0].detach() + 0.25 * taught[1].detach())


def test_all_rows_of_the_target_are_taught_and_labels_are_learnt(tiny: Any) -> None:
    method = tiny.method(
        Distillation, teachers=(tiny.network(seed=5),), weight=1.0, temperature=2.0, shares=None
    )
    batch = tiny.batch("source", "target", "target_labelled")
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "target_labelled", "teachers"]
    x = torch.cat([batch["target"].x, batch["target_labelled"].x])
    p, log_p = method.teach(x), (method.network(x)[1] / 2).log_softmax(1)
    assert_close(objective.terms["teachers"].value, -4 * (p * log_p).sum(1).mean())


def test_the_teachers_stay_and_are_no_part_of_the_state(tiny: Any) -> None:
    teacher = tiny.network(seed=5)
    method = tiny.method(
        Distillation, teachers=(teacher,), weight=1.0, temperature=2.0, shares=None
    )
    assert not any("teacher" in name for name in method.state_dict())
    before = [weight.clone() for weight in method.task.teachers[0].parameters()]
    tiny.train(method, [tiny.batch("target", seed=seed) for seed in range(3)])
    assert_close(list(method.task.teachers[0].parameters()), before)


def test_what_cannot_be_taught_is_refused(tiny: Any) -> None:
    keys: dict[str, Any] = {"weight": 1.0, "temperature": 2.0}
    with pytest.raises(InputError, match="2 numbers for 1 teachers"):
        tiny.method(Distillation, teachers=(tiny.network(),), shares=[1.0, 2.0], **keys)
    with pytest.raises(InputError, match="one has 5 classes, this network 3"):
        tiny.method(Distillation, teachers=(tiny.network(5),), shares=None, **keys)
