"""Keys, tokens and passwords stay out of what is written: a command that has one is refused.

This is before Hydra makes a folder, for what a person types, for the files that a command names,
and for what a config draws in from the environment.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from da_framework.config.plugins import conf_dir, plugin_folders
from da_framework.core.errors import InputError
from da_framework.core.secrets import ADDRESS_PASSWORD, HIDDEN, TOKEN, known_secrets

SECRET_KEY = re.compile(
    r"(?:^|[^a-z])(?:(?:api|access|secret|private|auth)_?key|credentials?|password|passwd|secret"
    r"|token)$",
    re.I,
)
"""Ends the keys of what nobody else may know."""
HASHED = re.compile(
    r"(?:^|[._])(?:revision|commit|sha\d*|hash|digest|version|ref|name|dir|folder|out|group|tags?"
    r"|notes?)$",
    re.I,
)
"""Ends the keys whose values may be a commit's hash, which looks like an old key of W&B."""
FORTY_DIGITS = re.compile(r"(?<![\w/.\\-])[0-9a-f]{40}(?![\w/.\\-])")
"""A key of W&B as it was until 2025, or the hash of a commit."""
FORTY_SIGNS = re.compile(r"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
"""A secret key of AWS, or a path."""
MIXED = 16
"""How often a secret key of AWS changes between capitals, small letters, digits and signs at least;
the mean is 25, and words and paths do so seldom."""
KEY = r"([\w.\-/@]+)['\"]?[ \t]*[=:]+[ \t]*"
"""A key before its value, in a word or in YAML."""
NOTHING = ("", "null", "???", "~")
"""Values of keys that are not given."""
FOLDERS = ("--config-dir", "-cd", "--config-path", "-cp", "hydra.searchpath")
"""Options whose values are folders of configs."""
INSTEAD = (
    "it would be written into the run's records: leave it to the environment, or to wandb login"
)


def refuse_secrets(arguments: Sequence[str], *, composes: bool) -> None:
    """Refuses a command that has a secret in its words, or in a file that it names.

    Args:
        arguments: of the command.
        composes: whether it makes a config of them, in which the files of configs take part.

    Raises:
        InputError: with the name of the key, the variable or the file, never with the secret.
    """
    for word in arguments:
        refuse_secret_text(word, word.partition("=")[0].lstrip("+~") if "=" in word else "")
    for file in named_configs(arguments) if composes else ():
        with suppress(OSError):
            text = re.sub(r"(?m)(?:^|\s)#.*$", "", file.read_text("utf-8", errors="replace"))
            for line in text.splitlines():
                refuse_secret_text(line, f"{file}: {line.partition(':')[0].strip(' -')}")
            refuse_secret_text(text, str(file))


def refuse_secret_text(text: str, place: str) -> None:
    """Refuses a text of keys and values that names a secret, or holds one.

    A word of 40 digits and letters up to f is taken for a key of W&B, but where it stands within a
    longer name, is an existing path, or is the value of a key such as ``revision`` or ``name``.

    Args:
        text: a word of a command, or a file in YAML, or a line of one.
        place: where it stands, for the message.

    Raises:
        InputError: without the secret.
    """
    secrets = known_secrets()
    forms = written_forms(text)
    if not place or is_secret(place, secrets):
        place = "the command"
    for variable in re.findall(r"oc\.env:\s*(\w+)", text):
        # a sweep puts in the place of ${oc.env:NAME} what it stands for
        if SECRET_KEY.search(variable) or variable in secrets.values():
            raise InputError(f"{variable} is a secret: {INSTEAD}")
    for form in forms:
        for secret, name in secrets.items():
            if secret in form:
                raise InputError(f"{place} holds the value of {name}: {INSTEAD}")
    for form in forms:
        for kind in find_tokens(form):
            raise InputError(f"{place} holds what looks like {kind}: {INSTEAD}")
    for key, value in re.findall(rf"{KEY}(?=(\S*))", text):
        if SECRET_KEY.search(key) and value.strip("'\",}]") not in NOTHING:
            # the key of a word may hold further ones
            raise InputError(f"{place if place.endswith(key) else key} is a secret: {INSTEAD}")


def is_secret(text: str, secrets: Iterable[str]) -> bool:
    """Whether one of some secrets, or a token of any kind, stands in a text."""
    return any(secret in text for secret in secrets) or any(find_tokens(text))


def written_forms(text: str) -> set[str]:
    """A text, and what it says without Hydra's and YAML's escapes and those of addresses."""
    forms = {text, re.sub(r"\\(.)", r"\1", text)}
    for _ in range(2):
        forms |= {unquote(form) for form in forms}
    return forms


def find_tokens(text: str) -> Iterator[str]:
    """What a text has that looks like a secret: in words, of what."""
    if TOKEN.search(text):
        yield "a token"
    for _, password in ADDRESS_PASSWORD.findall(text):
        if password and not password.startswith(("${", HIDDEN)):
            yield "a password in an address"
    for match in FORTY_DIGITS.finditer(text):
        keys = re.findall(KEY, text[: match.start()])
        if not (keys and HASHED.search(keys[-1])) and not Path(match[0]).exists():
            yield "a key of W&B"
    for match in FORTY_SIGNS.finditer(text):
        if count_changes(match[0]) >= MIXED and not Path(match[0]).exists():
            yield "a secret key of AWS"


def count_changes(text: str) -> int:
    """How often a text changes between capitals, small letters, digits and other signs.

    0 for what does not have the first three of them.
    """
    kinds = [(c.isupper(), c.islower(), c.isdigit()) for c in text]
    if not all(map(any, zip(*kinds, strict=True))):
        return 0
    return sum(before != after for before, after in pairwise(kinds))


def named_configs(arguments: Sequence[str]) -> Iterator[Path]:
    """The files of configs that a command may draw in, but for those that we bring."""
    for folder in (*plugin_folders(), *named_folders(arguments)):
        yield from sorted(folder.rglob("*.yaml"))
    for word in arguments:
        for name in word.rpartition("=")[2].split(","):
            file = conf_dir() / "experiments" / f"{name}.yaml"
            with suppress(OSError, ValueError):  # no path
                if name and file.is_file():
                    yield file


def named_folders(arguments: Sequence[str]) -> Iterator[Path]:
    """The folders in which Hydra is told to look for configs."""
    words = [*arguments, ""]
    for word, after in pairwise(words):
        option, _, value = word.lstrip("+").partition("=")
        if option in FOLDERS:
            for place in re.split(r"[\s,\[\]'\"]+", value or after):
                if place and not place.startswith("pkg://"):
                    yield Path(place.removeprefix("file://"))


def refuse_drawn_secrets(config: Any) -> None:
    """Refuses a composed config into which a secret of the environment was put by reference.

    Raises:
        InputError: without the secret.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    def resolve(node: Any, key: Any) -> Any:
        try:
            return node[key]
        except OmegaConfBaseException:
            return None  # what it stands for is known to a job alone, or said when it is used

    def walk(node: Any, path: str) -> Iterator[tuple[str, str]]:
        for key in node.keys() if OmegaConf.is_dict(node) else range(len(node)):
            place = f"{path}.{key}" if path else str(key)
            if OmegaConf.is_missing(node, key):
                continue
            value = resolve(node, key)
            if OmegaConf.is_config(value):
                yield from walk(value, place)
            elif isinstance(value, str) and OmegaConf.is_interpolation(node, key):
                yield place, value

    secrets = known_secrets()
    for place, value in walk(config, ""):
        for secret, name in secrets.items():
            if secret in value:
                raise InputError(f"{place} holds the value of {name}: {INSTEAD}")
        for kind in find_tokens(f"{place}={value}"):
            raise InputError(f"{place} holds what looks like {kind}: {INSTEAD}")
