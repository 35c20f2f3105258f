import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from da_framework.callbacks.history import render_csv
from da_framework.config.allowlist import named_targets
from da_framework.config.relevance import is_irrelevant
from da_framework.config.source_code import import_closure
from da_framework.core.files import write_text
from da_framework.results import record as results
from da_framework.results.record import (
    code_hash,
    run_key,
    without_keys,
)

CONFIG: dict[str, Any] = {
    "method": {"_target_": "da_framework.methods.dann.DANN", "weight": 1.0},
    "dataset": {
        "data_dir": "data",
        "cache": "cache",
        "denoising": {"cache": "cache", "layers": 5},
        "download": True,
        "in_memory": "auto",
        "mirrors": [],
        "origin": "https://example.org",
        "timeout": 30.0,
        "batch_size": {"source": 64},
    },
    "trainer": {
        "accelerator": "auto",
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "32-true",
        "deterministic": False,
    },
    "compile": False,
    "channels_last": False,
    "tf32": "convolutions",
    "logger": {"wandb": {"project": "a"}},
    "callback": {"tsne": {"rows": 400}},
    "data_dir": "data",
    "again": False,
    "checkpoint_every": 200,
    "evaluate_every": 100,
    "feature_cache": "cache",
    "flush_every": 50,
    "inner_steps": None,
    "paper": {"title": "a"},
    "seed": 1,
    "steps": 1000,
}
DATA = {"mnist": "0123", "usps": "4567"}


def changed(config: Mapping[str, Any], path: str) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    value = changed(config[first], rest) if rest else "another value"
    return {**config, first: value}


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


NO_NUMBER = (
    "feature_cache",
    "inner_steps",
    "paper",
    "flush_every",  # by hand: one mark too many would take two runs for one
    "again",
    "callback",
    "checkpoint_every",
    "data_dir",
    "dataset.cache",
    "dataset.denoising.cache",
    "dataset.data_dir",
    "dataset.download",
    "dataset.in_memory",
    "dataset.mirrors",
    "dataset.origin",
    "dataset.timeout",
    "logger",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
)


def cannot_matter(path: str) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in NO_NUMBER)


def test_the_config_under_test_has_every_irrelevant_key() -> None:
    every = set(leaves(CONFIG)) | CONFIG.keys()
    assert {name for name in every if is_irrelevant(name)} == {
        name for name in every if cannot_matter(name)
    }


@pytest.mark.parametrize("path", list(leaves(CONFIG)))
def test_the_key_ignores_what_cannot_change_a_number_and_nothing_else(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "code_hash", lambda config: "code")
    same = run_key(changed(CONFIG, path), DATA) == run_key(CONFIG, DATA)
    assert same == cannot_matter(path)


def test_the_key_does_not_depend_on_order() -> None:
    turned = dict(reversed(CONFIG.items()))
    assert run_key(turned, dict(reversed(DATA.items()))) == run_key(CONFIG, DATA)


def test_the_key_changes_with_the_data() -> None:
    assert run_key(CONFIG, DATA | {"usps": "4568"}) != run_key(CONFIG, DATA)
    assert run_key(CONFIG, {"mnist": "0123"}) != run_key(CONFIG, DATA)


def test_the_key_changes_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_key(CONFIG, DATA)
    assert before == run_key(CONFIG, DATA)
    monkeypatch.setattr(results, "code_hash", lambda config: "other code")
    assert run_key(CONFIG, DATA) != before


def test_a_plugin_s_sources_count_and_only_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_plugin"
    (package / "methods").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "methods" / "foo.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    config = {"method": {"inner": [{"_target_": "some_plugin.methods.foo.Foo"}]}}
    seen = [code_hash({}), code_hash(config)]
    (package / "methods" / "notes.txt").write_text("no code")
    assert code_hash(config) == seen[-1]
    (package / "methods" / "foo.py").write_text("a = 2\n")
    seen.append(code_hash(config))
    (package / "methods" / "foo.py").write_text("import some_plugin.methods.bar\n")
    seen.append(code_hash(config))
    (package / "methods" / "bar.py").write_text("b = 1\n")
    seen.append(code_hash(config))
    assert len(set(seen)) == 5
    # what the run does not import is not asked
    (package / "methods" / "other.py").write_text("c = 1\n")
    assert code_hash(config) == seen[-1]


def test_what_only_watches_a_run_is_no_other_code() -> None:
    watched = {"callback": {"tsne": {"_target_": "da_framework.callbacks.tsne.TSNE"}}}
    assert code_hash(watched) == code_hash({"callback": {}}) == code_hash({})


def test_a_file_is_written_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.html", "c")
    assert (tmp_path / "a" / "b.html").read_text() == "c"


def test_a_plugin_of_one_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "single_plugin.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    config = {"method": {"_target_": "single_plugin.Foo"}}
    before = code_hash(config)
    (tmp_path / "single_plugin.py").write_text("a = 2\n")
    assert code_hash(config) != before


def test_our_own_sources_count_as_far_as_the_run_imports_them() -> None:
    read = import_closure(["da_framework.training.train", "da_framework.methods.mmd"])
    names = {name.removeprefix("da_framework.") for name in read}
    assert names >= {"training.module", "training.build", "core.seeding", "losses.mmd"}
    assert names >= {"methods.base", "callbacks.base"}
    assert not names & {"cli.main", "results.tables", "config.catalog", "methods.dann"}


def test_targets_are_found_at_any_depth() -> None:
    node = {"_target_": "a", "b": [{"c": {"_target_": "d"}}, 3], "e": {"_target_": "f"}}
    assert [target for _, target, _ in named_targets(node)] == ["a", "d", "f"]


def test_without_takes_away_dotted_paths_and_whole_branches() -> None:
    given = {"a": {"b": 1, "c": {"d": 2}}, "b": 3, "e": [1]}
    assert without_keys(given, ("a.b", "e")) == {"a": {"c": {"d": 2}}, "b": 3}
    assert without_keys(given, ("a.c.d",)) == {"a": {"b": 1, "c": {}}, "b": 3, "e": [1]}
    assert given["a"] == {"b": 1, "c": {"d": 2}}


def test_the_history_becomes_a_table() -> None:
    first, last = {"step": 0, "score": 0.5}, {"step": 5, "score": 1.0}
    history = [first, {"step": 5, "train/source": 1.25}, last]
    assert render_csv(history) == "step,score,train/source\n0,0.5,\n5,,1.25\n5,1.0,\n"
    assert render_csv([]) == "\n"


def test_the_environment_names_versions_and_machine() -> None:
    environment = results.environment()
    assert {"python", "torch", "numpy", "hydra-core"} <= environment["versions"].keys()
    assert (environment["cpus"] or 0) >= 1
    json.dumps(environment, allow_nan=False)
