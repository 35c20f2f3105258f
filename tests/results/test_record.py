import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from da_framework.callbacks.history import csv
from da_framework.config.relevance import is_irrelevant
from da_framework.config.source_code import import_closure
from da_framework.core.errors import InputError
from da_framework.core.files import write_text
from da_framework.results import record as results
from da_framework.results.record import (
    claim_folder,
    code_hash,
    read_record,
    run_key,
    targets,
    without_keys,
    write_record,
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
    assert list(targets(node)) == ["a", "d", "f"]


def test_without_takes_away_dotted_paths_and_whole_branches() -> None:
    given = {"a": {"b": 1, "c": {"d": 2}}, "b": 3, "e": [1]}
    assert without_keys(given, ("a.b", "e")) == {"a": {"c": {"d": 2}}, "b": 3}
    assert without_keys(given, ("a.c.d",)) == {"a": {"b": 1, "c": {}}, "b": 3, "e": [1]}
    assert given["a"] == {"b": 1, "c": {"d": 2}}


RECORD = {"key": "k", "config": {"seed": 1}, "target": {"last": {"accuracy": 0.5}}}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_kill_while_writing_leaves_the_record_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(tmp_path, RECORD)

    def killed(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_record(tmp_path, RECORD | {"key": "other"})
    assert read_record(tmp_path) == RECORD
    write_record(tmp_path, RECORD | {"key": "other"})
    assert read_record(tmp_path) == RECORD | {"key": "other"}
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_a_kill_before_the_first_record_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_record(tmp_path, RECORD)
    assert read_record(tmp_path) is None


def test_a_number_that_is_none_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(tmp_path, RECORD | {"seconds": float("nan")})
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", json.dumps(RECORD)[:-5], "[]", "3", "null", '"key config target"', '{"key": 1}'],
)
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=rf"{tmp_path}/result.json is damaged .*remove it"):
        read_record(tmp_path)


def test_a_record_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="damaged"):
        read_record(tmp_path)


def tree(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def run(folder: Path, content: str) -> None:
    """What a run leaves."""
    (folder / "checkpoints" / "last.ckpt").write_text(content)
    (folder / "result.json").write_text(content)
    (folder / "da.log").write_text("log")
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text("now")


def test_a_fresh_folder_is_claimed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    assert claim_folder(folder, "k1", again=False) is None
    assert tree(folder) == {"key.txt": "k1\n"}
    assert (folder / "checkpoints").is_dir()


def test_again_in_a_fresh_folder_moves_nothing(tmp_path: Path) -> None:
    assert claim_folder(tmp_path, "k1", again=True) is None


def test_the_same_run_keeps_its_checkpoints(tmp_path: Path) -> None:
    claim_folder(tmp_path, "k1", again=False)
    run(tmp_path, "one")
    before = tree(tmp_path)
    assert claim_folder(tmp_path, "k1", again=False) is None
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("run_key", "again"), [("k2", False), ("k1", True), ("k2", True)])
def test_another_run_or_again_moves_what_is_there_aside(
    tmp_path: Path, run_key: str, again: bool
) -> None:
    claim_folder(tmp_path, "k1", again=False)
    run(tmp_path, "one")
    assert claim_folder(tmp_path, run_key, again=again) == str(tmp_path / "before-1")
    assert tree(tmp_path) == {
        ".hydra/config.yaml": "now",
        "before-1/checkpoints/last.ckpt": "one",
        "before-1/key.txt": "k1\n",
        "before-1/result.json": "one",
        "da.log": "log",
        "key.txt": f"{run_key}\n",
    }


def test_what_was_moved_aside_is_never_touched_again(tmp_path: Path) -> None:
    for number, content in enumerate(["one", "two", "three"], start=1):
        claim_folder(tmp_path, f"k{number}", again=False)
        run(tmp_path, content)
    first = {name: text for name, text in tree(tmp_path).items() if name.startswith("before-1/")}
    assert first["before-1/result.json"] == "one"
    assert tree(tmp_path)["before-2/result.json"] == "two"
    assert claim_folder(tmp_path, "k3", again=True) == str(tmp_path / "before-3")
    after = tree(tmp_path)
    assert after.items() >= first.items()
    assert after["before-3/result.json"] == "three"


def interrupted(moved: int) -> Callable[..., None]:
    """A move that is killed after so many entries."""
    original, count = shutil.move, [0]

    def move(source: Path, to: Path) -> None:
        if count[0] == moved:
            raise KeyboardInterrupt
        count[0] += 1
        original(source, to)

    return move


def listing(first: str) -> Callable[[Path], Iterator[Path]]:
    """A folder's entries, this one first: file systems have orders of their own."""
    original = Path.iterdir
    return lambda folder: iter(sorted(original(folder), key=lambda entry: entry.name != first))


@pytest.mark.parametrize("first", ["key.txt", "checkpoints", "result.json"])
@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_kill_while_moving_aside_never_makes_another_run_s_checkpoints_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int, first: str
) -> None:
    claim_folder(tmp_path, "k1", again=False)
    run(tmp_path, "one")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", listing(first))
        patch.setattr("shutil.move", interrupted(moved))
        with pytest.raises(KeyboardInterrupt):
            claim_folder(tmp_path, "k2", again=False)
    claim_folder(tmp_path, "k2", again=False)
    left = tree(tmp_path)
    assert "checkpoints/last.ckpt" not in left
    assert "result.json" not in left


def test_the_history_becomes_a_table() -> None:
    first, last = {"step": 0, "score": 0.5}, {"step": 5, "score": 1.0}
    history = [first, {"step": 5, "train/source": 1.25}, last]
    assert csv(history) == "step,score,train/source\n0,0.5,\n5,,1.25\n5,1.0,\n"
    assert csv([]) == "\n"


def test_the_environment_names_versions_and_machine() -> None:
    environment = results.environment()
    assert {"python", "torch", "numpy", "hydra-core"} <= environment["versions"].keys()
    assert environment["cpus"] >= 1
    json.dumps(environment, allow_nan=False)
