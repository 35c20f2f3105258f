"""What to try where training diverges: the inputs first, and keys that the run has."""

from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.train import remove_unused_folder
from da_framework.core.errors import InputError
from da_framework.training.train import advise_against_divergence


def config(**groups: Any) -> dict[str, Any]:
    return {"method": {}, "optimizer": {}, "dataset": {}} | groups


@pytest.mark.parametrize(
    ("groups", "largest", "words"),
    [
        (
            {"optimizer": {"lr": 1, "clip": None}},
            1.0,
            "lower optimizer.lr; or set optimizer.clip=1",
        ),
        (
            {"optimizer": {"lr": 1}, "method": {"weight": 1}},
            1.0,
            "lower optimizer.lr or method.weight",
        ),
        ({"dataset": {"scale": "none"}}, 2e3, "inputs are as large as 2e+03: dataset.scale=source"),
        ({"dataset": {}}, 2e3, "inputs are as large as 2e+03: bring them to deviation 1 first"),
    ],
)
def test_keys_that_the_run_has_are_named_alone(groups: Any, largest: float, words: str) -> None:
    advice = advise_against_divergence(config(**groups), largest)
    assert advice.startswith(words)
    assert ("method.weight" in advice) == ("method" in groups)
    assert ("optimizer.clip" in advice) == ("clip" in groups.get("optimizer", {}))


@pytest.mark.parametrize("kept", ["", "notes.txt", "da.log"])
def test_a_folder_that_nothing_stands_in_is_removed(
    tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "x"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "da.log").touch()
    if kept:
        (folder / kept).write_text("something")
    with pytest.raises(InputError), remove_unused_folder(folder):
        raise InputError("no")
    assert (tmp_path / "runs").exists() == bool(kept)
