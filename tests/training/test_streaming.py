"""The loop of a stream: order, checkpoints, resets, and what a method is given."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from da_framework.config.plugins import conf_dir
from da_framework.config.schema import instantiate
from da_framework.core.errors import InputError
from da_framework.datasets.arrival import Arrival, arrange
from da_framework.stream_methods.base import StreamMethod
from da_framework.stream_methods.frozen import Source
from da_framework.stream_methods.tent import Tent
from da_framework.training.stream_guard import Guard, Limits
from da_framework.training.streaming import (
    Keeper,
    Passed,
    accuracy_over_time,
    pass_stream,
    predict_batches,
)
from tests.damaged import BYTES
from tests.selection import a_few
from tests.stream_methods.models import adam, image_model, images, small_model

METHODS = sorted((conf_dir() / "stream_method").glob("*.yaml"))
KILLED = a_few("killed streams", (file.stem for file in METHODS), 4)
COUNT, SIZE = 48, 6
X = torch.cat(images(4, 12))
LIMITS: Limits = {"window": 12, "min_diversity": 0.6, "min_entropy": 0.05, "max_drift": 1.0}


def arrived(**keys: Any) -> Arrival:
    given: dict[str, Any] = {
        "order": "domain", "strength": 0.1, "corruptions": 0, "severity": 5, "seed": 1, **keys
    }  # fmt: skip
    return arrange(np.arange(COUNT) % 2, np.arange(COUNT) % 3, **given)


def read(batch: slice) -> Tensor:
    return X[torch.as_tensor(arrived().rows[batch])]


def made(file: Path) -> StreamMethod:
    node = yaml.safe_load(file.read_text())
    fewer = {key: 3 for key in ("views",) if key in node}  # for speed
    method: StreamMethod = instantiate(node | fewer)(image_model())
    if method.needs_source:
        method.prepare(torch.cat(images(2, 12, seed=9)))
    return method


def passed_by(method: StreamMethod, keeper: Keeper | None = None, **keys: Any) -> Passed:
    keys = {"batch_size": SIZE, "seed": 3, **keys}
    return pass_stream(method, read, arrived(), keeper=keeper, **keys)


def without_seconds(passed: Passed) -> dict[str, Any]:
    return {key: value for key, value in vars(passed).items() if key != "seconds"}


@pytest.mark.parametrize(
    "file", [file for file in METHODS if file.stem in KILLED], ids=lambda file: file.stem
)
@pytest.mark.parametrize("guarded", [False, True], ids=["", "guarded"])
def test_a_stream_that_is_killed_goes_on_bit_for_bit(
    tmp_path: Path, file: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guard() -> Guard | None:
        return Guard(image_model(), LIMITS) if guarded else None

    whole_method = made(file)
    whole = passed_by(whole_method, guard=guard(), reset="domain")
    keeper = Keeper(tmp_path / "stream.ckpt", "key", 2)
    add = Passed.add

    def killed(self: Passed, probabilities: Tensor) -> None:
        if self.batches == 5:
            raise KeyboardInterrupt
        add(self, probabilities)

    monkeypatch.setattr(Passed, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        passed_by(made(file), keeper, guard=guard(), reset="domain")
    monkeypatch.setattr(Passed, "add", add)
    other = made(file)
    torch.manual_seed(99)  # what was drawn before does not matter
    resumed = passed_by(other, keeper, guard=guard(), reset="domain")
    assert without_seconds(resumed) == without_seconds(whole)
    for name, value in whole_method.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
def test_every_method_predicts_before_it_learns(file: Path) -> None:
    """Later batches have no effect on the predictions of earlier ones."""
    method, other = made(file), made(file)
    whole = passed_by(method)
    first = 3 * SIZE

    def read_others(batch: slice) -> Tensor:
        return read(batch) if batch.stop <= first else 255 - read(batch)

    changed = pass_stream(other, read_others, arrived(), batch_size=SIZE, seed=3)
    assert changed.confidence[:first] == whole.confidence[:first]
    assert changed.confidence[first:] != whole.confidence[first:]


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
def test_every_method_forgets_when_it_is_reset(file: Path) -> None:
    method = made(file)
    first = passed_by(method)
    before = method.recoveries
    method.reset()
    again = passed_by(method)
    assert again.confidence == first.confidence
    assert method.recoveries >= before


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
@pytest.mark.parametrize("size", [1, 5, COUNT])
def test_every_method_takes_batches_of_any_size(file: Path, size: int) -> None:
    passed = passed_by(made(file), batch_size=size)
    assert len(passed.predicted) == COUNT
    assert np.isfinite(passed.confidence).all()
    assert np.isfinite(passed.entropy).all()


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
def test_prediction_alone_teaches_nothing(file: Path) -> None:
    method = made(file)
    method.remember()
    before = method.state()
    shares = method.predict(X[:7])
    torch.testing.assert_close(shares.sum(1), torch.ones(7))
    for name, value in method.state()["module"].items():
        assert torch.equal(before["module"][name], value), name


def test_damaged_checkpoints_begin_anew(tmp_path: Path) -> None:
    expected = without_seconds(passed_by(made(METHODS[0])))
    keeper = Keeper(tmp_path / "stream.ckpt", "key", 100)
    whole = tmp_path / "whole.ckpt"
    Keeper(whole, "key", 1).save(made(METHODS[0]), None, Passed([1], [0.5], [], batches=1))
    for content in (*BYTES, whole.read_bytes(), whole.read_bytes()[:900]):
        keeper.file.write_bytes(content)
        assert without_seconds(passed_by(made(METHODS[0]), keeper)) == expected
        assert keeper.file.with_name("stream.ckpt.damaged").read_bytes() == content


def test_another_stream_s_checkpoint_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "stream.ckpt"
    Keeper(file, "other", 1).save(made(METHODS[0]), None, Passed([1], [0.5], [0.1], batches=1))
    batches = [slice(0, 1), slice(1, 2)]
    assert Keeper(file, "key", 1).load(made(METHODS[0]), None, batches) == Passed()
    assert Keeper(file, "other", 1).load(made(METHODS[0]), None, batches).predicted == [1]


NOT_SO: list[tuple[str, Any]] = [
    ("passed.predicted", "text"),
    ("passed.predicted", [7] * 12),  # a class that the model has not
    ("passed.predicted", [-1] * 12),
    ("passed.predicted", [0]),
    ("passed.entropy", None),
    ("passed.batches", 99),
    ("passed.batches", -1),
    ("passed.batches", 1),
    ("passed.resets", [{"sample": 6}]),
    ("passed.seconds", "long"),
    ("passed", [1]),
    ("guard.seen", [1, 2]),
    ("guard.by_class", {0: ([1], "many")}),
    ("guard.probation", None),
    ("guard", None),
    ("method.recoveries", "none"),
    ("method.optimizer.param_groups", []),
    ("method.optimizer.state.0.exp_avg", torch.zeros(99)),
    ("method.module", {}),
    ("method", 3),
]


def test_a_checkpoint_of_other_types_begins_anew(tmp_path: Path) -> None:
    def tent() -> Tent:
        return Tent(image_model(), optimizer=adam(0.1), prior=0.0)

    def guard() -> Guard:
        return Guard(image_model(), LIMITS)

    expected = without_seconds(passed_by(tent(), guard=guard()))
    keeper = Keeper(tmp_path / "stream.ckpt", "key", 2)
    passed_by(tent(), keeper, guard=guard())
    begun = torch.load(keeper.file, weights_only=True)
    for path, value in NOT_SO:
        content = deepcopy(begun)
        *above, last = path.split(".")
        node: Any = content
        for name in above:
            node = node[int(name) if name.isdigit() else name]
        node[last] = value
        torch.save(content, keeper.file)
        assert keeper.load(tent(), guard(), arrived().batches(SIZE)) == Passed(), path
    torch.save(begun, keeper.file)
    assert without_seconds(passed_by(tent(), keeper, guard=guard())) == expected


def test_predictions_that_are_not_finite_are_a_line() -> None:
    class Broken(Source):
        def predict(self, x: Tensor) -> Tensor:
            return super().predict(x) * torch.nan

    with pytest.raises(InputError, match=r"^after 0 samples the stream method's predictions"):
        passed_by(Broken(image_model()))
    with pytest.raises(InputError, match=r"^on the held-out source"):
        predict_batches(Broken(image_model()).predict, X, batch_size=SIZE, seed=1)
    guarded = passed_by(Broken(image_model()), guard=Guard(image_model(), LIMITS))
    assert np.isfinite(guarded.confidence).all()
    assert guarded.resets[0]["reason"] == "weights or predictions are no longer finite"


def test_it_forgets_where_a_domain_begins() -> None:
    method = Tent(image_model(), optimizer=adam(0.1), prior=0.0)
    passed = passed_by(method, reset="domain")
    assert passed.resets == [{"sample": 24, "reason": "another domain begins"}]
    alone = Tent(image_model(), optimizer=adam(0.1), prior=0.0)
    alone.remember()
    second = torch.cat([alone.predict_then_adapt(read(slice(i, i + 6))) for i in (24, 30, 36, 42)])
    assert passed.predicted[24:] == second.argmax(1).tolist()
    never = passed_by(Tent(image_model(), optimizer=adam(0.1), prior=0.0))
    assert never.resets == []
    assert never.confidence[:24] == passed.confidence[:24]
    assert never.confidence[24:] != passed.confidence[24:]


def test_accuracy_over_time_is_of_stretches_and_of_all() -> None:
    correct = {0: True, 1: True, 2: False, 4: False, 5: False}
    assert accuracy_over_time(correct, 6, points=3) == [
        {"samples": 2, "accuracy": 1.0, "cumulative": 1.0},
        {"samples": 4, "accuracy": 0.0, "cumulative": pytest.approx(2 / 3)},
        {"samples": 6, "accuracy": 0.0, "cumulative": pytest.approx(2 / 5)},
    ]
    assert accuracy_over_time({}, 6, points=1) == [
        {"samples": 6, "accuracy": None, "cumulative": None}
    ]
    assert [p["samples"] for p in accuracy_over_time(correct, 3, points=50)] == [1, 2, 3]


def test_what_is_predicted_at_the_end_is_in_batches_too() -> None:
    model = small_model()
    x = torch.randn(10, 6).double()
    labels = predict_batches(Source(model).predict, x, batch_size=4, seed=1)
    assert torch.equal(labels, model(x)[1].argmax(1))
