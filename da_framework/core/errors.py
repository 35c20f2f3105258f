"""What a person can mend, and what stops a run: one message each, no traceback."""

import errno
from collections.abc import Iterable

from da_framework.core.quoting import hydra_value
from da_framework.core.text import printable

INTERRUPTED = 130
"""After Ctrl-C, as every shell has it."""
PREEMPTED = 75
"""What a batch system may be told to start again: EX_TEMPFAIL of sysexits.h."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How a system says that there is no room: on the disk, in the quota, under the limit of a file."""

MOST_NAMES = 100
"""In a sentence."""
LONGEST_COMMAND = 2000
"""Characters of names that a command to type may have."""


CONTINUES = ": the same command continues from the last checkpoint, if any"


class InputError(ValueError):
    """Something given cannot be used; says what, what is possible and how to mend it.

    What names bring along, line ends too, is escaped: no name ends a line.

    Args:
        lines: of the message; mostly one.
    """

    def __init__(self, *lines: object) -> None:
        super().__init__(*map(printable, lines))

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class MissingRoleError(InputError):
    """A method needs a role that the data does not have.

    Args:
        role: which.
        why: the data does not have it, and what to do.
    """

    def __init__(self, role: str, why: str) -> None:
        super().__init__(f"the method needs the role {role}, but {why}")
        self.role = role


class UntypedError(InputError):
    """A file names what it may not name by itself; somebody who knows it may type it again.

    Args:
        reason: what is named, and where.
        names: to be typed.
    """

    def __init__(self, reason: str, names: Iterable[str]) -> None:
        self.names = tuple(names)
        typeable = all(name.isprintable() for name in self.names)
        if not typeable or sum(map(len, self.names)) > LONGEST_COMMAND:
            self.names = ()
        self.reason = f"{reason}: refused"
        if self.names:
            self.reason = f"{reason}; if you know what it is, type it again"
        super().__init__(": ".join([self.reason, *[trust_word(self.names)] * bool(self.names)]))


class DivergedError(RuntimeError):
    """A loss or a weight is no longer finite."""


class PrunedError(RuntimeError):
    """A search has given up a run."""


class CrashedError(RuntimeError):
    """A process that was started to do something has failed.

    Args:
        why: what it has said, or the signal that ended it.
        code: of the exit.
    """

    def __init__(self, why: str, code: int = 1) -> None:
        super().__init__(why)
        self.code = code


class PreemptedError(BaseException):
    """A signal ended the command; no error of a job, so that a sweep ends with it.

    Args:
        why: which signal, and what continues.
        code: of the exit.
    """

    def __init__(self, why: str, code: int = PREEMPTED) -> None:
        super().__init__(why)
        self.code = code


def preempted_by(signal: str, what: str) -> PreemptedError:
    """The error by which a signal ends a command.

    Args:
        signal: its name.
        what: it ended, and what continues.
    """
    if signal == "SIGINT":
        return PreemptedError(f"Ctrl-C{what}", INTERRUPTED)
    return PreemptedError(f"{signal}{what}")


def exit_message(error: BaseException) -> tuple[str, int] | None:
    """What to say of an error and the exit code, for what a person can mend; none for the rest."""
    if isinstance(error, PreemptedError | CrashedError):
        return str(error), error.code
    for kind, code in {InputError: 2, DivergedError: 3, PrunedError: 4}.items():
        if isinstance(error, kind):
            return str(error), code
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = printable(error.filename or "here")
        return f"{where}: {error.strerror}: make room, and the same command continues", 2
    if isinstance(error, OSError) and error.filename is not None:
        return f"{printable(error.filename2 or error.filename)}: {error.strerror}", 2
    if isinstance(error, KeyboardInterrupt):
        return exit_message(preempted_by("SIGINT", CONTINUES))
    return None


def trust_word(names: Iterable[str]) -> str:
    """The word of a command that allows files to name these."""
    return f"trust={hydra_value(names)}"


def one_line(error: object, *, most: int | None = None) -> str:
    """What an error says, on one line of at most so many characters."""
    return " ".join(str(error).split())[:most]


def listed(names: Iterable[object], *, most: int = MOST_NAMES) -> str:
    """Names for a sentence: ``a, b, c``, or ``none``; of very many the first."""
    shown = list(map(printable, names))
    more = [f"and {len(shown) - most} more"] if len(shown) > most else []
    return ", ".join([*shown[:most], *more]) or "none"
