"""Words for a command line that can be pasted: quoted for Hydra, then for the shell."""

import re
import shlex
from collections.abc import Iterable

PLAIN = re.compile(r"([A-Za-z_]|\.{0,2}/)[A-Za-z0-9_/.@+-]*")
"""Texts that Hydra reads as they stand."""
OTHERWISE_READ = re.compile(r"true|false|null|nan|\.?inf|infinity", re.IGNORECASE)
"""Among them, those that it takes for something else."""


def override(key: str, value: object) -> str:
    """``key=value`` to paste behind ``da train``: a text, a number, or a list of them."""
    return shlex.quote(f"{key}={hydra_value(value)}")


def hydra_value(value: object) -> str:
    """A value as Hydra's overrides spell it."""
    if isinstance(value, str):
        return hydra_text(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Iterable):
        return f"[{','.join(map(hydra_value, value))}]"
    return str(value)


def hydra_text(text: str) -> str:
    r"""A text that Hydra reads as just this; within quotes ``\`` and ``${`` have a meaning."""
    if PLAIN.fullmatch(text) and not OTHERWISE_READ.fullmatch(text):
        return text
    # backslashes count before a quote, and before what is referred to
    escaped = re.sub(r"(\\*)('|\$\{|$)", _escape, text)
    return f"'{escaped}'"


def _escape(match: re.Match[str]) -> str:
    backslashes, sign = match.groups()
    return backslashes * 2 + {"'": r"\'", "${": r"\${", "": ""}[sign]
