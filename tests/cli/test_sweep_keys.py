"""Keys that only some methods of a sweep have."""

from pathlib import Path
from typing import Any

import pytest

from da_framework.cli.sweep_keys import PartialKey, fit_job, fit_sweep
from da_framework.config.plugins import conf_dir


def fit(*words: str) -> list[str]:
    return fit_sweep(words, str(conf_dir()), "train")[0]


def test_a_key_that_some_methods_have_is_swept_over_and_said(capsys: Any) -> None:
    words = ("-m", "method=tca,coral,source_only", "method.kernel=primal", "seed=1,2", "steps=3")
    assert fit(*words) == ["-m", words[1], "method.kernel=choice(primal)", *words[3:]]
    assert capsys.readouterr().err == "method.kernel=primal: not of coral, source_only\n"


@pytest.mark.parametrize(
    "words",
    [
        ("method=tca", "method.kernel=primal", "seed=1,2"),
        ("method=tca,coral", "method.kernl=primal"),
        ("method=tca,coral", "seed=1,2"),
        ("method=dann,mmd", "method.weight=0.1"),
        ("method=tca,typo", "method.kernel=primal"),
        ("method=tca,coral", "+method.kernel=primal"),
        ("method=tca,coral", "method.kernel=[}"),
        ("~method", "-m"),
    ],
)
def test_other_words_stay_as_they_are(words: tuple[str, ...], capsys: Any) -> None:
    assert fit(*words) == [*words]
    assert not capsys.readouterr().err


def test_values_that_are_swept_over_or_quoted_stay_what_they_are() -> None:
    words = ("method=dann,source_only", "method.hidden=8,16", "network=mlp,cnn1d")
    assert fit(*words, "network.backbone.widths=[3, 4]") == [
        *words,
        "network.backbone.widths=choice([3, 4])",
    ]


def test_a_job_has_its_own_keys() -> None:
    partial = {"method.kernel": PartialKey("method", ("tca",), ("pca",))}
    tca = ["method=tca", "method.kernel=a=b"]
    assert fit_job(tca, partial) == tca
    assert fit_job(["method=pca", "method.kernel=a=b"], partial) == ["method=pca"]


def test_baseline_and_method_with_its_key_fit_into_one_sweep(da: Any) -> None:
    ended = da(
        *("train", "-m", *da.small, "hydra.sweep.dir=m", "seed=1,2"),
        *("method=source_only,dann", "method.hidden=8,16"),
    )
    assert ended.code == 0, ended.err
    assert "method.hidden=8,16: not of source_only" in ended.err
    assert "0 waiting, 0 running, 6 done, 0 failed" in ended.err
    records = [da.record(str(path.parent)) for path in Path("m").glob("*/result.json")]
    found = sorted((r["choices"]["method"], r["config"]["method"].get("hidden")) for r in records)
    assert found == [("dann", 8)] * 2 + [("dann", 16)] * 2 + [("source_only", None)] * 2
    commands = {r["command"] for r in records if r["choices"]["method"] == "source_only"}
    assert not any("hidden" in command for command in commands)


def test_a_key_that_no_method_has_leads_to_the_nearest_of_all(da: Any) -> None:
    ended = da("train", "-m", *da.small, "method=coral,tca", "method.kernl=primal")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "method.kernl: there is no such key; did you mean method.kernel?\n"
