"""What a record may name: nothing from elsewhere is built, whichever command reads it."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

import da_framework
from da_framework.cli import main, reproduce
from da_framework.cli.evaluate import evaluate
from da_framework.cli.export import export
from da_framework.cli.predict import predict
from da_framework.cli.rank import rank
from da_framework.cli.search import Search
from da_framework.config import allowlist
from da_framework.config.allowlist import (
    LIBRARIES,
    check_experiment,
    check_record,
    installed_targets,
)
from da_framework.config.moved import MODULES, moved_config
from da_framework.config.plugins import conf_dir, config_roots
from da_framework.config.relevance import GROUPS
from da_framework.core.errors import InputError, UntypedError
from da_framework.results.experiments import Experiment, find_experiments, read_experiment
from da_framework.training.audit_pool import gather_pool
from da_framework.training.build import compose
from da_framework.training.restore import UNUSED
from da_framework.training.warm_start import load_teachers
from tests.shared_runs import plain

CHOICES = sorted(
    file for group in (*GROUPS, "term") for file in (conf_dir() / group).glob("*.yaml")
)
RECORDED = sorted((conf_dir() / "experiments").rglob("*.recorded.json"))
LOOKALIKE = "da_framework.networks.mlp.\u039cLP"
"""With a Greek letter."""

PAYLOADS: dict[str, Any] = {
    "a function of transformers": {
        "_target_": "transformers.pipeline",
        "task": "text-classification",
        "model": "here",
        "trust_remote_code": True,
    },
    "a function of timm": {"_target_": "timm.create_model", "model_name": "hf-hub:evil/model"},
    "a function of ours that writes": {
        "_target_": "da_framework.core.files.write_text",
        "path": "was_run",
        "text": "",
    },
    "a command of ours": {"_target_": "da_framework.cli.main.main", "arguments": ["list"]},
    "a logger, which writes": {
        "_target_": "da_framework.training.loggers.wandb.Wandb",
        "folder": "was_run",
    },
    "a class's attribute": {"_target_": "da_framework.methods.dann.DANN.load_state_dict"},
    "a layer's attribute": {"_target_": "torch.nn.Linear.forward"},
    "in a list": [{"a": [{"_target_": "os.system", "command": "touch was_run"}]}],
    "the environment": "${oc.env:HOME}",
    "by way of a module of ours": {"_target_": "da_framework.cli.main.os.system"},
    "a function of torch": {"_target_": "torch.hub.load", "repo_or_dir": "here"},
    "of nobody": {"_target_": "evil.Network"},
    "by what it was called once": {"_target_": "da_framework.loggers.Wandb", "folder": "was_run"},
    "a name that looks like one of ours": {"_target_": LOOKALIKE},
    "in a list of arguments": {
        "_target_": "torch.nn.Sequential",
        "_args_": [{"_target_": "os.mkdir", "_args_": ["was_run"]}],
    },
    "not at once": {"_target_": "os.mkdir", "_partial_": True, "_recursive_": False, "path": "a"},
    "in another mode": {"_target_": "os.mkdir", "_convert_": "object", "_mode_": "w"},
    "a name in a list": {"_target_": ["os.system"]},
    "a name that is a node": {"_target_": {"_target_": "evil.Network"}},
    "no name": {"_target_": None},
    "a model that fetches": {"_target_": "torchvision.models.resnet18", "weights": "DEFAULT"},
    "the same, by position": {"_target_": "torchvision.models.resnet18", "_args_": [True]},
    "code from a hub": {"_target_": "torch.nn.Linear", "x": {"trust_remote_code": 1}},
    "the environment in a key": {"${oc.env:HOME}": 1},
    "an escape for the terminal": {"_target_": "evil.\x1b[2JNetwork"},
    "far below": [{"a": [{"b": {"c": [{"_target_": "evil.Network"}]}}]}],
}
EVERYWHERE = 9
"""The first of them, which are tried at every place."""


def nested(levels: int) -> Any:
    """A node with a name far below."""
    node: Any = {"_target_": "evil.Network"}
    for _ in range(levels):
        node = {"a": [node]}
    return node


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a config, as a container and a key of it."""
    for key, value in list(node.items() if isinstance(node, Mapping) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


@pytest.fixture
def hostile(da: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose record can be rewritten, beside code that tells if it was imported."""
    plain(da)
    (da.folder / "evil.py").write_text("open('was_run', 'w')\n")
    (da.folder / "new.csv").write_text("a,b\n0.1,0.2\n")
    monkeypatch.syspath_prepend(da.folder)
    return Path(da.folder)


def built_config(folder: Path) -> dict[str, Any]:
    """The parts of a run's record that something is built from."""
    config = json.loads((folder / "run" / "result.json").read_text())["config"]
    return {key: part for key, part in config.items() if key not in UNUSED}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "run" / "result.json"
    record = json.loads(file.read_text())
    change(record["config"])
    file.write_text(json.dumps(record))


def backbone(value: Any) -> Callable[[dict[str, Any]], None]:
    """Puts something into the place of the backbone."""

    def change(config: dict[str, Any]) -> None:
        config["network"]["backbone"] = value

    return change


# the check alone


def test_no_payload_passes_wherever_it_stands(hostile: Path) -> None:
    config = built_config(hostile)
    check_record(config)
    spots = [*places(config)]
    assert len(spots) > 60
    before = set(sys.modules)
    for number, (name, payload) in enumerate(PAYLOADS.items()):
        # the first everywhere, the others at some places: what is checked is the same
        for container, key in spots if number < EVERYWHERE else spots[number::20]:
            kept, container[key] = container[key], payload
            with pytest.raises(InputError) as refused:
                check_record(config)
            container[key] = kept
            assert len(str(refused.value).splitlines()) == 1, name
            assert str(refused.value).isprintable(), name
    check_record(config)
    assert set(sys.modules) == before, "nothing is imported for it"


@pytest.mark.parametrize("levels", [30, 400])
def test_levels_without_end_are_refused(levels: int) -> None:
    with pytest.raises(InputError, match="more than 50 levels"):
        check_record({"network": nested(levels)})


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("dataset", "da_framework.datasets.folder.Folder"),
        ("trainer", "pytorch_lightning.Trainer"),
    ],
)
def test_what_reads_and_writes_stands_in_its_place_alone(place: str, target: str) -> None:
    check_record({place: {"_target_": target}})
    for part in {"network", "method", "term", "trainer", "dataset", "optimizer"} - {place}:
        with pytest.raises(UntypedError, match=target):
            check_record({part: {"_target_": target}})


def test_what_is_typed_counts_by_its_name_or_as_itself() -> None:
    class Net:
        """One of a person's own."""

    node = {"network": {"_target_": f"{__name__}.{Net.__qualname__}"}}
    with pytest.raises(UntypedError, match="Net"):
        check_record(node)
    check_record(node, trust=[Net])
    check_record(node, trust=[f"{__name__}.{Net.__qualname__}"])
    with pytest.raises(UntypedError):
        check_record({"network": {"_target_": f"{__name__}.{Net.__qualname__}.x"}}, trust=[Net])
    with pytest.raises(InputError, match="trust_remote_code"):  # which nobody's word allows
        check_record({"network": node["network"] | {"trust_remote_code": True}}, trust=[Net])


def test_all_names_are_said_at_once_with_the_word_that_allows_them() -> None:
    node = {"network": {"a": {"_target_": "mylib.A"}, "b": [{"_target_": "mylib.B"}]}}
    with pytest.raises(UntypedError) as refused:
        check_record(node, what="the record of runs/a")
    assert str(refused.value) == (
        "the record of runs/a names mylib.A (config.network.a), mylib.B (config.network.b.0), "
        "which neither an installed config of this part names nor a list of layers and models: "
        "install the plugin that it is of; if you know what it is, type it again: "
        "trust=[mylib.A,mylib.B]"
    )
    check_record(node, trust=refused.value.names)


def test_a_name_that_nobody_can_type_is_not_offered() -> None:
    for name in ("evil.\x1b[2J", "x" * 3000):
        with pytest.raises(UntypedError) as refused:
            check_record({"network": {"_target_": name}})
        assert "trust=" not in str(refused.value)
        assert len(str(refused.value)) < 500


@pytest.mark.parametrize("old", MODULES)
def test_names_of_before_allow_no_more_than_names_of_now(old: str) -> None:
    for ending in ("", ".x", ".os.system"):
        config = moved_config({"network": {"_target_": f"da_framework.{old}{ending}"}})
        name = config["network"]["_target_"]
        if name not in installed_targets()[""]:
            with pytest.raises(UntypedError):
                check_record(config)
    assert not any(name.startswith(f"da_framework.{old}.") for name in installed_targets()[""])


# what there is passes


@pytest.mark.parametrize("file", CHOICES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_choice_may_be_named(file: Path) -> None:
    part: Any = yaml.safe_load(file.read_text())
    text = json.dumps({file.parent.name: part}).replace("${", "")  # a record's are resolved
    check_record(json.loads(text))


def test_a_whole_config_may_be_named() -> None:
    config = compose()
    check_record({key: part for key, part in config.items() if key not in UNUSED})


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_all_that_our_records_name_may_be_named(file: Path) -> None:
    apart = "agreement benchmark gains fine_tuning kills labels power_cuts streams validity"
    if file.stem.startswith(tuple(apart.split())):
        pytest.skip("holds no records of runs")
    records = json.loads(file.read_text())
    if isinstance(records, dict):
        pytest.skip("holds what a function has computed")
    for record in records:
        config = moved_config(record["config"])
        check_record({key: part for key, part in config.items() if key not in UNUSED})
        assert moved_config(config) == config


def test_lists_name_what_there_is() -> None:
    for module, names in LIBRARIES.items():
        for name in names:
            assert callable(getattr(import_module(module), name)), name


def test_a_plugin_s_configs_count_and_its_experiments_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for group in ("method", "experiments"):
        (tmp_path / group).mkdir()
    (tmp_path / "method" / "foo.yaml").write_text("_target_: my_da.methods.foo.Foo\n")
    experiment = tmp_path / "experiments" / "mine.yaml"
    experiment.write_text("network:\n  backbone: {_target_: my_da.evil.Net}\n")
    node = {"method": {"_target_": "my_da.methods.foo.Foo"}}
    with pytest.raises(InputError, match="my_da"):
        check_record(node)
    roots = [*config_roots(), ("my_da", tmp_path)]
    monkeypatch.setattr(allowlist, "config_roots", lambda: iter(roots))
    installed_targets.cache_clear()
    try:
        check_record(node)
        for name in ("my_da.methods.foo.os.system", "my_da.evil.Net"):
            with pytest.raises(InputError, match="my_da"):
                check_record({"method": {"_target_": name}})
        with pytest.raises(InputError, match=r"mine\.yaml names my_da\.evil\.Net"):
            read_experiment(experiment)
    finally:
        installed_targets.cache_clear()


# what else a file brings


def test_every_experiment_of_ours_names_what_it_may() -> None:
    for file in find_experiments().values():
        check_experiment(OmegaConf.to_container(OmegaConf.load(file)), file)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "node",
    [
        {"trust": ["evil.Network"]},
        {"network": {"backbone": {"_target_": "evil.Network"}}},
        {"hydra": {"callbacks": {"x": {"_target_": "evil.Network"}}}},
        {"callback": {"x": {"_target_": "os.mkdir", "path": "was_run"}}},
    ],
    ids=str,
)
def test_an_experiment_names_no_more_than_a_record(
    da: Any, node: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(node))
    monkeypatch.setattr("da_framework.results.experiments.find_experiments", lambda: {"mine": file})
    ended = da("train", "-m", "experiments=mine")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended
    assert ended.err.startswith(str(file))


def test_no_pickled_config_is_run_again(da: Any) -> None:
    for word in ("--experimental-rerun", "--experimental-rerun=a.pkl", "--exp"):
        ended = da("train", word, "config.pickle")
        assert ended.code == 2
        assert "loads a pickle" in ended.err


# the commands


@cache
def two_moons() -> Any:
    """A data set with a few labels."""
    return compose("dataset=two_moons", "dataset.labels_per_class=3")["dataset"]


READERS: dict[str, Callable[[], object]] = {
    "evaluate": lambda: evaluate(run="run", pick="last", data_dir=None, dataset={}),
    "predict": lambda: predict(
        run="run", pick="last", out="out.csv", probabilities=False, dataset={"root": "new.csv"}
    ),
    "export": lambda: export(run="run", pick="last", out=None, formats=["pt2"]),
    "rank": lambda: rank(
        run=["run"], pick="last", by="leep", out=None, data_dir=None, dataset=two_moons()
    ),
    "load": lambda: da_framework.load("run"),
    "teachers": lambda: load_teachers(["run"], (2,)),
    "audit": lambda: gather_pool(
        ["run", "other"], pick="last", dataset={"root": "new.csv"}, data_dir=None, trust=()
    ),
    "audit of its own target": lambda: gather_pool(
        ["run", "other"], pick="last", dataset={}, data_dir=None, trust=()
    ),
}
"""What the commands do that build from a record, without Hydra before it."""


@pytest.mark.parametrize("reader", READERS)
def test_no_payload_runs(hostile: Path, reader: str) -> None:
    kept = (hostile / "run" / "result.json").read_text()
    for name, payload in PAYLOADS.items():
        rewrite(hostile, backbone(payload))
        with pytest.raises(InputError, match="the record of run "):
            READERS[reader]()
        assert not (hostile / "was_run").exists(), name
        assert {file.name for file in hostile.iterdir()} == {"run", "evil.py", "new.csv"}
        (hostile / "run" / "result.json").write_text(kept)


COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "evaluate": (2, ("run=run",)),
    "stream": (2, ("run=run", "stream_method=frozen")),
    "predict": (2, ("run=run", "dataset.root=new.csv", "dataset=table")),
    "export": (2, ("run=run", "formats=[pt2]")),
    "rank": (2, ("run=[run]", "dataset=two_moons", "dataset.labels_per_class=3")),
    "audit": (2, ("run=[run,other]",)),
    "teachers": (2, ("method=distillation", "dataset=two_moons", "teachers=[run]")),
    "init_from": (0, ("dataset=two_moons", "init_from=run", "steps=2")),
    "train": (0, ("dataset=two_moons", "hydra.run.dir=run", "steps=2")),
    "doctor": (0, ("run",)),
    "report": (0, ("run", "--html", "page.html")),
    "reproduce": (1, ("dann_2016/digits",)),  # its cells are not run
    "search": (0, ("method=dann,mmd", "trials=1", "folder=searched", "dataset=two_moons")),
    "sync": (0, ("run",)),
}
"""Every command that reads a run, with how it ends: those that build nothing do not mind."""
READ_NO_RUN = {"check", "data check", "features", "list", "new-method", "shift"}
TRAINED = ("network=mlp", "logger=[]", "callback=[]")


@pytest.mark.parametrize("reader", READERS)
def test_a_record_without_end_is_one_line(hostile: Path, reader: str) -> None:
    text = (hostile / "run" / "result.json").read_text()
    for levels in (60, 900, 100_000):
        deep = "[" * levels + "]" * levels
        (hostile / "run" / "result.json").write_text(
            text.replace('"dropout": 0.0', f'"dropout": {deep}')
        )
        with pytest.raises(InputError) as refused:
            READERS[reader]()
        assert len(str(refused.value).splitlines()) == 1


def copy_run(table: Experiment, overrides: object) -> None:
    """The run, in the place of those of a table, and none in that of what it begins with."""
    if table.name == "dann_2016/digits":
        shutil.copytree("run", table.folder / "run")


def copy_trial(self: Search, arguments: list[str], pruning: object) -> tuple[int, str]:
    """The run, in the place of a trial."""
    shutil.copytree("run", arguments[-1].removeprefix("hydra.run.dir="))
    return 0, ""


def test_no_command_is_left_out() -> None:
    """``init_from`` and ``teachers`` are keys of ``da train``."""
    assert {*COMMANDS} - {"init_from", "teachers"} | READ_NO_RUN == {*main.COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_what_a_record_names(
    da: Any, hostile: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(config: dict[str, Any]) -> None:
        for part in ("method", "dataset", "network", "validator", "optimizer", *UNUSED):
            config[part] = dict(config.get(part) or {}) | {"x": {"_target_": "evil.Network"}}
        backbone(PAYLOADS["a function of ours that writes"])(config)
        config["trust"] = ["evil.Network"]  # which is no person's word

    rewrite(hostile, change)
    code, words = COMMANDS[command]
    monkeypatch.setattr(reproduce, "run_sweep", copy_run)
    monkeypatch.setattr(Search, "train", copy_trial)
    trains = command in ("teachers", "init_from", "train")
    ended = da(*(("train", *TRAINED) if trains else (command,)), *words)
    assert ended.code == code, ended
    assert not (hostile / "was_run").exists()
    if code == 2:
        assert ended.err.startswith("the record of run names ")
        typed = ended.err.rpartition("trust=[")[2].rstrip("]'\n").split(",")
        assert {*typed} == {"evil.Network", "da_framework.core.files.write_text"}
        assert len(ended.err.splitlines()) == 1


def test_the_command_that_is_said_works(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (da.folder / "mylib.py").write_text(
        "from torch import nn\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self, shape):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(shape[0], 8), nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(da.folder)
    node = "network.backbone={_target_: mylib.Net, _partial_: true}"
    keys = ("dataset=two_moons", "steps=5", "logger=[]", "callback=[]", "hydra.run.dir=run")
    small = ("network=identity", "network.bottleneck=[4]", f"++{node}")
    assert da("train", *keys, *small).code == 0
    refused = da("evaluate", "run=run", "pick=chosen").err
    assert "mylib.Net (config.network.backbone)" in refused
    command = refused.partition("type it again: ")[2].strip()
    assert command == "da evaluate run=run pick=chosen 'trust=[mylib.Net]'"
    assert da("evaluate", "run=run", "pick=chosen", "trust=[mylib.Net]").code == 0
    net = import_module("mylib").Net
    assert evaluate(run="run", pick="last", data_dir=None, dataset={}, trust=[net])["rows"]
