"""Values whose meaning is plain are taken for what they mean, of every key alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from da_framework.cli.hydra_app import as_override
from da_framework.cli.override_errors import elsewhere_hint
from da_framework.config.schema import as_meant, check_config, instantiate, meant_value, to_plain
from da_framework.core.errors import InputError
from da_framework.core.types import Count, ForAll, Share
from da_framework.datasets.base import BatchSize


@pytest.mark.parametrize(
    ("value", "hint", "meant"),
    [
        ("usps", list[str], ["usps"]),
        ("usps", list[str] | None, ["usps"]),
        ([1, "b"], list[str], ["1", "b"]),
        (1, list[str], ["1"]),
        (1, list[Count], [1]),
        (7, str, "7"),
        (32, BatchSize, {"source": 32, "target": 32, "target_labelled": 32}),
        (0.5, Annotated[dict[str, Share], ForAll("a")], {"a": 0.5}),
        (3, Share, 3),
        (True, list[str], True),
        (0, BatchSize, 0),
        ("x", Count, "x"),
        (None, list[str] | None, None),
        ({"a": 1}, list[str], {"a": 1}),
    ],
)
def test_what_can_mean_only_one_thing_is_taken_so(value: Any, hint: Any, meant: Any) -> None:
    assert meant_value(value, hint) == meant


def named(names: list[str], size: Annotated[dict[str, int], ForAll("a", "b")]) -> Mapping[str, Any]:
    return {"names": names, "size": size}


def test_the_check_accepts_it_and_what_is_built_is_given_it() -> None:
    node = {"_target_": f"{__name__}.named", "names": "x", "size": 2}
    assert check_config({"seed": 1, "run": "a"}, settings) == {"seed": 1, "run": ["a"]}
    check_config({"seed": 1, "run": ["a"], "part": node}, settings)
    assert instantiate(node) == {"names": ["x"], "size": {"a": 2, "b": 2}}
    assert as_meant([node])[0]["names"] == ["x"]


def settings(*, seed: int, run: list[str], part: Any = None) -> None: ...


@pytest.mark.parametrize(
    ("word", "override"),
    [
        ("--seed=2", "seed=2"),
        ("--optimizer.lr=0.1", "optimizer.lr=0.1"),
        ("--config-dir=conf", "--config-dir=conf"),
        ("--cfg=job", "--cfg=job"),
        ("-m", "-m"),
        ("dataset.root=~/photos", "dataset.root={home}/photos"),
        ("run=[~/a,~/b]", "run=[{home}/a,{home}/b]"),
        ("run=~/a,~/b", "run={home}/a,{home}/b"),
        ("hydra.run.dir=~", "hydra.run.dir={home}"),
        ("x=a~b", "x=a~b"),
        ("~callback", "~callback"),
        ("x='~/a'", "x='~/a'"),
    ],
)
def test_words_of_the_command_line(
    word: str, override: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert as_override(word) == override.format(home="/home/me")


def test_a_home_folder_of_any_name_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/é")
    assert as_override("dataset.root=~/photos") == "dataset.root='/home/é/photos'"


def test_the_home_folder_is_meant_in_configs_too() -> None:
    config = OmegaConf.create({"dataset": {"root": "~/a"}, "run": ["~/b", "c~/d"]})
    home = str(Path.home())
    assert to_plain(config) == {"dataset": {"root": f"{home}/a"}, "run": [f"{home}/b", "c~/d"]}


@pytest.mark.parametrize("value", ["${sed}", "/x/${y}", "${oc.env:NO_SUCH_VARIABLE}"])
def test_a_reference_to_nothing_is_a_line(value: str) -> None:
    with pytest.raises(InputError) as error:
        to_plain(OmegaConf.create({"dataset": {"root": value}}))
    assert "\n" not in str(error.value)
    assert "dataset.root: " in str(error.value)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("epochs", "here it is steps"),
        ("trainer.max_epochs", "here it is steps"),
        ("trainer.max_steps", "here it is steps"),
        ("optimizer.learning_rate", "here it is optimizer.lr"),
        ("batch_size", "here it is dataset.batch_size"),
        ("num_workers", "there are no workers"),
        ("wandb.entity", "logger.wandb.entity"),
        ("method.weigt", ""),
    ],
)
def test_keys_of_other_programs_lead_to_ours(key: str, hint: str) -> None:
    assert hint in elsewhere_hint(key)
    assert bool(hint) == bool(elsewhere_hint(key))


@given(text=st.text(st.sampled_from("ab\\${}'\" "), max_size=8))
def test_what_is_built_is_given_texts_as_they_are(text: str) -> None:
    node = {"_target_": f"{__name__}.named", "names": [text, "b"], "size": 2}
    assert instantiate(node)["names"] == [text, "b"]
