"""Figures are drawn in a process of their own: whatever ends it costs a figure, and no run.

A library that draws may crash the process that it is in, or take more memory than there is. What is
drawn goes there as JSON and arrays, the answer comes back as a line: nothing is pickled.
"""

import atexit
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import Any, BinaryIO

import numpy as np

from da_framework.core.errors import InputError, one_line

log = logging.getLogger(__name__)

PATIENCE = 300.0
"""Seconds that one figure may take."""
LENGTH = 8
"""Bytes that say how long a message is."""

Draw = Callable[..., None]
"""Writes a figure: its first argument is the path; the others are JSON's types and arrays."""


def draw_apart(draw: Draw, path: Path, *arguments: Any, **keys: Any) -> None:
    """Draws a figure in the process that draws.

    Args:
        draw: a function of a module.
        path: of the figure.
        arguments, keys: further ones.

    Raises:
        InputError: why the figure was not drawn.
    """
    if reason := figure_process().draw(draw, path.absolute(), arguments, keys):
        raise InputError(f"{path.name} was not drawn: {reason}")


def draw_or_warn(draw: Draw, path: Path, *arguments: Any, **keys: Any) -> None:
    """Draws a figure in the process that draws, or says in a line why it was not drawn."""
    try:
        draw_apart(draw, path, *arguments, **keys)
    except InputError as error:
        log.warning("warning: %s", error)


@cache
def figure_process() -> "FigureProcess":
    """The one of this process: every figure of a sweep is drawn by it."""
    process = FigureProcess()
    atexit.register(process.close)
    return process


class FigureProcess:
    """A process that draws one figure after the other.

    It begins with the first figure. If one ends it, that one is not tried again, and the next
    begins another process.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def draw(
        self, draw: Draw, path: Path, arguments: tuple[Any, ...], keys: Mapping[str, Any]
    ) -> str:
        """Draws a figure, and waits for it; says why it was not drawn, and nothing if it was."""
        message = pack([draw.__module__, draw.__qualname__, str(path), arguments, dict(keys)])
        try:
            self.process = process = self.process or start_process()
        except OSError as error:  # no memory or no process is left
            return f"no process could be started to draw it ({one_line(error)})"
        assert process.stdin is not None
        assert process.stdout is not None
        late = Timer(PATIENCE, process.kill)
        late.start()
        try:
            process.stdin.write(len(message).to_bytes(LENGTH) + message)
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        except BaseException:  # a signal: the answer would be taken for that to the next figure
            process.kill()
            self.close()
            raise
        finally:
            in_time = late.is_alive()
            late.cancel()
        if answer:
            return str(json.loads(answer))
        code = self.close()
        return describe_end(code) if in_time else f"it took more than {PATIENCE:.0f} s"

    def close(self) -> int:
        """Ends the process, if there is one; returns its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        with process:  # closes its pipes, which ends it, and waits
            pass
        return process.returncode


def start_process() -> subprocess.Popen[bytes]:
    """Starts a process that draws; Ctrl-C in the terminal does not reach it."""
    # modules are found where this process finds them
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )


def describe_end(code: int) -> str:
    """What the exit code of the process that draws says."""
    if code >= 0:
        return f"the process that draws ended with exit code {code}"
    name = signal.Signals(-code).name
    memory = ", as the system does where there is no memory left" if name == "SIGKILL" else ""
    return f"the process that draws was ended by {name}{memory}"


def pack(tree: Any) -> bytes:
    """JSON's types, tuples and arrays, as bytes."""
    arrays: dict[str, Any] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                raise TypeError("arrays of Python's objects are not sent")
            arrays[name := str(len(arrays))] = value
            return {"array": name}
        if isinstance(value, Mapping):
            return {"mapping": [[plain(key), plain(each)] for key, each in value.items()]}
        if isinstance(value, tuple):
            return {"tuple": [plain(each) for each in value]}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value.item() if isinstance(value, np.generic) else value

    buffer = io.BytesIO()
    text = json.dumps(plain(tree)).encode()
    np.savez(buffer, tree=np.frombuffer(text, np.uint8), **arrays)
    return buffer.getvalue()


def unpack(content: bytes) -> Any:
    """What ``pack`` was given."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)

    def built(value: Any) -> Any:
        if isinstance(value, list):
            return [built(each) for each in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "array":
            return arrays[content]
        if kind == "tuple":
            return tuple(built(each) for each in content)
        return {built(key): built(each) for key, each in content}

    return built(json.loads(arrays["tree"].tobytes()))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Draws what is asked for until nothing more is; answers each with a line of JSON."""
    while head := requests.read(LENGTH):
        module, name, path, arguments, keys = unpack(requests.read(int.from_bytes(head)))
        reason = ""
        try:
            draw = getattr(import_module(module), name)
            draw(Path(path), *arguments, **keys)
        except InputError as error:
            reason = one_line(error)
        except Exception as error:
            reason = f"{type(error).__name__}: {one_line(error, most=300)}"
        answers.write(json.dumps(reason).encode() + b"\n")
        answers.flush()


def main() -> None:
    """Draws what comes by the standard input; answers by what was the standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # what a library prints is no answer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
