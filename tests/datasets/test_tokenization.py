"""Texts as token ids."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from da_framework.core.errors import InputError
from da_framework.datasets import tokenization
from da_framework.datasets.text import Text
from da_framework.datasets.tokenization import hash_words, token_ids
from tests.datasets.roles import TRANSDUCTIVE

ROLES: dict[str, Any] = {
    "source": ["books"],
    **TRANSDUCTIVE,
}
KEYS: dict[str, Any] = {"tokenizer": "words", "vocabulary": 1000, "length": 6, "cache": None}
WRITTEN: Any = {"separator": None, "encoding": None}


def test_a_word_has_one_token_id_wherever_it_stands() -> None:
    ids = hash_words(["It's good, good!", "GOOD", "", "one two three four five six seven"], 1000, 6)
    assert ids.dtype == np.int32
    its, good, comma, again, bang, none = ids[0]
    assert good == again == ids[1, 0]
    assert len({its, good, comma, bang}) == 4
    assert none == 0
    assert not ids[2].any()
    assert ids[3].all()
    assert ids.min() >= 0
    assert ids.max() < 1000
    assert set(hash_words(["a b c d e f"], 2, 6)[0]) == {1}


def test_what_was_done_once_is_found_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, keys = ["one two", "three"], KEYS | {"cache": str(tmp_path)}
    first = token_ids(texts, **keys)
    monkeypatch.setattr(tokenization, "hash_words", lambda *_: pytest.fail("done again"))
    np.testing.assert_array_equal(token_ids(texts, **keys), first)
    for other in ({"length": 5}, {"vocabulary": 999}, {"tokenizer": "gone"}):
        with pytest.raises((pytest.fail.Exception, InputError)):
            token_ids(texts, **(keys | other))
    with pytest.raises(pytest.fail.Exception):
        token_ids(["one", "two three"], **keys)


def rows(domain: str) -> list[dict[str, Any]]:
    return [
        {"domain": domain, "label": number % 2, "title": None, "text": f"word{number} here"}
        for number in range(6)
    ]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_texts_of_a_file_or_of_a_folder(kind: str, tmp_path: Path) -> None:
    written = {name: "\n".join(map(json.dumps, rows(name))) for name in ("books", "tools")}
    root = tmp_path / "all.jsonl"
    if kind == "file":
        root.write_text("\n".join(written.values()))
    else:
        root = tmp_path
        for name, lines in written.items():
            (root / f"{name}.jsonl").write_text(lines)
    keys = {"root": str(root), "text": ["title", "text"], "label": "label", "domain": "domain"}
    data = Text(**keys, **KEYS, **WRITTEN, **ROLES)  # type: ignore[arg-type]
    assert (data.names, data.classes) == (("books", "tools"), ("0", "1"))
    tools = data["tools"]
    assert tools.y.tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_array_equal(tools.x, hash_words([f"word{n} here" for n in range(6)], 1000, 6))
    wrong = Text(**(keys | {"text": ["body"]}), **KEYS, **WRITTEN, **ROLES)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"dataset.text: .* no column 'body'; it has domain"):
        wrong["books"]
