"""What a person can mend, and what stops a run: one message each, no traceback."""


class InputError(ValueError):
    """Something given cannot be used; says what, what is possible and how to mend it."""


class DivergedError(RuntimeError):
    """A loss or a weight is no longer finite."""


def listed(names: object) -> str:
    """Names for a sentence: ``a, b, c``, or ``none``."""
    return ", ".join(str(name) for name in names) or "none"  # type: ignore[attr-defined]
