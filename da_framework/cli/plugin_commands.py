"""Commands that installed packages bring, found without importing any of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import NamedTuple

from da_framework.config import plugins
from da_framework.core.errors import InputError, one_line

GROUP = "da_framework.commands"
NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""What a command of a package may be called."""


class PluginCommand(NamedTuple):
    """A command of a package.

    Attributes:
        name: as it is typed.
        plugin: the package, as it is installed.
        module: whose function is given the arguments.
        function: of the module.
    """

    name: str
    plugin: str
    module: str
    function: str

    @property
    def help(self) -> str:
        """What it does, by the first line that its function says of itself."""
        from da_framework.config.catalog import first_docstring_line

        return first_docstring_line(f"{self.module}.{self.function}").replace("`", "")

    def run(self, arguments: list[str]) -> None:
        """Runs it.

        Raises:
            InputError: its package cannot be imported, or has no such function.
        """
        try:
            main = getattr(import_module(self.module), self.function)
        except Exception as error:  # whatever a package does when it is imported
            why = f"{type(error).__name__}: {one_line(error, most=300)}"
            raise InputError(
                f"plugin {self.plugin}: da {self.name} cannot be run: {why}"
            ) from error
        main(arguments)


def find_commands(ours: Iterable[str]) -> tuple[dict[str, PluginCommand], list[str]]:
    """The commands of packages by name, and what is wrong with those that are left out.

    Args:
        ours: the names that are taken.
    """
    commands: dict[str, PluginCommand] = {}
    wrong = []
    taken = {name.split()[0]: "da_framework" for name in ours}
    for command in read_commands():
        if command.name in taken:
            owner = taken[command.name]
            wrong.append(
                f"plugin {command.plugin}: its command {command.name!r} has the name of one of "
                f"{owner}: it is left out"
            )
        elif not NAME.fullmatch(command.name):
            wrong.append(
                f"plugin {command.plugin}: {command.name!r} cannot be the name of a command: it "
                "is left out"
            )
        else:
            commands[command.name] = command
            taken[command.name] = command.plugin
    return commands, wrong


def read_commands() -> Iterator[PluginCommand]:
    """What the entry points say, in an order that does not depend on how packages were found."""
    for point in sorted(plugins.read_points(GROUP), key=lambda point: (point.name, point.value)):
        plugin = point.dist.name if point.dist else point.value.partition(".")[0]
        yield PluginCommand(point.name, plugin, point.module, point.attr or "main")


def render_commands(commands: Mapping[str, PluginCommand]) -> list[str]:
    """A line for each of some commands."""
    return [f"  {name:<12}{command.help}  [{command.plugin}]" for name, command in commands.items()]
