"""Which keys cannot change a number is said where they are declared."""

import inspect
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
import yaml

from da_framework.config import relevance
from da_framework.config.plugins import conf_dir, config_roots
from da_framework.config.relevance import irrelevant_keys, is_irrelevant, relevant_config
from da_framework.config.schema import read_signature
from da_framework.config.settings import Settings
from da_framework.core.types import Irrelevant

PLACES = ("cache", "dir", "download", "file", "folder", "memory", "mirrors", "path", "timeout")
"""Words in the names of keys that say where something is or how it comes there."""
ELSEWHERE = {
    "dataset.folder": "the data set's name on disk, which tells data sets apart",
    "dataset.places": "what the published domains are",
    "network.weights": "known by the file's content, which is part of the key",
}
"""Keys with such a word that do count."""


def configs(group: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(f.read_text()) for f in (conf_dir() / group).glob("*.yaml")]


def is_marked(hint: Any) -> bool:
    return get_origin(hint) is Annotated and any(
        isinstance(mark, Irrelevant) and not mark.keys for mark in get_args(hint)[1:]
    )


@pytest.mark.parametrize("group", relevance.GROUPS)
def test_the_marks_in_the_sources_are_those_of_the_signatures(group: str) -> None:
    """What is read without an import is what Python sees."""
    marked: set[str] = set()
    for config in configs(group):
        known, *_ = read_signature(resolve_name(config["_target_"]))
        marked |= {key for key, hint in known.items() if is_marked(hint)}
    assert marked <= irrelevant_keys()[group]
    if group != "dataset":
        assert marked == irrelevant_keys()[group]


@pytest.mark.parametrize("group", relevance.GROUPS)
def test_a_key_that_says_where_something_is_is_marked(group: str) -> None:
    for config in configs(group):
        known, *_ = read_signature(resolve_name(config["_target_"]))
        for key in known:
            if any(word in key.split("_") for word in PLACES):
                assert is_irrelevant(f"{group}.{key}") or f"{group}.{key}" in ELSEWHERE, key


def test_so_is_one_of_the_settings() -> None:
    hints = get_type_hints(Settings, include_extras=True)
    for key in hints:
        if any(word in key.split("_") for word in PLACES):
            assert is_irrelevant(key), key
    assert {key for key, hint in hints.items() if is_marked(hint)} == irrelevant_keys()[""]


def test_a_forgotten_mark_would_be_seen() -> None:
    def dataset(*, cache_dir: str) -> None:
        """Has a key that says where something is."""

    known, *_ = read_signature(dataset)
    assert not any(map(is_marked, known.values()))
    assert any(word in ["cache", "dir"] for word in PLACES)


def test_a_plugin_s_keys_count_by_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "marked_da"
    (package / "conf" / "dataset").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "conf" / "dataset" / "mine.yaml").write_text("_target_: marked_da.mine.Mine\n")
    (package / "mine.py").write_text(
        "class Mine:\n    def __init__(\n        self,\n"
        "        scratch: Annotated[str, Irrelevant()],\n        colour: str,\n    ): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    roots = [*config_roots(), ("marked_da", package / "conf")]
    monkeypatch.setattr(relevance, "config_roots", lambda: iter(roots))
    irrelevant_keys.cache_clear()
    try:
        assert is_irrelevant("dataset.scratch")
        assert not is_irrelevant("dataset.colour")
    finally:
        irrelevant_keys.cache_clear()


def test_irrelevant_keys_go_at_any_depth_of_their_group() -> None:
    config = {
        "seed": 1,
        "data_dir": "data",
        "dataset": {"cache": "a", "denoising": {"cache": "b", "layers": 5}, "origin": {"x": 1}},
        "trainer": {"devices": 2, "precision": "32-true"},
        "method": {"cache": 3},
    }
    assert relevant_config(config) == {
        "seed": 1,
        "dataset": {"denoising": {"layers": 5}},
        "trainer": {"precision": "32-true"},
        "method": {"cache": 3},
    }


def test_a_typed_dict_s_marks_are_its_users() -> None:
    from da_framework.datasets.folder import Folder

    unpacked = inspect.signature(Folder.__init__).parameters["keys"].annotation
    assert is_typeddict(get_args(unpacked)[0])
    known, *_ = read_signature(Folder)
    assert is_marked(known["cache"])
