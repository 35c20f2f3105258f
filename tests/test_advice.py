"""What an error advises is typed as it stands there, and works."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

KEY = re.compile(r"'?[\w.]+(?:/\w+)*=")
"""How an override begins, in quotes or not."""
FOLDER = ("dataset=folder", "network=lenet", "dataset.size=28")
WHOLE = ("s/cat", "s/dog", "t/cat", "t/dog")


def pictures(root: Path, places: tuple[str, ...] = WHOLE, count: int = 6) -> None:
    for place in places:
        (root / place).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((8, 8, 3), 9 * number, np.uint8)
            Image.fromarray(pixels).save(root / place / f"{number}.png")


def break_one(root: Path) -> None:
    pictures(root)
    (root / "s" / "cat" / "0.png").write_bytes(b"no image")


def add_file(root: Path) -> None:
    pictures(root)
    Image.new("L", (8, 8)).save(root / "0.png")


def advised(message: str) -> list[str]:
    """The overrides of a message, as a shell reads them: what follows punctuation is none."""
    words = []
    for begun in KEY.finditer(message):
        if begun.start() and message[begun.start() - 1] not in " (":
            continue
        rest = message[begun.start() :]
        quoted = re.match(r"(?:'[^']*'|\"[^\"]*\"|\\.|[^\s'\"\\])+", rest)
        assert quoted
        words += shlex.split(quoted[0].rstrip(",;:)"))
    return words


def train(da: Any, words: list[str]) -> Any:
    small = ("logger=[]", "callback=[]", "steps=2", "hydra.run.dir=run")
    return da("train", *words, *small)


def with_advice(words: list[str], advice: list[str]) -> list[str]:
    keys = {word.partition("=")[0] for word in advice}
    return [*(word for word in words if word.partition("=")[0] not in keys), *advice]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "prepare", "chosen"),
    [
        pytest.param(
            [*FOLDER, "dataset.root=deep", "dataset.source=s"],
            lambda here: pictures(here / "deep" / "it's, [here]"),
            "dataset.root",
            id="a level too many",
        ),
        pytest.param(
            [*FOLDER, "dataset.root=p/s", "dataset.source=cat"],
            lambda here: pictures(here / "p"),
            "dataset.",
            id="a level too few",
        ),
        pytest.param(
            [*FOLDER, "dataset.root=p"],
            lambda here: pictures(here / "p", ("a, b/cat", "a, b/dog", "t/cat", "t/dog")),
            "dataset.source",
            id="no source",
        ),
        pytest.param(
            [*FOLDER, "dataset.root=p", "dataset.source=s"],
            lambda here: break_one(here / "p"),
            "dataset.on_error",
            id="an image that cannot be read",
        ),
        pytest.param(["method=mme"], None, "dataset.labels_per_class", id="labels of the target"),
        pytest.param(["method=jda"], None, "network", id="inputs themselves"),
        pytest.param(
            [*FOLDER, "dataset.root=p/0.png", "dataset.source=s"],
            lambda here: add_file(here / "p"),
            "dataset.root",
            id="a file for a folder",
        ),
    ],
)
def test_what_an_error_advises_is_typed_and_trains(
    da: Any, words: list[str], prepare: Callable[[Path], None] | None, chosen: str
) -> None:
    if prepare:
        prepare(da.folder)
    ended = train(da, words)
    assert ended.code == 2, ended.out
    advice = [word for word in advised(ended.err) if word.startswith(chosen)]
    given = set(words)
    advice = [word for word in advice if word not in given]
    assert advice, ended.err
    again = train(da, with_advice(words, advice))
    assert again.code == 0, again.err


@pytest.mark.slow
@pytest.mark.parametrize("key", ["init_from", "teachers"])
def test_a_run_that_is_asked_for_is_given_and_goes_on(da: Any, key: str) -> None:
    """Folders that a message only stands for are those of a run that is trained as it says."""
    method = {"init_from": "shot", "teachers": "distillation"}[key]
    ended = train(da, [f"method={method}"])
    assert ended.code == 2
    assert f"{key}=" in ended.err
    assert da.train("method=source_only", "dataset=digits", "network=convnet", run="mine").code == 0
    given = "mine" if key == "init_from" else "[mine]"
    again = train(da, [f"method={method}", f"{key}={given}", "dataset.source=[]"])
    assert again.code == 0, again.err
