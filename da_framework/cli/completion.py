"""What the shell offers behind a command where Hydra has nothing to offer: paths and options."""

import contextlib
import io
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

PATH_KEYS = frozenset({"dataset.root", "data_dir", "init_from", "labels", "out", "run"})
"""Keys whose values are files or folders."""


def complete_paths(word: str) -> Iterator[str]:
    """Files and folders that a word of the form ``key=begun`` may become.

    Args:
        word: as typed so far; of another key, nothing is offered.
    """
    key, equals, begun = word.partition("=")
    if not equals or key not in PATH_KEYS:
        return
    folder, slash, name = begun.rpartition("/")
    with contextlib.suppress(OSError):
        for path in sorted(Path(f"{folder}{slash}" or ".").expanduser().iterdir()):
            if path.name.startswith(name) and not path.name.startswith("."):
                yield f"{key}={folder}{slash}{path.name}{'/' if path.is_dir() else ''}"


def complete_options(module: str, word: str) -> Iterator[str]:
    """Options of a command that reads its arguments itself, by its help.

    Args:
        module: of the command, in this package.
        word: as typed so far; where it begins no option, the shell offers files.
    """
    if not word.startswith("-"):
        return
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        import_module(f"da_framework.cli.{module}").main(["--help"])
    options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown.getvalue())
    yield from sorted({option for option in options if option.startswith(word)})
