import re
from collections.abc import Iterator
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict, read_write

from da_framework.config import plugins
from da_framework.config import run_names as names
from da_framework.config.run_names import relevant_overrides, slug


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    names.register_resolvers()
    before = HydraConfig.instance().cfg
    yield
    HydraConfig.instance().cfg = before


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(plugins.conf_dir()), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


def folder(*overrides: str) -> str:
    """The folder of a run, as Hydra would make it."""
    name: str = composed(*overrides).hydra.run.dir
    return name


def test_a_slug_is_readable_short_and_ends_in_a_hash() -> None:
    name = slug(["dann", "two_moons", "lr=0.1", "source=[a,b c]"], hashed=["x"])
    assert name.startswith("dann-two_moons-lr_0.1-source_a_b_c-")
    assert len(name.rpartition("-")[2]) == 8
    long = slug(["word"] * 100, hashed=["x"])
    assert len(long) <= 80 + 9
    assert "--" not in long


@pytest.mark.parametrize("seed", ["seed=1", "seed=12345"])
@pytest.mark.parametrize("at", [0, 3, 12, 13, 14, 15, 16, 99])
def test_a_cut_leaves_the_word_that_is_to_be_kept(seed: str, at: int) -> None:
    words = ["word"] * at + [seed] + ["word"] * (99 - at)
    name = slug(words, hashed=["x"], kept=seed)
    assert name.split("-").count(seed.replace("=", "_")) == 1
    assert len(name) <= 80 + 9
    assert "--" not in name


def test_the_folder_of_a_run_says_its_seed_however_long_the_command_is() -> None:
    long = [f"dataset.root={'far/' * 30}data", "dataset=arrays", "dataset.source=[a]"]
    assert re.search(r"-seed_7-[0-9a-f]{8}$", folder(*long, "seed=7"))


def test_a_slug_has_no_sign_that_a_shell_or_a_file_system_minds() -> None:
    name = slug(["a/b", "c:*?d", "e f", "{g: h}", "$i'\""], hashed=[])
    assert not set(name) & set("/\\:*?\"'<>|{}[]$ ")


def test_the_hash_ignores_order_and_sees_everything_else() -> None:
    message = ["dann"]
    first = slug(message, hashed=["a=1", "b=2"])
    assert slug(message, hashed=["b=2", "a=1"]) == first
    assert slug(message, hashed=["a=1", "b=3"]) != first
    assert slug(message, hashed=["a=1b=2"]) != first
    assert slug(["word"] * 100, hashed=["a=1"]) != slug(["word"] * 100, hashed=["a=2"])


def test_what_makes_no_other_run_is_left_out() -> None:
    kept = ["method=dann", "seed=3", "trainer.precision=bf16-mixed"]
    left_out = [
        "again=true",
        "trainer.devices=2",
        "data_dir=/a",
        "checkpoint_every=3",
        "logger=[]",
        "+logger=tensorboard",
        "callback.tsne.rows=3",
        "hydra.sweep.dir=a",
        "hydra/launcher=submitit_local",
        "+experiments=x",
    ]
    assert relevant_overrides([*left_out, *kept]) == kept
    assert relevant_overrides(["+seed=3", "++steps=5"]) == ["seed=3", "steps=5"]


def test_the_same_command_has_the_same_folder() -> None:
    first = folder("method=mmd", "dataset=two_moons", "seed=3")
    assert first.startswith("runs/mmd-two_moons-seed_3-")
    assert folder("seed=3", "dataset=two_moons", "method=mmd") == first
    assert folder("method=mmd", "dataset=two_moons", "seed=3", "again=true", "logger=[]") == first


def test_another_command_has_another_folder() -> None:
    commands = [
        (),
        ("seed=2",),
        ("method=mmd",),
        ("dataset=two_moons",),
        ("optimizer.lr=0.1",),
        ("method=mmd", "optimizer.lr=0.1"),
    ]
    assert len({folder(*own) for own in commands}) == len(commands)


def test_choosing_is_shown_once() -> None:
    shown = folder("method=mmd", "dataset=two_moons", "optimizer.lr=0.1").split("/")[1]
    assert shown.startswith("mmd-two_moons-lr_0.1-")


@pytest.mark.parametrize(
    ("mode", "expected"), [(RunMode.RUN, None), (RunMode.MULTIRUN, "seed=1_2-abc")]
)
def test_the_sweep_is_the_group_of_its_runs(mode: RunMode, expected: str | None) -> None:
    config = composed()
    with read_write(config), open_dict(config):
        config.hydra.mode = mode
        config.hydra.sweep.dir = "multirun/seed=1_2-abc"
    HydraConfig.instance().set_config(config)
    assert OmegaConf.create({"group": "${da.sweep:}"}).group == expected


def test_registering_twice_is_no_mistake() -> None:
    names.register_resolvers()
    names.register_resolvers()
