"""CoTTA: a teacher, and a student that is restored."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from da_framework.datasets.augmentations import Jitter
from da_framework.stream_methods.base import augment
from da_framework.stream_methods.bn_statistics import BNStatistics
from da_framework.stream_methods.cotta import CoTTA
from tests.stream_methods.models import batches, run, sgd
from tests.stream_methods.models import small_model as model

NOISY = Jitter(noise=1.0, drop=0.0)
STILL = Jitter(noise=0.0, drop=0.0)


def cotta(**keys: Any) -> CoTTA:
    given: dict[str, Any] = {
        "optimizer": sgd(0.5), "prior": 0.0, "view": STILL, "views": 3, "confidence": 0.0,
        "keep": 0.9, "restore": 0.0,
    }  # fmt: skip
    return CoTTA(model(), **(given | keys))


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_with_all_restored_it_is_the_source_model(confidence: float) -> None:
    """Under the batch's statistics; with still views, whatever their number."""
    method = cotta(restore=1.0, confidence=confidence)
    expected = run(BNStatistics(model(), prior=0.0), batches())
    assert_close(run(method, batches()), expected, rtol=0, atol=1e-15)
    source = list(method.source.module.parameters())
    for part in (method.model, method.teacher.module):
        for weight, begun in zip(part.parameters(), source, strict=True):
            assert torch.equal(weight, begun)


def test_where_teacher_and_student_see_alike_there_is_nothing_to_learn() -> None:
    expected = run(BNStatistics(model(), prior=0.0), batches())
    assert_close(run(cotta(), batches()), expected)


def test_a_share_is_restored() -> None:
    method = cotta(restore=0.3)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in method.trained:
            weight.add_(1.0)
    method.restore_some()
    sources = list(method.source.module.network.parameters())
    back = sum(int((a == b).sum()) for a, b in zip(method.trained, sources, strict=True))
    total = sum(weight.numel() for weight in method.trained)
    assert 0.15 < back / total < 0.45
    gap = [(a - b).detach() for a, b in zip(method.trained, sources, strict=True)]
    assert_close(sum(float(g.sum()) for g in gap), float(total - back))


def test_it_is_a_loop_by_hand() -> None:
    student, teacher = BNStatistics(model(), prior=0.0), BNStatistics(model(), prior=0.0)
    student.train_only(student.network.parameters(), sgd(0.5))
    expected = []
    for number, x in enumerate(batches()):
        torch.manual_seed(number)
        taught = torch.stack([teacher.predict(augment(NOISY, x)) for _ in range(3)]).mean(0)
        expected.append(taught)
        student.descend(-(taught * student.logits(x).softmax(1).log()).sum(1).mean())
        with torch.no_grad():
            pairs = zip(teacher.model.parameters(), student.model.parameters(), strict=True)
            for slow, fast in pairs:
                slow.copy_(0.9 * slow + 0.1 * fast)
    given = run(cotta(view=NOISY, confidence=1.0), batches())
    assert_close(given, torch.cat(expected))
    still = run(cotta(view=NOISY, confidence=1.0, restore=1.0), batches())
    assert not torch.allclose(given[16:], still[16:])  # it has learnt


def test_views_are_averaged_where_the_source_model_is_unsure() -> None:
    (x,) = batches(1)
    plain = BNStatistics(model(), prior=0.0).predict(x)
    assert torch.equal(cotta(view=NOISY).predict(x), plain)
    torch.manual_seed(3)
    many = cotta(view=NOISY, confidence=1.0).predict(x)
    assert not torch.allclose(many, plain)
    assert_close(many.sum(1), torch.ones(16).double())
