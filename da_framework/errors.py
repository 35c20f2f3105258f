"""What a person can mend, and what stops a run: one message each, no traceback."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How a system says that there is no room: on the disk, in the quota, under the limit of a file."""


class InputError(ValueError):
    """Something given cannot be used; says what, what is possible and how to mend it."""


class MissingRoleError(InputError):
    """A method needs a role that the data has not.

    Args:
        role: which.
        why: the data has it not, and what to do.
    """

    def __init__(self, role: str, why: str) -> None:
        super().__init__(f"the method needs the role {role}, but {why}")
        self.role = role


class DivergedError(RuntimeError):
    """A loss or a weight is no longer finite."""


class PreemptedError(BaseException):
    """A signal ended the command; no error of a job, so that a sweep ends with it."""


def listed(names: object) -> str:
    """Names for a sentence: ``a, b, c``, or ``none``."""
    return ", ".join(str(name) for name in names) or "none"  # type: ignore[attr-defined]
