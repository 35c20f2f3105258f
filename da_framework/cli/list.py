"""``da list``: names, what they are and where they come from."""

import re
import shutil
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import chain

from da_framework.cli.arguments import ArgumentParser
from da_framework.cli.plugin_commands import find_commands, render_commands
from da_framework.config.catalog import GROUPS, list_group, option_names, render_methods
from da_framework.core.errors import InputError
from da_framework.core.terminal import NARROW
from da_framework.core.text import wrap_line


def main(arguments: list[str]) -> None:
    """``da list [GROUP | NAME ...]``: what there is to choose from, or one of it with its keys."""
    parser = ArgumentParser(
        prog="da list",
        description=main.__doc__,
        epilog="examples: da list method; da list dann mmd; da list method setting=source-free",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="GROUP | NAME | setting=SETTING",
        help=f"groups: {', '.join(GROUPS)}; any name of one of them; a setting of methods",
    )
    parser.add_argument("--markdown", action="store_true", help="the methods with their papers")
    parsed = parser.parse_args(arguments)
    if parsed.markdown:
        print(render_methods())
        return
    settings = [word.partition("=")[2] for word in parsed.names if word.startswith("setting=")]
    names = [word for word in parsed.names if not word.startswith("setting=")]
    for setting in settings:
        print_setting(setting)
    for name in names or ([] if settings else GROUPS):
        if name == "method" and settings:
            continue
        if name in GROUPS:
            print_group(name)
        else:
            print_option(name)
    if not parsed.names:
        print_commands()


def print_commands() -> None:
    """Prints the commands that installed packages bring, if there are any."""
    from da_framework.cli.main import COMMANDS

    theirs, wrong = find_commands(COMMANDS)
    if theirs:
        print("\n".join(["commands of plugins", *render_commands(theirs)]), end="\n\n")
    for line in wrong:
        print(line, file=sys.stderr)


def print_group(group: str) -> None:
    """Prints the names of a group, a line each."""
    print_entries(group, list(list_group(group)))


def print_entries(title: str, entries: list[tuple[str, str, str]]) -> None:
    """Prints names with their summaries and origins below a title.

    A pipe gets a line for each; a terminal what fits, on a narrow one the name on a line of its
    own.
    """
    print(f"{title}=")
    column = max((len(name) for name, _, _ in entries), default=0) + 4
    screen = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for name, summary, origin in entries:
        line = f"  {name:<{column - 2}}{summary}  [{origin}]"
        if screen is None or len(line) <= screen:
            print(line)
        elif screen < NARROW:
            print(f"  {name}  [{origin}]")
            print("\n".join(wrap_line(f"      {summary}", screen, indent=6)))
        else:
            print("\n".join(wrap_line(line, screen, indent=column)))
    print()


def print_setting(setting: str) -> None:
    """Prints the methods of a setting.

    Raises:
        InputError: there is no such setting.
    """
    from da_framework.config.method_settings import SETTINGS, method_settings

    if setting not in SETTINGS:
        raise InputError(
            f"setting={setting}: the settings of methods are",
            *(f"  {name}: {what}" for name, what in SETTINGS.items()),
        )
    print(f"{setting}: {SETTINGS[setting]}")
    fitting = [entry for entry in list_group("method") if setting in method_settings(entry[0])]
    print_entries("method", fitting)


def print_option(name: str) -> None:
    """Prints what a name of any group is: its paper, settings, and keys with their meanings.

    Raises:
        InputError: no group has it.
    """
    groups = [group for group in GROUPS if name in option_names(group)]
    if not groups:
        from da_framework.config.method_settings import SETTINGS

        known = [*GROUPS, *chain.from_iterable(map(option_names, GROUPS))]
        if "=" in name:
            known = [f"setting={setting}" for setting in SETTINGS]
        near = get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ": da list has all of them"
        raise InputError(f"there is no {name!r} to choose{hint}")
    for group in groups:
        print("\n".join(describe_option(group, name)), end="\n\n")


def describe_option(group: str, name: str) -> Iterator[str]:
    """The lines that say what ``group=name`` is."""
    from da_framework.cli.help import output_width, render_keys
    from da_framework.config.catalog import source_docstring, summarize_config
    from da_framework.config.key_help import find_config, option_keys, own_target
    from da_framework.config.method_settings import method_settings

    file = find_config(f"{group}/{name}")
    assert file is not None, name
    width = output_width()
    yield f"{group}={name}"
    if summary := summarize_config(file):
        yield from wrap_line(f"  {summary}", width, indent=2)
    target = own_target(file)
    if target:
        try:
            links = re.findall(r"https?://\S+", source_docstring(target))
        except ImportError:
            links = []
        yield from (f"  {link.rstrip('.,)')}" for link in dict.fromkeys(links))
        if group == "method" and (settings := method_settings(name)):
            yield from wrap_line(f"  setting: {', '.join(settings)}", width)
    if keys := option_keys(group, name):
        yield ""
        yield from render_keys(keys, width)
