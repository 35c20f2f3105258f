from typing import Any

from torch.testing import assert_close

from da_framework.losses.labelled_pairs import contrastive_semantic_alignment
from da_framework.methods.ccsa import CCSA

KEYS: dict[str, Any] = {"weight": 0.7, "margin": 2.0}
ROLES = ("source", "target_labelled")


def test_the_term_is_of_the_features_of_labelled_pairs(tiny: Any) -> None:
    method, batch = tiny.method(CCSA, **KEYS), tiny.batch(*ROLES)
    (objective,) = method.objectives(batch)
    assert list(objective.terms) == ["source", "target_labelled", "alignment"]
    term = objective.terms["alignment"]
    source, target = (method.network(batch[role].x)[0] for role in ROLES)
    y_source, y_target = (batch[role].y for role in ROLES)
    expected = contrastive_semantic_alignment(
        source, target, y_source=y_source, y_target=y_target, margin=2.0
    )
    assert_close(term.value, expected)
    assert term.weight == 0.7


def test_the_encoder_learns_and_the_head_does_not(tiny: Any, gradient: Any) -> None:
    method = tiny.method(CCSA, **KEYS)
    (objective,) = method.objectives(tiny.batch(*ROLES))
    value = objective.terms["alignment"].value
    assert any(own.any() for own in gradient(value, method.network.encoder))
    assert not any(own.any() for own in gradient(value, method.network.head))


def test_training_lowers_it_below_what_plain_training_reaches(tiny: Any) -> None:
    batch, reached = tiny.batch(*ROLES), []
    for weight in (0.0, 2.0):
        method = tiny.train(tiny.method(CCSA, **(KEYS | {"weight": weight})), [batch] * 30)
        (objective,) = method.objectives(batch)
        reached.append(objective.terms["alignment"].value.item())
    assert reached[1] < reached[0]
