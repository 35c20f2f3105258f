"""Every command that the documents show is one that the program takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.main import COMMANDS, split_command

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs" / "pages").rglob("*.md")),
    *sorted((ROOT / "experiments").glob("*/README.md")),
]
BLOCK = re.compile(r"^```(?:bash|console|sh|text)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
REFUSED = ("+logger.wandb.api_key=...",)
"""Shown as what is refused."""


def shown_commands(document: Path) -> Iterator[list[str]]:
    """The words behind ``da`` of every command in a document's blocks."""
    for block in BLOCK.findall(document.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            # between other commands of a line, behind a variable or a prompt
            for part in re.split(r"&&|\|\||;", re.sub(r"\s#\s.*$", "", line)):
                begun = re.match(r"\s*(?:\$ )?(?:\w+=\S+ )*(?:srun )?(?:\.venv/bin/)?da (.*)", part)
                if begun:
                    yield shlex.split(begun[1], comments=True)


SHOWN = [
    pytest.param(words, id=f"{document.relative_to(ROOT)}: da {' '.join(words)}")
    for document in DOCUMENTS
    for words in shown_commands(document)
]


def first_value(word: str) -> str:
    """A word of a sweep as the first of its jobs has it."""
    key, equals, values = word.partition("=")
    depth = 0
    for place, letter in enumerate(values):
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and not depth:
            return f"{key}{equals}{values[:place]}"
    return word


def test_the_documents_show_commands() -> None:
    assert len(SHOWN) > 60  # a pattern that finds none would pass


@pytest.mark.slow
@pytest.mark.parametrize("words", SHOWN)
def test_every_shown_command_is_one(da: Any, words: list[str]) -> None:
    name, rest = split_command([word for word in words if word not in ("{", "}")])
    if name in ("--version", "--help"):
        return
    assert name in COMMANDS
    if {*rest} & {*REFUSED}:
        assert da(name, *rest).code == 2
    elif COMMANDS[name].hydra:
        job = [first_value(word) for word in rest if word not in ("-m", "--help")]
        asked = [] if any(word in ("--cfg", "-sc") for word in job) else ["--cfg", "job"]
        ended = da(*name.split(), *job, *asked)
        assert (ended.code, ended.err) == (0, "")
    else:
        known = da(name, "--help").out
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        assert [option for option in options if option not in known] == []
