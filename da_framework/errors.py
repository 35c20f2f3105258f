"""What a person can mend, and what stops a run: one message each, no traceback."""


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


class PrunedError(RuntimeError):
    """A search has given up a run."""


def ending(error: BaseException) -> tuple[str, int] | None:
    """What to say of an error and the exit code, for what a person can mend; none for the rest."""
    if isinstance(error, InputError):
        return str(error), 2
    if isinstance(error, DivergedError):
        return str(error), 3
    if isinstance(error, PrunedError):
        return str(error), 4
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename2 or error.filename}: {error.strerror}", 2
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command continues from the last checkpoint, if any", 130
    return None


def listed(names: object) -> str:
    """Names for a sentence: ``a, b, c``, or ``none``."""
    return ", ".join(str(name) for name in names) or "none"  # type: ignore[attr-defined]
