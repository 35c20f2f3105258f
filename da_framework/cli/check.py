"""``da check``: holds a method against what it must do."""

from typing import Any

from da_framework.cli.exit import exit_with
from da_framework.config.schema import to_plain
from da_framework.training.method_check import print_checks


def main(config: Any) -> None:
    """Prints a line for each check; ends with 1 if one fails."""
    if not print_checks(to_plain(config)):
        exit_with("a check fails", code=1)
