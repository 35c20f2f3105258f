"""A callback that fails costs what it does, and not the run."""

import logging
from typing import Any

import pytest

from da_framework.callbacks.base import Callback
from da_framework.callbacks.guard import guard_callback
from da_framework.core.errors import DivergedError, InputError, PreemptedError, PrunedError


class Alone:
    """What a hook is told of the trainer."""

    world_size = 1


class Together(Alone):
    world_size = 2


class Failing(Callback):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_evaluation(self, *arguments: Any) -> None:
        raise self.error

    on_train_batch_end = on_evaluation  # type: ignore[assignment]
    on_exception = on_evaluation  # type: ignore[assignment]


def evaluate(callback: Any, trainer: Any = Alone) -> None:
    callback.on_evaluation(trainer, None, None)


def test_the_first_error_is_said_in_a_line_and_none_ends_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    callback: Any = guard_callback(Failing(ValueError("a mistake\nof two lines")))
    with caplog.at_level(logging.WARNING):
        evaluate(callback)
        evaluate(callback)
        callback.on_train_batch_end(Alone, None, None, None, 0)
        callback.on_exception(Alone, None, KeyboardInterrupt())
        callback.on_train_end(Alone, None)  # not replaced: it does nothing
    (line,) = caplog.messages
    assert line.startswith(
        "warning: the callback Failing failed in on_evaluation: ValueError: a mistake of two lines "
        "(test_guard.py, line "
    )
    assert line.endswith("); training goes on")
    assert "on_train_end" not in vars(callback)


@pytest.mark.parametrize(
    "error",
    [
        InputError("no room"),
        DivergedError("nan"),
        PrunedError("hopeless"),
        PreemptedError("SIGTERM"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_to_end_the_run_does(error: BaseException) -> None:
    with pytest.raises(type(error)):
        evaluate(guard_callback(Failing(error)))


def test_no_process_goes_on_without_the_others() -> None:
    with pytest.raises(ValueError, match="a mistake"):
        evaluate(guard_callback(Failing(ValueError("a mistake"))), Together)


def test_a_run_whose_callbacks_fail_is_the_run_without_them(
    da: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from da_framework.callbacks import diagnostics

    keys = ("network.backbone.batch_norm=true", "evaluate_every=10")
    assert da.train(*keys, run="whole").code == 0

    def fail(*arguments: Any) -> None:
        raise ArithmeticError("a mistake")

    # amid what it measures, when running statistics have changed
    monkeypatch.setattr(diagnostics, "gradient_norm", fail)
    ended = da.train(*keys, "callback=[diagnostics]")
    assert ended.code == 0
    assert ended.out.count("the callback Diagnostics failed in on_evaluation: Arith") == 1
    actual, expected = da.weights(), da.weights("whole")
    assert all((actual[name] == expected[name]).all() for name in expected)
    assert da.record()["target"] == da.record("whole")["target"]
