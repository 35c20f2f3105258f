"""Handmade checkpoints are refused before Lightning is in the middle of them."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import shared_runs


@pytest.fixture
def halted(da: Any) -> Path:
    """A run that lacks its result, and so goes on from its last checkpoint."""
    shared_runs.plain(da)
    (da.folder / "run" / "result.json").unlink()
    return Path(da.folder / "run" / "checkpoints" / "last.ckpt")


def put(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(checkpoint: Any) -> None:
        for key in path[:-1]:
            checkpoint = checkpoint[key]
        checkpoint[path[-1]] = value

    return change


def lose(*path: Any) -> Callable[[Any], None]:
    def change(checkpoint: Any) -> None:
        for key in path[:-1]:
            checkpoint = checkpoint[key]
        del checkpoint[path[-1]]

    return change


def narrow(checkpoint: Any) -> None:
    weights = checkpoint["state_dict"]
    name = next(iter(weights))
    weights[name] = weights[name][:1]


STATE = "adaptation"
CHANGES = {
    "a step never reached": (put(STATE, "step", value=10**9), "it is of step 1000000000 of 20"),
    "a step before the first": (put(STATE, "step", value=-1), "adaptation.step"),
    "a step that is a word": (put(STATE, "step", value="20"), "adaptation.step"),
    "no history": (lose(STATE, "history"), "adaptation.history"),
    "a history of words": (put(STATE, "history", value=["a"]), "adaptation.history.0"),
    "seconds without end": (put(STATE, "seconds", value=float("inf")), "adaptation.seconds"),
    "no state": (lose(STATE), "adaptation"),
    "no loops": (lose("loops"), "loops"),
    "loops of another kind": (put("loops", "fit_loop", value=3), "int"),
    "no optimizer": (put("optimizer_states", value=[]), "shorter"),
    "another rate of decay": (
        put("optimizer_states", 0, "param_groups", 0, "momentum", value=7.0),
        "another momentum",
    ),
    "momentum of another shape": (
        put("optimizer_states", 0, "state", 0, value={"momentum_buffer": torch.zeros(1)}),
        "momentum_buffer of another shape",
    ),
    "a weight that is a word": (put("state_dict", "method.network.head.bias", value="a"), "shape"),
    "a weight of another shape": (narrow, "its weights are of another model"),
    "a weight more": (put("state_dict", "more", value=torch.zeros(1)), "more"),
}


@pytest.mark.slow
def test_what_a_run_cannot_go_on_from_is_refused(da: Any, halted: Path) -> None:
    whole = torch.load(halted, weights_only=True)
    for what, (change, reason) in CHANGES.items():
        checkpoint = copy.deepcopy(whole)
        change(checkpoint)
        torch.save(checkpoint, halted)
        ended = da.train("evaluate_every=5")
        assert ended.code == 2, (what, ended)
        assert "Traceback" not in ended.out + ended.err
        assert len(ended.err.splitlines()) == 1, (what, ended.err)
        assert "last.ckpt is damaged" in ended.err, (what, ended.err)
        assert reason in ended.err, (what, ended.err)
    torch.save(whole, halted)
    assert da.train("evaluate_every=5").code == 0
