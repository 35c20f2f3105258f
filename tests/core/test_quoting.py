"""What errors advise can be pasted: Hydra reads of it what was meant."""

import shlex
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from da_framework.core.quoting import override

ODD = [
    "",
    "a b",
    "it's",
    "x\\",
    "x\\'y",
    "${a}",
    "\\${a}",
    "$HOME",
    "1",
    "1e3",
    ".5",
    "true",
    "NaN",
]
ODD += ["a,b", "[x]", "~/p", "a=b", "{", "-3", "#", "'", "été", "null", "a:b", "..", "x\ty", "\n"]


def read(word: str) -> Any:
    (typed,) = shlex.split(word)
    value = OverridesParser.create().parse_override(typed).value()
    return OmegaConf.to_container(OmegaConf.create({"k": value}), resolve=True)["k"]  # type: ignore[call-overload, index]


@pytest.mark.parametrize("text", ODD)
def test_a_text_is_read_as_it_was_meant(text: str) -> None:
    assert read(override("dataset.root", text)) == text
    assert read(override("dataset.source", [text, "b"])) == [text, "b"]


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8))
def test_any_text_is_read_as_it_was_meant(text: str) -> None:
    assert read(override("key", text)) == text


def test_numbers_and_nothing_stay_what_they_are() -> None:
    assert read(override("key", [1, 0.5, True, None])) == [1, 0.5, True, None]


def test_what_needs_no_quotes_has_none() -> None:
    assert override("dataset.root", "/data/photos-1.csv") == "dataset.root=/data/photos-1.csv"
