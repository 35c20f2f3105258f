"""The standard streams: closed ones, and pipes whose reader has gone."""

import io
import os
import stat
import sys
from typing import Any

from da_framework.cli.exit import exit_with


def prepare_streams() -> None:
    """Makes all three standard streams writable to the end of the command.

    A closed one would lend its number to the next file that is opened, and what is printed would go
    there. A pipe whose reader has gone is no failure: what it would be told goes nowhere.

    Raises:
        SystemExit: nothing can be shown, since the standard output is closed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        exit_with("the standard output is closed: >/dev/null discards what is printed", code=2)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and is_pipe(stream):
            setattr(sys, name, patient(stream))


def is_pipe(stream: io.TextIOWrapper) -> bool:
    """Whether a stream has a reader that may go."""
    mode = os.fstat(stream.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def patient(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The same stream, which goes on into nothing when its reader has gone."""
    return io.TextIOWrapper(
        io.BufferedWriter(PatientPipe(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class PatientPipe(io.FileIO):
    """A pipe that becomes the null device when its reader has gone."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(data)
