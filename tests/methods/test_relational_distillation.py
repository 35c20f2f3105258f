from typing import Any

import torch
from torch.testing import assert_close

from da_framework.losses.distillation import angles, relative_distances
from da_framework.methods.relational_distillation import RelationalDistillation

KEYS = {"weight": 25.0, "angle_weight": 50.0, "rows": 3}


def test_a_network_that_is_its_teacher_has_nothing_to_learn(tiny: Any) -> None:
    network = tiny.network(seed=5)
    method = tiny.method(
        RelationalDistillation, network=tiny.network(seed=5), teachers=(network,), **KEYS
    )
    (objective,) = method.objectives(tiny.batch("target"))
    assert_close(objective.total, torch.zeros(()).double())


def test_the_terms_are_the_means_over_teachers(tiny: Any) -> None:
    teachers = (tiny.network(5, seed=5), tiny.network(2, seed=6))
    method = tiny.method(RelationalDistillation, teachers=teachers, **KEYS)
    batch = tiny.batch("target")
    (objective,) = method.objectives(batch)
    x = batch["target"].x
    features = method.network(x)[0]
    others = [teacher(x)[0] for teacher in teachers]
    distances = torch.stack([relative_distances(features, other) for other in others]).mean()
    angle = torch.stack([angles(features[:3], other[:3]) for other in others]).mean()
    assert_close(objective.terms["distances"].value, distances)
    assert_close(objective.terms["angles"].value, angle)
    assert [term.weight for term in objective.terms.values()] == [25.0, 50.0]
