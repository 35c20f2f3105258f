"""What a record may name: nothing from elsewhere is built, whichever command reads it."""

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from da_framework.config.allowlist import LIBRARIES, check_record, installed_targets
from da_framework.config.moved import moved_config
from da_framework.config.plugins import conf_dir, config_roots
from da_framework.core.errors import InputError
from da_framework.results.tables import read_kept
from da_framework.training.build import compose
from da_framework.training.restore import UNUSED
from tests.shared_runs import plain

METHODS = sorted(path.stem for path in (conf_dir() / "method").glob("*.yaml"))
RECORDED = sorted((conf_dir() / "experiments").rglob("*.recorded.json"))

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
    "a class's attribute": {"_target_": "da_framework.methods.dann.DANN.head_classes"},
    "by way of a module of ours": {"_target_": "da_framework.cli.main.os.system"},
    "a function of torch": {"_target_": "torch.hub.load", "repo_or_dir": "here"},
    "of nobody": {"_target_": "evil.Network"},
    "in a list": [{"a": [{"_target_": "os.system", "command": "touch was_run"}]}],
    "a model that fetches": {"_target_": "torchvision.models.resnet18", "weights": "DEFAULT"},
    "the environment": "${oc.env:HOME}",
}
PLACES = (
    ("network", "backbone"),
    ("network", "bottleneck"),
    ("method", "coefficient"),
    ("method", "hidden"),
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "evaluate": ("run=run",),
    "predict": ("run=run", "dataset.root=new.csv", "dataset=table"),
    "export": ("run=run", "formats=[pt2]"),
    "rank": ("run=[run]", "dataset=two_moons", "dataset.labels_per_class=3"),
    "train": (
        *("method=distillation", "dataset=two_moons", "network=mlp", "steps=2", "logger=[]"),
        *("callback=[]", "teachers=[run]", "hydra.run.dir=taught"),
    ),
}


@pytest.fixture
def hostile(da: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose record can be rewritten, beside code that tells if it was imported."""
    plain(da)
    (da.folder / "evil.py").write_text("open('was_run', 'w')\n")
    (da.folder / "new.csv").write_text("a,b\n0.1,0.2\n")
    monkeypatch.syspath_prepend(da.folder)
    return Path(da.folder)


def rewrite(folder: Path, place: tuple[str, str], value: Any) -> None:
    file = folder / "run" / "result.json"
    record = json.loads(file.read_text())
    record["config"][place[0]][place[1]] = value
    file.write_text(json.dumps(record))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_payload_runs_wherever_it_stands(da: Any, hostile: Path, command: str) -> None:
    kept = (hostile / "run" / "result.json").read_text()
    places = PLACES if command == "evaluate" else PLACES[:1]  # all go through one check
    for name, payload in PAYLOADS.items():
        for place in places:
            rewrite(hostile, place, payload)
            ended = da(command, *COMMANDS[command])
            assert ended.code == 2, (name, place, ended)
            assert ended.err.startswith("the record "), (name, place, ended.err)
            assert not (hostile / "was_run").exists(), (name, place)
            (hostile / "run" / "result.json").write_text(kept)
    assert da(command, *COMMANDS[command]).code == 0, "the record as it was"


def test_the_place_and_the_way_out_are_said(da: Any, hostile: Path) -> None:
    rewrite(hostile, ("network", "backbone"), {"_target_": "mylib.Net"})
    message = da("evaluate", "run=run").err
    assert "mylib.Net (config.network.backbone)" in message
    assert "trust=[mylib.Net]" in message


def test_what_is_typed_may_name_more(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (da.folder / "mylib.py").write_text(
        "from torch import nn\n\nclass Net(nn.Sequential):\n"
        "    def __init__(self, shape):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(shape[0], 8), nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(da.folder)
    backbone = "network.backbone={_target_: mylib.Net, _partial_: true}"
    keys = ("dataset=two_moons", "steps=5", "logger=[]", "callback=[]", "hydra.run.dir=run")
    small = ("network=identity", "network.bottleneck=[4]", f"++{backbone}")
    assert da("train", *keys, *small).code == 0
    assert "trust=[mylib.Net]" in da("evaluate", "run=run").err
    assert da("evaluate", "run=run", "trust=[mylib.Net]").code == 0


def test_a_record_does_not_trust_for_others(da: Any, hostile: Path) -> None:
    file = hostile / "run" / "result.json"
    record = json.loads(file.read_text())
    record["config"]["trust"] = ["evil.Network"]
    record["config"]["network"]["backbone"] = {"_target_": "evil.Network"}
    file.write_text(json.dumps(record))
    assert da("evaluate", "run=run").code == 2
    assert not (hostile / "was_run").exists()


def test_what_nothing_is_built_from_is_not_even_imported(da: Any, hostile: Path) -> None:
    file = hostile / "run" / "result.json"
    record = json.loads(file.read_text())
    record["config"] |= {part: {"x": {"_target_": "evil.Thing"}} for part in UNUSED}
    file.write_text(json.dumps(record))
    assert da("evaluate", "run=run").code == 0
    assert not (hostile / "was_run").exists()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_ours_may_be_named(method: str) -> None:
    config = compose(f"method={method}")
    check_record({key: part for key, part in config.items() if key not in UNUSED})


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_all_that_our_records_name_may_be_named(file: Path) -> None:
    if file.stem.startswith(("benchmark", "gains", "fine_tuning")):
        pytest.skip("holds no records of runs")
    for record in read_kept(file):
        check_record({key: part for key, part in record["config"].items() if key not in UNUSED})
        assert moved_config(record["config"]) == record["config"]


def test_lists_name_what_there_is() -> None:
    for module, names in LIBRARIES.items():
        for name in names:
            assert callable(getattr(import_module(module), name)), name


def test_a_plugin_s_configs_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "foo.yaml").write_text("_target_: my_da.methods.foo.Foo\n")
    node = {"method": {"_target_": "my_da.methods.foo.Foo"}}
    with pytest.raises(InputError, match="my_da"):
        check_record(node)
    roots = [*config_roots(), ("my_da", tmp_path)]
    monkeypatch.setattr("da_framework.config.allowlist.config_roots", lambda: iter(roots))
    installed_targets.cache_clear()
    try:
        check_record(node)
        with pytest.raises(InputError, match="my_da"):
            check_record({"method": {"_target_": "my_da.methods.foo.os.system"}})
    finally:
        installed_targets.cache_clear()


def test_nothing_is_downloaded_because_a_record_says_so(
    da: Any, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from da_framework.training.restore import find_run

    shutil.copytree(hostile / "run", hostile / "other")
    file = hostile / "other" / "result.json"
    record = json.loads(file.read_text())
    record["config"]["dataset"] |= {"download": True, "mirrors": ["http://evil.example"]}
    file.write_text(json.dumps(record))
    dataset = find_run("other", pick="last", data_dir=None).config["dataset"]
    assert (dataset["download"], dataset["mirrors"]) == (False, [])
