from copy import deepcopy
from typing import Any

import torch
from torch.testing import assert_close

from da_framework.losses.consistency import squared_difference
from da_framework.methods.mean_teacher import MeanTeacher

KEYS: dict[str, Any] = {"weight": 0.7, "threshold": 0.4, "keep": 0.9}
ROLES = ("source", "target", "target_strong")


def test_the_distorted_target_learns_what_the_teacher_says_of_the_plain_one(tiny: Any) -> None:
    method, batch = tiny.method(MeanTeacher, **KEYS), tiny.batch(*ROLES)
    tiny.train(method, [batch] * 2)
    (objective,) = method.objectives(batch)
    _, taught = method.teacher(batch["target"].x)
    _, strong = method.network(batch["target_strong"].x)
    expected = squared_difference(strong, taught, threshold=0.4)
    assert expected > 0
    assert_close(objective.terms["consistency"].value, expected)
    assert objective.terms["consistency"].weight == 0.7


def test_the_teacher_is_the_average_of_all_students(tiny: Any) -> None:
    method = tiny.method(MeanTeacher, network=tiny.network(norm=True), **KEYS)
    weights = {n: p.detach().clone() for n, p in method.network.named_parameters()}
    for step in range(3):
        tiny.train(method, [tiny.batch(*ROLES, seed=step)])
        for name, now in method.network.named_parameters():
            weights[name] = 0.9 * weights[name] + 0.1 * now.detach()
    assert_close(dict(method.teacher.module.named_parameters()), weights)
    buffers = dict(method.network.named_buffers())
    assert any("running_mean" in name for name in buffers)
    assert_close(dict(method.teacher.module.named_buffers()), buffers)


def test_evaluated_is_the_teacher_and_only_the_student_learns(tiny: Any) -> None:
    method = tiny.method(MeanTeacher, **KEYS)
    tiny.train(method, [tiny.batch(*ROLES)] * 3)
    x = tiny.samples("target").x
    assert_close(method(x), method.teacher.module(x))
    assert not torch.equal(method(x)[1], method.network(x)[1])
    assert not any(p.requires_grad for p in method.teacher.parameters())
    assert not any(own.training for own in method.train().teacher.modules())


def test_it_is_a_loop_written_by_hand(tiny: Any) -> None:
    method = tiny.method(MeanTeacher, **KEYS)
    student, teacher = deepcopy(method.network), deepcopy(method.network)
    batches = [tiny.batch(*ROLES, seed=step) for step in range(3)]
    tiny.train(method, batches)
    passed = 0
    for batch in batches:
        _, logits = student(batch["source"].x)
        loss = torch.nn.functional.cross_entropy(logits, batch["source"].y)
        with torch.no_grad():
            q = teacher(batch["target"].x)[1].softmax(1)
        p = student(batch["target_strong"].x)[1].softmax(1)
        mask = q.amax(1) >= 0.4
        passed += int(mask.sum())
        loss = loss + 0.7 * (mask * (p - q).square().mean(1)).mean()
        moves = torch.autograd.grad(loss, list(student.parameters()))
        with torch.no_grad():
            for weight, average, move in zip(
                student.parameters(), teacher.parameters(), moves, strict=True
            ):
                weight -= 0.1 * move
                average.mul_(0.9).add_(0.1 * weight)
    assert_close(dict(method.network.named_parameters()), dict(student.named_parameters()))
    assert_close(dict(method.teacher.module.named_parameters()), dict(teacher.named_parameters()))
    # neither all rows pass the threshold nor none
    assert 0 < passed < 3 * 5


def test_it_is_trained_from_the_command_line(da: Any) -> None:
    ended = da.train("method=mean_teacher")
    assert ended.code == 0, ended
    assert da.record()["rows"]["target_strong"] == da.record()["rows"]["target"]
