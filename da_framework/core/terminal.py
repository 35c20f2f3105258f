"""What is printed and logged: names as they are, no secrets, and never the end of a command."""

import logging
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from da_framework.core.secrets import redact
from da_framework.core.text import encodable, printable, printable_lines, wrap_lines

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = re.compile(r"(\x1b\[(?:\d|[349]\d|[34]8;[25](?:;\d{1,3}){1,3}|;)*m)")
"""The escapes that change what a text looks like and not where it stands."""


NARROW = 80
"""Columns of a terminal below which lines are broken between words, not wherever it ends."""

ROOMY = 1000
"""Columns of a terminal that has room for any table."""


class CleanStream:
    """A stream to which no secret is written, nothing that moves the cursor, and what it can show.

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
            if len(parts) == 1 and (width := shutil.get_terminal_size().columns) < NARROW:
                text = wrap_lines(text, width)
        written: int = stream.write(encodable(text, getattr(stream, "encoding", None)))
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


class EncodableStream:
    """A stream to which nothing is written that its encoding does not have.

    Args:
        stream: that is written to.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Writes a text."""
        written: int = self.stream.write(encodable(text, getattr(self.stream, "encoding", None)))
        return written


def open_console(**keys: Any) -> "Console":
    """A console of ``rich`` that takes text for text: no markup, no emoji, no escapes, no secrets.

    Where it is narrow, lines are broken between words, and a table that does not fit has a line
    for each figure.

    Args:
        keys: of ``rich.console.Console``.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    class PlainConsole(Console):
        @property
        def file(self) -> Any:
            return EncodableStream(super().file)

        @file.setter
        def file(self, stream: Any) -> None:
            self._file = stream

        def render_str(self, text: str, **how: Any) -> Any:
            return super().render_str(
                encodable(redact(printable_lines(text)), self.encoding), **how
            )

        def print(self, *objects: Any, **how: Any) -> None:
            objects = tuple(map(self._encodable, objects))
            if self.width < NARROW:
                fits = (self._fitting(each, **how) for each in objects)
                objects = tuple(part for parts in fits for part in parts)
            super().print(*objects, **how)

        def _encodable(self, each: Any) -> Any:
            if not isinstance(each, Text) or each.plain.isascii():
                return each
            plain = encodable(each.plain, self.encoding)
            return each if plain == each.plain else Text(plain)

        def _fitting(self, each: Any, *, soft_wrap: bool | None = None, **how: Any) -> list[Any]:
            if soft_wrap and isinstance(each, str):
                return [wrap_lines(each, self.width)]
            roomy = self.options.update(max_width=ROOMY)
            if (
                not isinstance(each, Table)
                or self.measure(each, options=roomy).maximum <= self.width
            ):
                return [each]
            heads, *rows = zip(*([c.header, *c.cells] for c in each.columns), strict=True)
            lines = [str(each.title)] if each.title else []
            for name, *figures in rows:
                lines.append(str(name))
                lines += map(name_figure, map(str, heads[1:]), map(str, figures))
            return [wrap_lines("\n".join(lines), self.width)]

    return PlainConsole(**{"highlight": False, "markup": False, "emoji": False} | keys)


def name_figure(head: str, figure: str) -> str:
    """A figure with the head of its column before it, on a line below its row's name."""
    return f"  {figure}" if figure.startswith(f"{head} ") else f"  {head} {figure}"


def _clean_argument(value: Any) -> Any:
    return value if str(value).isprintable() else printable(value)
