"""``da COMMAND --help`` for what Hydra runs: examples, parts, and every key with what it means."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from da_framework.config.catalog import list_group, option_names
from da_framework.config.key_help import CommandHelp, Key, Keys, command_help
from da_framework.core.errors import InputError
from da_framework.core.terminal import NARROW
from da_framework.core.text import encodable

WIDTH = 100
"""Of what goes to a file or a pipe; a terminal has its own."""
COLUMN = 36
"""Where meanings begin, at most."""
NARROWEST = 24


def print_help(name: str, words: Sequence[str]) -> None:
    """Prints what a command does, its parts and its keys.

    Args:
        name: of the command.
        words: the other arguments; options of groups among them are heeded.

    Raises:
        InputError: a group does not have such an option.
    """
    chosen = {}
    for word in words:
        group, _, value = word.lstrip("+").partition("=")
        options = [part for part in value.strip("[]").split(",") if part]
        known = [] if "." in group else option_names(group)
        for option in options if known else ():
            refuse_unknown_option(group, option, known)
        if options and set(options) <= set(known):
            chosen[group] = options
    told = command_help(name.replace(" ", "_"), chosen)
    print("\n".join(render_help(name, told, output_width())))


def refuse_unknown_option(group: str, name: str, known: list[str]) -> None:
    """Refuses a name that a group does not have, as the command itself would.

    Raises:
        InputError: with the names that there are.
    """
    if name in known or name == "null" or not re.fullmatch(r"[\w./-]+", name):
        return  # what is no plain name is for Hydra to read
    from da_framework.cli.override_errors import unknown_option

    raise InputError(unknown_option(group, name, known))


def output_width() -> int:
    """How many characters a line of help has: as a terminal, or what ``COLUMNS`` asks for."""
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return max(NARROWEST, shutil.get_terminal_size().columns if told else WIDTH)


def render_help(name: str, told: CommandHelp, width: int) -> Iterator[str]:
    """The lines of a command's help.

    Args:
        name: of the command.
        told: what its config says of itself.
        width: of a line, in characters.
    """
    examples = [line.strip() for line in told.introduction if line.startswith(" ")]
    words = [line for line in told.introduction if not line.startswith(" ")]
    yield from textwrap.wrap(" ".join(words), width)
    yield ""
    for line in examples:
        yield from render_example(line, width)
    parts = {group: names for group, names in told.choices.items() if option_names(group)}
    if parts:
        yield from ["", *textwrap.wrap("Parts, part=name (da list PART, or da list NAME):", width)]
        for group, names in parts.items():
            value = ",".join(names) if len(names) == 1 else f"[{','.join(names)}]"
            options = Key("", listed_options(group))
            yield from render_key(f"{group}={value if names else 'null'}", options, width)
    for title, keys in sections(told.keys, parts):
        yield from ["", *textwrap.wrap(title, width)]
        yield from render_keys(keys, width)
    after = (
        f"Any key can be set: da {name} KEY=VALUE. --cfg job prints the whole config instead of "
        "running; --hydra-help has Hydra's own options."
    )
    yield from ["", *textwrap.wrap(after, width)]


def render_example(example: str, width: int) -> Iterator[str]:
    """An example with its comment beside it; on a narrow terminal below, where both do not fit.

    A command that is wider there goes on after a backslash, so that it can be typed as it stands.
    """
    if width >= NARROW or len(example) + 2 <= width:
        yield f"  {example}"
        return
    command, sharp, comment = example.partition(" # ")
    *lines, last = textwrap.wrap(
        *(command.rstrip(), width - 2),
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (f"{line} \\" for line in lines)
    yield last
    if sharp:
        indent = "      # "
        yield from textwrap.wrap(comment, width, initial_indent=indent, subsequent_indent=indent)


def listed_options(group: str) -> str:
    """The names that a group can be set to, as far as they fit."""
    names = option_names(group)
    return f"{len(names)} of them: da list {group}" if group == "experiments" else ", ".join(names)


def sections(keys: Keys, parts: dict[str, list[str]]) -> Iterator[tuple[str, Keys]]:
    """The keys of the command itself, then those of each part, with a title each."""
    found = dict.fromkeys(name.partition(".")[0] for name in keys if "." in name)
    groups = [*(group for group in parts if group in found), *(found.keys() - parts)]
    own = {name: key for name, key in keys.items() if "." not in name}
    if own:
        yield "Keys, key=value:", own
    for group in groups:
        below = {name: key for name, key in keys.items() if name.startswith(f"{group}.")}
        summaries = {name: summary for name, summary, _ in list_group(group)}
        chosen = [f"{group}={name}: {summaries.get(name, '')}" for name in parts.get(group, [])]
        yield " ".join(chosen) if len(chosen) == 1 else f"{group}:", below


def render_keys(keys: Keys, width: int) -> Iterator[str]:
    """Keys with defaults and meanings, a line or more each."""
    column = min(COLUMN, max(len(f"{name}={key.value}") for name, key in keys.items()) + 4)
    for name, key in keys.items():
        yield from render_key(f"{name}={key.value}", key, width, column)


def render_key(head: str, key: Key, width: int, column: int = COLUMN) -> Iterable[str]:
    """A key with its meaning beside it, or below where one of the two is long."""
    narrow = width < column + NARROWEST
    indent = " " * (6 if narrow else column)
    told = encodable(key.meaning, sys.stdout.encoding)
    meaning = textwrap.wrap(
        told, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    first = f"  {head}"
    if meaning and not narrow and len(first) + 2 <= column:
        return [first + meaning[0][len(first) :], *meaning[1:]]
    return [first, *meaning]
