"""What is printed and logged: names as they are, no secrets, and never the end of a command."""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from da_framework.core.secrets import redact
from da_framework.core.text import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = re.compile(r"(\x1b\[(?:\d|[349]\d|[34]8;[25](?:;\d{1,3}){1,3}|;)*m)")
"""The escapes that change what a text looks like and not where it stands."""


class CleanStream:
    """A stream to which no secret is written, and nothing that moves the cursor.

    On a terminal, colours are let through, and the bars of other libraries, whose texts begin with
    a carriage return. Consoles of ``rich`` write past it: ``open_console`` opens those.

    Args:
        stream: that is written to.
    """

    def __init__(self, stream: Any) -> None:
        self.rich_proxied_file = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)

    def write(self, text: str) -> int:
        """Writes a text."""
        stream = self.rich_proxied_file
        text = redact(text)
        if not stream.isatty():
            text = printable_lines(text)
        elif not (text.startswith("\r") or text.strip("\n") == "\x1b[A"):
            parts = COLOURS.split(text)
            text = "".join(part if n % 2 else printable_lines(part) for n, part in enumerate(parts))
        encoding = getattr(stream, "encoding", None) or "utf-8"
        written: int = stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return written

    def writelines(self, lines: Any) -> None:
        """Writes several texts."""
        for line in lines:
            self.write(line)


@contextmanager
def clean_output() -> Iterator[None]:
    """Lets nothing but clean text out of this process while it lasts: prints, logs, tracebacks."""
    factory = logging.getLogRecordFactory()
    streams = sys.stdout, sys.stderr
    logging.setLogRecordFactory(clean_record)
    sys.stdout, sys.stderr = (clean_stream(stream) for stream in streams)
    try:
        yield
    except Exception:
        # the interpreter is about to print it
        sys.excepthook = print_traceback
        raise
    finally:
        logging.setLogRecordFactory(factory)
        # what was put in their place meanwhile is not ours to take away
        if isinstance(sys.stdout, CleanStream) and isinstance(sys.stderr, CleanStream):
            sys.stdout, sys.stderr = streams


def clean_stream(stream: Any) -> Any:
    """A stream that is written to through a ``CleanStream``; none stays none."""
    return stream if stream is None or isinstance(stream, CleanStream) else CleanStream(stream)


def clean_record(*args: Any, **keys: Any) -> logging.LogRecord:
    """A log record whose text has no secrets, and whose arguments stay on their line."""
    record = logging.LogRecord(*args, **keys)
    if isinstance(record.args, tuple):
        record.args = tuple(map(_clean_argument, record.args))
    elif record.args:
        record.args = {name: _clean_argument(value) for name, value in record.args.items()}
    with suppress(TypeError, ValueError, KeyError):  # a mistake in the call, which logging says
        record.msg, record.args = redact(printable_lines(record.getMessage())), ()
    if record.exc_info and record.exc_info[0]:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return record


def print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Prints a traceback without the secrets in it."""
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(redact(printable_lines(text)))


def open_console(**keys: Any) -> "Console":
    """A console of ``rich`` that takes text for text: no markup, no emoji, no escapes, no secrets.

    Args:
        keys: of ``rich.console.Console``.
    """
    from rich.console import Console

    class PlainConsole(Console):
        def render_str(self, text: str, **how: Any) -> Any:
            return super().render_str(redact(printable_lines(text)), **how)

    return PlainConsole(**{"highlight": False, "markup": False, "emoji": False} | keys)


def _clean_argument(value: Any) -> Any:
    return value if str(value).isprintable() else printable(value)
