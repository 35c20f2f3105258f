"""What a person can mend, and what stops a run: one message each, no traceback."""

import errno
from pathlib import Path

INTERRUPTED = 130
PREEMPTED = 75
"""What a batch system may be told to start again: EX_TEMPFAIL of sysexits.h."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How a system says that there is no room: on the disk, in the quota, under the limit of a file."""


class InputError(ValueError):
    """Something given cannot be used; says what, what is possible and how to mend it."""


class MissingRoleError(InputError):
    """A method needs a role that the data does not have.

    Args:
        role: which.
        why: the data does not have it, and what to do.
    """

    def __init__(self, role: str, why: str) -> None:
        super().__init__(f"the method needs the role {role}, but {why}")
        self.role = role


class DivergedError(RuntimeError):
    """A loss or a weight is no longer finite."""


class PrunedError(RuntimeError):
    """A search has given up a run."""


class PreemptedError(BaseException):
    """A signal ended the command; no error of a job, so that a sweep ends with it."""


def exit_message(error: BaseException) -> tuple[str, int] | None:
    """What to say of an error and the exit code, for what a person can mend; none for the rest."""
    codes = {InputError: 2, DivergedError: 3, PrunedError: 4, PreemptedError: PREEMPTED}
    for kind, code in codes.items():
        if isinstance(error, kind):
            return str(error), code
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = error.filename or Path.cwd()
        return f"{where}: {error.strerror}: make room, and the same command continues", 2
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename2 or error.filename}: {error.strerror}", 2
    if isinstance(error, KeyboardInterrupt):
        return (
            "interrupted; the same command continues from the last checkpoint, if any",
            INTERRUPTED,
        )
    return None


def one_line(error: object, *, most: int | None = None) -> str:
    """What an error says, on one line of at most so many characters."""
    return " ".join(str(error).split())[:most]


def listed(names: object) -> str:
    """Names for a sentence: ``a, b, c``, or ``none``."""
    return ", ".join(str(name) for name in names) or "none"  # type: ignore[attr-defined]
