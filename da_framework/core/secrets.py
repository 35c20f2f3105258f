"""Keys, tokens and passwords: which there are, what looks like one, and texts without them."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote

SECRET_VARIABLE = re.compile(
    r"(key|token|secret|pass|passwd|password|passphrase|pat|credentials?)$", re.I
)
"""Ends the names of environment variables whose values nobody else may know."""
SHORTEST = 8
"""Characters; what is shorter is no secret, and may stand in any text."""
HIDDEN = "***"
"""Stands where a secret was."""
TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"wandb_v\d+_\w{20,}|local-[0-9a-f]{40}"  # W&B; of 40 digits alone, see refuse_secrets
    r"|hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[a-z]_[A-Za-z0-9]{36,}|github_pat_\w{22,}"  # GitHub
    r")"
)
"""What no other text looks like: tokens that say of whom they are."""
ADDRESS_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/:@'\"]*):([^\s/'\"<>]*)@", re.I)
"""The user's name and password in an address."""
NETRC_PASSWORD = re.compile(r"(?<!\S)(?:password|passwd)\s+(\"(?:[^\"\\]|\\.)*\"|\S+)")
NETRC_FILES = (".netrc", "_netrc")


def known_secrets() -> Mapping[str, str]:
    """The secrets of this machine, and where each is from.

    Values of environment variables that are named like secrets, passwords of addresses in any
    variable, and the passwords of the netrc file; none that is short or an existing path.
    """
    return _collect_secrets(tuple(os.environ.items()), tuple(_netrc_files()))[0]


def redact(text: str) -> str:
    """A text with ``***`` for every secret in it, passwords of addresses included."""
    if "@" in text:
        text = ADDRESS_PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    text = TOKEN.sub(HIDDEN, text)
    known = _collect_secrets(tuple(os.environ.items()), tuple(_netrc_files()))[1]
    return known.sub(HIDDEN, text) if known else text


@lru_cache(maxsize=4)
def _collect_secrets(
    variables: tuple[tuple[str, str], ...], files: tuple[tuple[Path, int], ...]
) -> tuple[Mapping[str, str], re.Pattern[str] | None]:
    """The secrets, and a pattern of all their forms: made once, however much is printed.

    Args:
        variables: of the environment.
        files: netrc files, and when each was changed.
    """
    secrets = {}
    for name, value in variables:
        if SECRET_VARIABLE.search(name):
            secrets[value] = name
        for _, password in ADDRESS_PASSWORD.findall(value):
            secrets[unquote(password)] = secrets[password] = f"the password in {name}"
    for file, _ in files:
        secrets |= dict.fromkeys(_read_passwords(file), f"a password in {file.name}")
    secrets = {value: name for value, name in secrets.items() if _is_secret(value)}
    forms = {form for secret in secrets for form in _written_forms(secret)}
    longest_first = sorted(forms, key=len, reverse=True)
    return secrets, re.compile("|".join(map(re.escape, longest_first))) if forms else None


def _is_secret(value: str) -> bool:
    if len(value) < SHORTEST:
        return False
    try:
        return not Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return True


def _written_forms(secret: str) -> Iterator[str]:
    """A secret as it may stand in a text: as it is, in an address, in JSON, as Python shows it."""
    yield secret
    with suppress(UnicodeError):  # bytes that are not UTF-8
        yield quote(secret)
        yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    if "\n" in secret:  # a private key is printed by the line
        yield from (line for line in secret.splitlines() if len(line) >= 2 * SHORTEST)


def _netrc_files() -> Iterator[tuple[Path, int]]:
    """The netrc files that are there, and when each was changed."""
    files = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else []
    with suppress(RuntimeError):  # no home
        files += [Path.home() / name for name in NETRC_FILES]
    for file in files:
        with suppress(OSError):
            yield file, file.stat().st_mtime_ns


def _read_passwords(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError:
        return []
    passwords = NETRC_PASSWORD.findall(text)
    return [re.sub(r"\\(.)", r"\1", word.strip('"')) for word in passwords]
