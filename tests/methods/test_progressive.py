from typing import Any

import pytest
from torch.testing import assert_close

from da_framework.core.errors import InputError
from da_framework.methods.progressive import Progressive


def test_the_logits_are_the_head_s_and_the_columns_(tiny: Any) -> None:
    teachers = (tiny.network(5, seed=5), tiny.network(seed=6))
    method = tiny.method(Progressive, teachers=teachers, width=6)
    batch = tiny.batch("target_labelled")
    x = batch["target_labelled"].x
    expected = method.network(x)[1]
    for lateral, teacher in zip(method.laterals, teachers, strict=True):
        expected = expected + lateral(teacher(x)[0])
    assert_close(method(x)[1], expected)
    assert_close(method.outputs(batch)["target_labelled"].logits, expected)


def test_the_columns_stay(tiny: Any) -> None:
    method = tiny.method(Progressive, teachers=(tiny.network(seed=5),), width=6)
    before = {name: own.clone() for name, own in method.state_dict().items()}
    tiny.train(method, [tiny.batch("target_labelled", seed=seed) for seed in range(3)])
    moved = {
        name.partition(".")[0]
        for name, own in method.state_dict().items()
        if not own.equal(before[name])
    }
    assert moved == {"network", "laterals"}


def test_without_columns_it_is_nothing(tiny: Any) -> None:
    with pytest.raises(InputError, match="are not there"):
        tiny.method(Progressive, width=6)
