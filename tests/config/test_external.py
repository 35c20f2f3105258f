"""A record decides neither what is read, nor what is fetched, nor what is written."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Unpack

import numpy as np
import pytest
import yaml
from typing_extensions import TypedDict

from da_framework.cli.evaluate import evaluate
from da_framework.cli.predict import predict
from da_framework.config.external import command_places, external_keys, resolve_external
from da_framework.config.plugins import conf_dir
from da_framework.config.relevance import GROUPS
from da_framework.config.schema import check_config, read_signature
from da_framework.config.settings import Settings
from da_framework.core.errors import InputError, UntypedError, trust_word
from da_framework.core.types import External
from da_framework.training.restore import find_run, restore_model
from tests.shared_runs import plain

PACKAGE = Path(__file__).parents[2] / "da_framework"
NAMED = {
    *("root", "cache", "dir", "download", "file", "folder", "mirrors", "path", "weights", "url"),
    *("pretrained", "tokenizer", "address", "teachers", "init", "hub", "backbone"),
}
"""Words in the names of keys that may say what is outside."""
INSIDE = {
    "dataset.folder": "a name below the data's folder, held to that by its type",
    "network.tokenizer": "compared with that of the texts, and not opened",
    "network.backbone_factor": "a number",
    "method.class_weights": "none or balanced",
    "init_head": "how a run is begun with",
    "init_share": "likewise",
    "init_function": "likewise",
}
"""Keys with such a word that name nothing outside."""
PLAIN_BACKBONES = ("timm", "torchvision")
"""Networks whose backbone is one of a list that the library itself has."""
HARMLESS = {"method": {"_target_": "da_framework.methods.dann.DANN", "weight": 1.0}}


def targets(group: str) -> set[str]:
    files = (conf_dir() / group).glob("*.yaml")
    return {yaml.safe_load(file.read_text())["_target_"] for file in files}


def folder_of_texts(**keys: Any) -> dict[str, Any]:
    node = {"_target_": "da_framework.datasets.text.Text", "root": "/home/me/texts", "label": "y"}
    return {"dataset": node | {"tokenizer": "words", "cache": "/etc", **keys}}


# who decides


def test_a_path_must_be_typed() -> None:
    with pytest.raises(UntypedError) as refused:
        resolve_external(folder_of_texts(), what="the record of runs/a")
    assert str(refused.value) == (
        "the record of runs/a names /home/me/texts (config.dataset.root), and a record does not "
        "decide what is read or fetched; if you know what it is, type it again: "
        "trust=[/home/me/texts]"
    )
    typed = resolve_external(folder_of_texts(), trust=refused.value.names)
    assert typed["dataset"]["root"] == "/home/me/texts"
    moved = resolve_external(folder_of_texts(), typed={"root": "here"})
    assert moved["dataset"]["root"] == "here"


def test_a_path_may_be_typed_in_another_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/me")
    for form in ("home/me/texts", "~/texts", "/home/me/texts"):
        resolve_external(folder_of_texts(), trust=[form])
    for other in ("/home/me", "texts", "/home/me/texts/x"):
        with pytest.raises(UntypedError):
            resolve_external(folder_of_texts(), trust=[other])


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a b",
            "it's",
            "a\\b",
            "a\\'b",
            "C:\\x\\",
            "münchen/ä",
            "$x",
            "a,b",
            "[x]",
            "~/p",
            "null",
        ),
        *(
            "true",
            "1e5",
            "a=b",
            "'q'",
            '"q"',
            "a\\\\'",
            "/",
            ".",
            "nan",
            "-5",
            "x\\",
            "org/bert-base",
        ),
    ],
)
def test_the_word_that_is_said_is_read_as_it_was_meant(name: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    read: Any = OverridesParser.create().parse_override(trust_word([name, "z"])).value()
    assert [str(value) for value in read] == [name, "z"]
    assert all(isinstance(value, str) for value in read)


def test_a_model_on_a_hub_must_be_typed() -> None:
    given = folder_of_texts(tokenizer="evil/bert")
    with pytest.raises(UntypedError, match=r"evil/bert \(config\.dataset\.tokenizer\)"):
        resolve_external(given, typed={"root": "here"})
    network = {"_target_": "da_framework.networks.text.text", "backbone": "evil/bert"}
    with pytest.raises(UntypedError, match=r"evil/bert \(config\.network\.backbone\)"):
        resolve_external({"network": network})
    allowed = resolve_external({"network": network}, trust=["evil/bert"])
    assert allowed["network"]["backbone"] == "evil/bert"
    network["backbone"] = "words"  # built here
    assert resolve_external({"network": network})["network"] == network


def test_what_would_be_written_or_fetched_is_off() -> None:
    text = resolve_external(folder_of_texts(), trust=["/home/me/texts"])
    assert text["dataset"]["cache"] is None
    digits = {
        "_target_": "da_framework.datasets.digits.Digits",
        "data_dir": command_places()[0],
        "download": True,
        "mirrors": ["http://evil.example"],
    }
    actual = resolve_external({"dataset": digits})["dataset"]
    assert (actual["download"], actual["mirrors"]) == (False, [])
    typed = resolve_external({"dataset": digits}, typed={"download": True})["dataset"]
    assert (typed["download"], typed["mirrors"]) == (True, [])
    network = {"_target_": "da_framework.networks.timm.timm", "pretrained": True, "weights": "/x"}
    actual = resolve_external({"network": network})["network"]
    assert (actual["pretrained"], actual["weights"]) == (False, None)
    given = {"init_from": "/x", "teachers": ["/x", "a"], "feature_cache": "/x", "seed": 1}
    expected = {"init_from": None, "teachers": ["a"], "feature_cache": None, "seed": 1}
    assert resolve_external(given, trust=["a"]) == expected


def test_what_stands_for_a_path_is_a_text() -> None:
    for value in ({"_target_": "da_framework.datasets.origin.Origin"}, 7, [["/etc"]]):
        with pytest.raises(InputError, match=r"config\.dataset\.root is no text"):
            resolve_external(folder_of_texts(root=value))
    digits = {"_target_": "da_framework.datasets.digits.Digits", "download": {"a": 1}}
    assert resolve_external({"dataset": digits})["dataset"]["download"] is False


def test_what_lies_deeper_is_decided_too() -> None:
    denoise = {"_target_": "da_framework.datasets.msda.Denoising", "layers": 2, "cache": "/etc"}
    given = {"dataset": {"weak": [{"x": denoise}]}, "method": {"a": [1, {"b": None}]}}
    actual = resolve_external(given)
    assert actual["dataset"]["weak"][0]["x"] == denoise | {"cache": None}
    assert actual["method"] == given["method"]
    assert denoise["cache"] == "/etc", "the record itself is left as it is"


def test_where_every_command_looks_needs_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = {"_target_": "da_framework.datasets.digits.Digits", "data_dir": "/mnt/data"}
    with pytest.raises(UntypedError, match="/mnt/data"):
        resolve_external({"dataset": digits})
    monkeypatch.setenv("DA_DATA", "/mnt/data")
    monkeypatch.setenv("DA_CACHE", "/mnt/cache")
    assert resolve_external({"dataset": digits}) == {"dataset": digits}
    kept = resolve_external(folder_of_texts(cache="/mnt/cache"), trust=["/home/me/texts"])
    assert kept["dataset"]["cache"] == "/mnt/cache"


def test_what_nothing_is_done_with_is_left_out() -> None:
    actual = resolve_external(folder_of_texts(), needed=lambda path: "tokenizer" in path)
    assert "root" not in actual["dataset"]
    with pytest.raises(UntypedError, match="tokenizer"):
        resolve_external(
            folder_of_texts(tokenizer="evil/bert"), needed=lambda path: "tokenizer" in path
        )


@pytest.mark.parametrize(
    "path", ["/etc", "../x", "a/../../x", "C:\\x", "\\\\host\\share", "a\\..\\b"]
)
def test_a_name_below_a_folder_does_not_leave_it(path: str) -> None:
    node = yaml.safe_load((conf_dir() / "dataset" / "office31.yaml").read_text())
    node |= {"labels_per_class": 0, "val": 0.1, "test": 0.2, "split_seed": 0, "batch_size": 1}

    def errors(change: dict[str, Any]) -> str:
        with pytest.raises(InputError) as wrong:
            check_config({"dataset": node | change}, lambda dataset: None)
        return str(wrong.value)

    assert "dataset.folder: input should be a path below" in errors({"folder": path})
    places = {"amazon": {"path": path, "images": 1}}
    assert "dataset.places.amazon: input should be a path" in errors({"places": places})
    places = {"amazon": {"path": "a", "images": 1, "lists": {"train": path}}}
    assert "dataset.places.amazon: input should be a path" in errors({"places": places})
    assert "input should be a path below" not in errors({"folder": "office31/a", "size": "x"})


# what is declared


def words(key: str) -> set[str]:
    return set(key.split("_"))


@pytest.mark.parametrize("group", [*GROUPS, "term"])
def test_a_key_that_names_something_outside_is_declared(group: str) -> None:
    for target in sorted(targets(group)):
        known, *_ = read_signature(resolve_name(target))
        marked = external_keys(resolve_name(target))
        for key in sorted(known):
            if not words(key) & NAMED or f"{group}.{key}" in INSIDE:
                continue
            # a backbone is a node, or of the library's own list
            if key == "backbone" and (
                "Callable" in str(known[key]) or target.rpartition(".")[2] in PLAIN_BACKBONES
            ):
                continue
            assert key in marked, f"{target}: {key}"


def test_a_key_of_training_that_names_something_outside_is_declared() -> None:
    marked = external_keys(Settings)
    for key in read_signature(Settings)[0]:
        if words(key) & NAMED and key not in INSIDE:
            assert key in marked, key


def opened(path: Path) -> Iterator[str]:
    """Names of what a source opens or fetches: the arguments of paths and of a hub's models."""
    for call in ast.walk(ast.parse(path.read_text())):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        called, given = ast.unparse(call.func), call.args[0]
        if called in ("Path", "open") or called.endswith(("from_pretrained", "create_model")):
            names = [n for n in ast.walk(given) if isinstance(n, ast.Name | ast.Attribute)]
            yield from (n.attr if isinstance(n, ast.Attribute) else n.id for n in names)


@pytest.mark.parametrize("group", GROUPS)
def test_a_key_that_is_opened_is_declared(group: str) -> None:
    for target in targets(group):
        built = resolve_name(target)
        known, *_ = read_signature(built)
        sources = {
            Path(str(sys.modules[kind.__module__].__file__))
            for kind in (built.__mro__ if isinstance(built, type) else (built,))
            if kind.__module__.startswith("da_framework")
        }
        for source in sources:
            for key in known.keys() & set(opened(source)) - {"backbone"}:
                assert key in external_keys(built), f"{target}: {key}, opened in {source}"


def test_forgotten_marks_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class A:\n    def f(self):\n        Path(self.scratch)\n")
    assert [*opened(tmp_path / "mine.py")] == ["scratch", "self"]
    assert words("cache_dir") & NAMED


class Shared(TypedDict):
    """Keys of several classes."""

    notes: Annotated[str | None, External(off=None)]


class Base:
    """Of which a plugin's class is one."""

    def __init__(self, *, scratch: Annotated[str, External()]) -> None: ...


class Mine(Base):
    """Hands some of its keys on."""

    def __init__(self, *, colour: str, **others: Any) -> None: ...


class Other:
    """Has keys of a dictionary's type."""

    def __init__(self, **keys: Unpack[Shared]) -> None: ...


def test_a_plugin_s_keys_are_those_that_it_declares() -> None:
    assert external_keys(Mine).keys() == {"scratch"}
    assert external_keys(Other).keys() == {"notes"}
    node = {"_target_": f"{__name__}.Mine", "colour": "red", "scratch": "/etc/x"}
    with pytest.raises(UntypedError, match="/etc/x"):
        resolve_external({"dataset": node})


def test_a_mark_counts_where_python_cannot_read_the_hints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lazy_da.py").write_text(
        "from __future__ import annotations\n\nclass Lazy:\n"
        "    def __init__(self, *, net: Unknown, place: Annotated[str, External()]): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UntypedError, match="/etc/x"):
        resolve_external({"method": {"_target_": "lazy_da.Lazy", "net": 1, "place": "/etc/x"}})


# the commands


def test_a_run_is_brought_back_without_what_its_record_names_outside(da: Any) -> None:
    plain(da)
    file = da.folder / "run" / "result.json"
    record = json.loads(file.read_text())
    record["config"] |= {
        **{"data_dir": "/evil", "feature_cache": "/evil", "init_from": "/evil"},
        **{"teachers": ["/evil"], "trust": ["evil"], "init_head": "fresh"},
    }
    file.write_text(json.dumps(record))
    for config in (
        find_run("run", pick="last").config,
        restore_model("run", pick="last").run.config,
    ):
        assert "evil" not in json.dumps(config)
    evaluate(run="run", pick="last", data_dir=None, dataset={})
    np.savez("new.npz", x=np.zeros((3, 2), np.float32))
    keys = {"root": "new.npz"}
    predict(run="run", pick="last", out="out.csv", probabilities=False, dataset=keys)
    assert not Path("/evil").exists()


def test_data_of_one_s_own_is_read_where_the_command_says(da: Any) -> None:
    rows = [f"{n % 5},{n % 2},{'ab'[n // 40]}" for n in range(80)]
    Path("all.csv").write_text("\n".join(["height,label,domain", *rows]))
    keys = ("dataset=table", "dataset.root=all.csv", "dataset.source=[a]", "steps=2")
    assert da.train(*keys).code == 0
    refused = da("evaluate", "run=run")
    assert refused.code == 2
    assert refused.err.endswith("type it again: da evaluate run=run 'trust=[all.csv]'\n")
    expected = da("evaluate", "run=run", "trust=[all.csv]")
    assert expected.code == 0
    Path("all.csv").rename("moved.csv")
    moved = da("evaluate", "run=run", "dataset.root=moved.csv")
    assert (moved.code, moved.out) == (0, expected.out)
    Path("new.csv").write_text("height\n1\n")
    assert da("predict", "run=run", "dataset.root=new.csv").code == 0, "it needs none of it"
