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
BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
"""Every block, or the end of one in another language would be taken for a beginning."""
TYPED = ("", "bash", "console", "sh", "text")
"""Languages of blocks that show what is typed."""
OTHER = re.compile(
    r"#|python3 -m venv |source |(\.venv/bin/)?pip install |wandb login$"  # of a new environment
    r"|\.venv/bin/(python -m pytest|ruff|mypy)"  # the checks, which CI runs
    r"|scontrol requeue|[{}]"  # of Slurm
    r"|python scripts/(?P<script>\w+\.py)"
)
"""What is typed besides commands of ours, and not run here."""
SHOWN_OUTPUT = {
    "guides/own-data.md": "photos/",
    "guides/records.md": "the record of runs/a names|if you know$|what it is, type it again",
    "guides/secrets.md": r"logger\.wandb\.api_key is a secret",
}
"""Lines of these pages that are no command."""
REFUSED = ("+logger.wandb.api_key=...",)
"""Shown as what is refused."""
MADE = {"method=mean_distance": "method=mmd"}
"""What a page has made by the command above, and what stands for it here."""


def typed_parts(document: Path) -> Iterator[str]:
    """What a document's blocks show to be typed, each of several commands of a line apart."""
    for language, block in BLOCK.findall(document.read_text("utf-8")):
        if language in TYPED:
            for line in block.replace("\\\n", " ").splitlines():
                yield from re.split(r"&&|\|\||;", re.sub(r"\s#\s.*$", "", line))


def read_command(part: str) -> list[str] | None:
    """The words behind ``da``, which may stand behind a variable or a prompt."""
    begun = re.match(r"\s*(?:\$ )?(?:\w+=\S+ )*(?:srun )?(?:\.venv/bin/)?da (.*)", part)
    return shlex.split(begun[1], comments=True) if begun else None


def shown_commands(document: Path) -> Iterator[list[str]]:
    """The words behind ``da`` of every command in a document's blocks."""
    yield from filter(None, map(read_command, typed_parts(document)))


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
    pages = {document.name for document in DOCUMENTS if [*shown_commands(document)]}
    assert {"own-data.md", "CONTRIBUTING.md", "streams.md"} <= pages  # behind blocks of Python


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_else_is_shown_installs_or_needs_a_cluster_or_is_a_script(document: Path) -> None:
    page = document.relative_to(document.parents[1]).as_posix()
    for part in filter(None, map(str.strip, typed_parts(document))):
        if read_command(part) is None and not re.match(SHOWN_OUTPUT.get(page, r"(?!)"), part):
            other = OTHER.match(part)
            assert other, part
            assert not other["script"] or (ROOT / "scripts" / other["script"]).is_file(), part


@pytest.mark.slow
@pytest.mark.parametrize("words", SHOWN)
def test_every_shown_command_is_one(da: Any, words: list[str]) -> None:
    name, rest = split_command([word for word in words if word not in ("{", "}")])
    if name in ("--version", "--help"):
        return
    assert name in COMMANDS
    if {*rest} & {*REFUSED}:
        ended = da(name, *rest)
        assert ended.code == 2
        shown = (ROOT / "docs/pages/guides/secrets.md").read_text()
        assert ended.err.strip() in shown
    elif COMMANDS[name].hydra:
        job = [first_value(word) for word in rest if word not in ("-m", "--help")]
        job = [MADE.get(word, word) for word in job]
        asked = [] if any(word in ("--cfg", "-sc") for word in job) else ["--cfg", "job"]
        ended = da(*name.split(), *job, *asked)
        assert (ended.code, ended.err) == (0, "")
    else:
        known = da(name, "--help").out
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        assert [option for option in options if option not in known] == []
