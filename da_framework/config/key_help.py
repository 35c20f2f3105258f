"""What the keys of a config mean: their comments in ``conf/``, or what the code says of them."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from da_framework.config.definitions import argument_meanings
from da_framework.config.plugins import config_roots

Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NO_KEYS = ("hydra", "defaults", "paper")
"""What a config says to Hydra or of a table."""


class Key(NamedTuple):
    """A key of a config.

    Attributes:
        value: its default, as the file has it.
        meaning: what it is, in words.
    """

    value: str
    meaning: str


Keys = dict[str, Key]
"""Keys by their whole names, in the order of their files."""


class ConfigFile(NamedTuple):
    """A file of ``conf/``.

    Attributes:
        text: of it.
        root: what it holds.
        package: where its keys are in the whole config, if it says so itself.
    """

    text: str
    root: yaml.MappingNode | None
    package: str | None


def find_config(name: str) -> Path | None:
    """The file of a config: ``train``, ``method/dann``; of ours, else of an installed package."""
    files = (root / f"{name}.yaml" for _, root in config_roots())
    return next((file for file in files if file.is_file()), None)


@cache
def parse_config(file: Path) -> ConfigFile:
    """Reads a file of ``conf/``."""
    text = file.read_text("utf-8")
    root = yaml.compose(text, Loader=Loader)
    package = re.search(r"^# @package (\S+)", text, flags=re.MULTILINE)
    known = root if isinstance(root, yaml.MappingNode) else None
    return ConfigFile(text, known, package[1] if package else None)


def introduction(file: Path) -> list[str]:
    """The comment that a file begins with, line by line."""
    lines = []
    for line in parse_config(file).text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            lines.append(line[1:].removeprefix(" ").rstrip())
    return lines


def included(file: Path) -> list[str | dict[str, str | list[str] | None]]:
    """The ``defaults`` of a file: names of other files, and choices by group."""
    root = parse_config(file).root
    for key, value in root.value if root else []:
        if key.value == "defaults":
            return list(yaml.load(yaml.serialize(value), Loader=Loader))
    return []


def own_keys(file: Path, prefix: str = "", target: str | None = None) -> Keys:
    """The keys that a file itself sets, below a prefix.

    Args:
        file: of ``conf/``.
        prefix: of their names: ``method.``
        target: what they are given to, where the file does not say so.
    """
    parsed = parse_config(file)
    if parsed.root is None:
        return {}
    return dict(_read_mapping(parsed.root, parsed.text.splitlines(), prefix, target, top=True))


def own_target(file: Path) -> str | None:
    """What a file builds."""
    root = parse_config(file).root
    return _target(root) if root else None


def _target(node: yaml.MappingNode) -> str | None:
    return next((str(value.value) for key, value in node.value if key.value == "_target_"), None)


def _read_mapping(
    node: yaml.MappingNode, lines: list[str], prefix: str, target: str | None, *, top: bool = False
) -> Iterator[tuple[str, Key]]:
    target = _target(node) or target
    known = argument_meanings(target) if target else {}
    for key, value in node.value:
        name = str(key.value)
        if (top and name in NO_KEYS) or name.startswith("_"):
            continue
        whole = f"{prefix}{name}"
        comment = comment_beside(lines, key, value)
        meaning = comment or plain_words(known.get(name, ""))
        if not isinstance(value, yaml.MappingNode):
            yield whole, Key(source_text(lines, value), meaning)
        elif built := _target(value):
            yield whole, Key(built.rpartition(".")[2], meaning)
            yield from _read_mapping(value, lines, f"{whole}.", None)
        elif value.flow_style and meaning:
            yield whole, Key(source_text(lines, value), meaning)
        elif meaning and not comment:  # a table of its own, which the code explains as a whole
            yield whole, Key(f"{{{', '.join(below.value for below, _ in value.value)}}}", meaning)
        else:  # of a part, whose name says what it is
            yield from _read_mapping(value, lines, f"{whole}.", None)


def plain_words(text: str) -> str:
    """A docstring's words as a comment of ``conf/`` would have them."""
    for python, typed in {"None": "null", "True": "true", "False": "false"}.items():
        text = text.replace(f"``{python}``", typed)
    text = re.sub(r":math:`([^`]*)`", r"\1", text).replace("``", "")
    return text.removesuffix(".") if ". " not in text else text


def comment_beside(lines: list[str], key: yaml.Node, value: yaml.Node) -> str:
    """The comment at the end of a key's line."""
    block = isinstance(value, yaml.CollectionNode) and not value.flow_style
    mark = key.end_mark if block else value.end_mark
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    begun = re.search(r"(?:^|\s)#\s*(.*)$", rest)
    return begun[1].strip() if begun else ""


def source_text(lines: list[str], node: yaml.Node) -> str:
    """A value as it is written, on one line."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return f"[{', '.join(source_text(lines, one) for one in node.value)}]"
    begin, end = node.start_mark, node.end_mark
    if begin.line == end.line:
        return str(lines[begin.line][begin.column : end.column])
    whole = [lines[begin.line][begin.column :], *lines[begin.line + 1 : end.line]]
    whole.append(lines[end.line][: end.column])
    return " ".join(re.sub(r"\s#\s.*$", "", part).strip() for part in whole).strip()


def merge(before: Keys, after: Mapping[str, Key]) -> Keys:
    """Keys of two files: the later values, and the first meaning where the later has none."""
    merged = dict(before)
    for name, key in after.items():
        known = before.get(name) or before.get(name.rpartition(".")[0]) or Key("", "")
        merged[name] = Key(key.value, key.meaning or known.meaning)
    return merged


def option_keys(group: str, name: str, prefix: str | None = None) -> Keys:
    """The keys that ``group=name`` sets, those of the files that it includes among them."""
    file = find_config(f"{group}/{name}")
    if file is None:
        return {}
    package = parse_config(file).package
    if prefix is None:
        prefix = "" if package == "_global_" else f"{package or group.replace('/', '.')}."
    keys: Keys = {}
    target = None
    for include in included(file):
        if isinstance(include, str) and include != "_self_":
            keys |= option_keys(group, include, prefix)
            below = find_config(f"{group}/{include}")
            target = (own_target(below) if below else None) or target
    return merge(keys, own_keys(file, prefix, target))


class CommandHelp(NamedTuple):
    """What a command's config says of itself.

    Attributes:
        introduction: the comment that its file begins with, line by line.
        choices: what each group is set to, in the order of the file.
        keys: all of them.
    """

    introduction: list[str]
    choices: dict[str, list[str]]
    keys: Keys


def command_help(name: str, chosen: Mapping[str, list[str]]) -> CommandHelp:
    """What a command's config says of itself.

    Args:
        name: of the config: ``train``.
        chosen: options by group, in the place of the config's own.
    """
    file = find_config(name)
    assert file is not None, name
    choices: dict[str, list[str]] = {}
    keys = _command_keys(file, choices)
    for group, names in chosen.items():
        if group in choices or find_config(f"{group}/{names[0]}"):
            choices[group] = names
    for group, names in [*choices.items()]:  # an option may choose one of another group
        for below in filter(None, (find_config(f"{group}/{one}") for one in names)):
            choices |= {g: n for g, n in chosen_in(below).items() if g not in chosen}
    for group, names in choices.items():
        for one in names:
            keys = merge(keys, option_keys(group, one))
    return CommandHelp(introduction(file), choices, merge(keys, own_keys(file)))


def _command_keys(file: Path, choices: dict[str, list[str]]) -> Keys:
    keys: Keys = {}
    for include in included(file):
        if isinstance(include, str) and include != "_self_" and (below := find_config(include)):
            keys = merge(keys, _command_keys(below, choices))
    choices |= chosen_in(file)
    return merge(keys, own_keys(file))


def chosen_in(file: Path) -> dict[str, list[str]]:
    """What the ``defaults`` of a file set groups to."""
    choices = {}
    for include in included(file):
        if isinstance(include, dict):
            ((key, names),) = include.items()
            group = key.removeprefix("override ").lstrip("/").partition("@")[0]
            choices[group] = names if isinstance(names, list) else [names] if names else []
    return choices
