"""Figures drawn in a process of its own: what is sent arrives, and what ends it costs a figure."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from da_framework.core.errors import InputError
from da_framework.results import figure_process
from da_framework.results.figure_process import FigureProcess, draw_or_warn, pack, unpack

# what the process is asked to do; it finds these by their name


def write(path: Path, *arguments: Any, **keys: Any) -> None:
    path.write_text(f"{arguments} {keys}")


def write_process(path: Path) -> None:
    print("what a library prints is no answer", flush=True)
    path.write_text(str(os.getpid()))


def fail(path: Path) -> None:
    raise ArithmeticError("a mistake\nof two lines")


def refuse(path: Path) -> None:
    raise InputError("all are alike")


def crash(path: Path, number: int) -> None:
    os.kill(os.getpid(), number)


def sleep(path: Path) -> None:
    path.touch()
    time.sleep(60)


@pytest.fixture
def process() -> Iterator[FigureProcess]:
    process = FigureProcess()
    yield process
    process.close()


def test_what_is_sent_arrives_as_it_was() -> None:
    sent = {
        ("dann", "a→b"): [1, 2.5, None, True, float("inf")],
        None: {0.5: ("x", np.float32(0.25)), "rows": []},
        "\udcff": {"array": "0", "tuple": "no mark of ours"},
    }
    assert unpack(pack(sent)) == sent
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "names": np.array(["é", "b"])}
    for name, array in unpack(pack(arrays)).items():
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, arrays[name])
    with pytest.raises(TypeError, match="objects are not sent"):
        pack([np.array([object()])])


def test_a_figure_that_fails_or_crashes_costs_itself_alone(
    process: FigureProcess, tmp_path: Path
) -> None:
    file = tmp_path / "a.png"
    assert process.draw(write, file, (1, "b"), {"key": [2]}) == ""
    assert file.read_text() == "(1, 'b') {'key': [2]}"
    assert process.draw(fail, file, (), {}) == "ArithmeticError: a mistake of two lines"
    assert process.draw(refuse, file, (), {}) == "all are alike"
    assert process.draw(write_process, file, (), {}) == ""
    first = file.read_text()
    assert process.process is not None
    assert int(first) == process.process.pid != os.getpid()  # one for all of them
    for number in (signal.SIGSEGV, signal.SIGKILL):
        reason = process.draw(crash, file, (int(number),), {})
        assert reason.startswith(f"the process that draws was ended by {number.name}")
        assert ("no memory left" in reason) == (number == signal.SIGKILL)
    assert process.draw(write_process, file, (), {}) == ""
    assert file.read_text() != first


def test_a_figure_that_takes_for_ever_is_given_up(
    process: FigureProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure_process, "PATIENCE", 0.01)
    assert process.draw(sleep, tmp_path / "a.png", (), {}) == "it took more than 0 s"


def test_a_signal_while_a_figure_is_drawn_leaves_no_answer_for_the_next(
    process: FigureProcess, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    def interrupt() -> None:
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        process.draw(sleep, begun, (), {})
    assert process.draw(write, tmp_path / "b.png", (), {}) == ""


def test_what_was_not_drawn_is_said_in_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        draw_or_warn(refuse, tmp_path / "tsne.png")
    assert caplog.messages == ["warning: tsne.png was not drawn: all are alike"]
    with pytest.raises(InputError, match=r"^tsne.png was not drawn: all are alike$"):
        figure_process.draw_apart(refuse, tmp_path / "tsne.png")
