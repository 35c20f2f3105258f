"""The command line: help at once, and for everything unusable one message and exit code 2."""

import os
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
import torch

from da_framework.cli import main as cli
from da_framework.cli.hydra_app import MAY_SAY_MODE
from da_framework.cli.main import COMMANDS
from da_framework.config.catalog import option_names
from da_framework.config.plugins import conf_dir
from da_framework.datasets.digits_files import FILES

GONE = ("Traceback", "Error executing job with overrides")


def refused(da: Any, *overrides: str) -> str:
    """The message of a run that could not begin: all that is on stderr."""
    ended = da.train(*overrides)
    return message(da, ended)


def message(da: Any, ended: Any) -> str:
    assert ended.code == 2, ended
    for word in GONE:
        assert word not in ended.err + ended.out
    assert not list(da.folder.rglob("result.json"))
    return str(ended.err).rstrip("\n")


def lines(da: Any, *overrides: str) -> list[str]:
    return refused(da, *overrides).splitlines()


# what answers at once


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_every_command(da: Any, arguments: tuple[str, ...]) -> None:
    ended = da(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert all(name in ended.out for name in COMMANDS)


def test_the_config_of_a_job_is_shown_and_nothing_written(da: Any) -> None:
    for command, name in [("train", "Digits"), ("check", "TwoMoons")]:
        ended = da(command, "--cfg", "job", "method=mmd")
        assert (ended.code, ended.err) == (0, "")
        assert "_target_: da_framework.methods.mmd.MMD" in ended.out
        assert name in ended.out
    assert not list(da.folder.iterdir())


def test_a_sweep_has_no_config_of_one_job(da: Any) -> None:
    ended = da("train", "-m", "seed=1,2", "--cfg", "job")
    assert ended.code == 2
    assert ended.err.startswith("Only one of --run, --multirun, --cfg")
    assert not list(da.folder.iterdir())


def test_a_check_without_a_method_says_so(da: Any) -> None:
    ended = da("check", "~method")
    assert ended.code == 2
    assert "method" in ended.err
    assert "Traceback" not in ended.err


def test_list_names_what_there_is(da: Any) -> None:
    ended = da("list")
    assert (ended.code, ended.err) == (0, "")
    for name in ("dann", "two_moons", "lenet", "entropy", "digits_pair/alignment"):
        assert f"  {name} " in ended.out
    only = da("list", "network")
    assert "lenet" in only.out
    assert "dann" not in only.out


def test_an_unknown_command_shows_those_there_are(da: Any) -> None:
    ended = da("trian")
    assert ended.code == 2
    assert ended.err.startswith("'trian' is no command")
    assert all(name in ended.err for name in COMMANDS)


def test_the_module_is_the_command(
    da: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = da("list").out
    monkeypatch.setattr(sys, "argv", ["da", "list"])
    runpy.run_module("da_framework", run_name="__main__")
    assert capsys.readouterr().out == expected
    for point in entry_points(group="console_scripts", name="da"):
        assert point.value == "da_framework.cli.main:main"


@pytest.mark.parametrize(
    "arguments", [["list"], ["train", "--help"], ["train", "method=dan"]], ids=" ".join
)
def test_nothing_heavy_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'pytorch_lightning', 'wandb', 'sklearn'}\n"
        "atexit.register(lambda: print('imported:', sorted(heavy & set(sys.modules))))\n"
        "from da_framework.cli.main import main\n"
        f"main({arguments!r})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "imported: []" in ended.stdout, ended


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("da ", {name.split()[0] for name in COMMANDS}),
        ("da data ", {"check"}),
        ("da data check dataset=fo", {"dataset=folder"}),
        ("da ch", {"check"}),
        ("da train method=d", {"method=dann"}),
        ("da train method=", {"method=dann", "method=mmd", "method=source_only"}),
        ("da train optimizer.l", {"optimizer.lr="}),
        ("da check --multirun seed=1 method.coefficient.g", {"method.coefficient.gamma="}),
        ("da train dataset=two_moons dataset.ro", {"dataset.rows=", "dataset.rotation="}),
        ("da evaluate pi", {"pick="}),
        ("da rank dataset=two_moons dataset.labels", {"dataset.labels_per_class="}),
        ("da predict run=ru", {"run=runs/"}),
        ("da predict run=runs/", {"run=runs/first/", "run=runs/second/"}),
        ("da train init_from=runs/se", {"init_from=runs/second/"}),
        ("da predict run=nowhere/", set()),
        ("da report --", {"--html", "--out", "--validators"}),
        ("da reproduce --j", {"--jobs"}),
    ],
)
def test_the_shell_completes(
    da: Any, monkeypatch: pytest.MonkeyPatch, line: str, expected: set[str]
) -> None:
    for name in ("first", "second", ".hidden"):
        (da.folder / "runs" / name).mkdir(parents=True)
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    actual = set(da("-sc", "query=bash").out.split())
    assert expected <= actual
    begun = line.rpartition(" ")[2]
    assert all(word.startswith(begun) for word in actual)


# names and keys


@pytest.mark.parametrize(
    ("override", "nearest", "also"),
    [
        ("dataset=two_moon", "two_moons", "digits_full"),
        ("network=lnet", "lenet", "mlp"),
        ("validator=entrop", "entropy", "source_accuracy"),
        ("callback=[curve]", "curves", "tsne"),
    ],
)
def test_an_unknown_name_is_listed_among_those_there_are(
    da: Any, override: str, nearest: str, also: str
) -> None:
    group = override.partition("=")[0]
    (line,) = lines(da, override)
    start, _, there = line.partition("; there are ")
    assert start == f"{override.translate({91: None, 93: None})}: there is no such {group}"
    assert there.split(", ")[0] == nearest
    assert also in there.split(", ")


def test_of_a_large_group_the_nearest_names_are_said(da: Any) -> None:
    (line,) = lines(da, "method=dan")
    assert line.startswith("method=dan: there is no such method; nearest are dann, mdan, ")
    assert line.endswith(f"da list method shows all {len(option_names('method'))}")
    assert "source_only" not in line


def test_an_unknown_experiment_is_refused(da: Any) -> None:
    (line,) = lines(da, "experiments=digits_pair/alignmen")
    assert "nearest are digits_pair/alignment, " in line


def test_all_unknown_names_and_keys_are_said_at_once(da: Any) -> None:
    assert lines(da, "network=lnet", "validator=foo", "optimizer.lrr=1", "~method.wieght")[-2:] == [
        "optimizer.lrr: there is no such key; did you mean optimizer.lr?",
        "method.wieght: there is no such key; did you mean method.weight?",
    ]


def test_mistyped_keys_are_found_behind_pluses_too(da: Any) -> None:
    output = lines(da, "optimizer.lrr=1", "+method.wieght=1", "++steeps=3")
    assert [line.partition(":")[0] for line in output] == [
        "optimizer.lrr",
        "method.wieght",
        "steeps",
    ]
    nearest = [line.rpartition("did you mean ")[2].rpartition(".")[2] for line in output]
    assert nearest == ["lr?", "weight?", "steps?"]
    # and where there is nothing that Hydra itself refuses
    alone = {line.partition(":")[0] for line in lines(da, "+method.wieght=1", "++steeps=3")}
    assert alone == {"method.wieght", "steeps"}


def test_keys_of_the_chosen_parts_are_known(da: Any) -> None:
    chosen = ("method=mmd", "method.estimator=linear", "dataset.rows=100")
    assert lines(da, *chosen, "optimizer.lrr=1") == [
        "optimizer.lrr: there is no such key; did you mean optimizer.lr?"
    ]


def test_wrong_types_and_ranges_are_said_at_once(da: Any) -> None:
    output = lines(
        da,
        "optimizer.lr=abc",
        "steps=-3",
        "method.weight=-1",
        "seed=1.5",
        "dataset.batch_size.source=0",
        "method.coefficient.gamma=x",
        "trainer.precision=31",
    )
    wrong = {line.partition(":")[0]: line for line in output}
    assert wrong.keys() == {
        *("optimizer.lr", "steps", "method.weight", "seed", "dataset.batch_size.source"),
        *("method.coefficient.gamma", "trainer.precision"),
    }
    assert wrong["steps"].endswith("greater than or equal to 1, but it is -3")
    assert "but it is 'abc'" in wrong["optimizer.lr"]


@pytest.mark.parametrize(
    "override", ["optimizer.lr=[1", "steps=3,4", "steps", "optimizer={lr:", "method.hidden=[1,]]"]
)
def test_a_malformed_override_is_named(da: Any, override: str) -> None:
    assert override in refused(da, override)


def test_a_value_that_hydra_cannot_read_is_shown_as_one_types_it(da: Any) -> None:
    output = refused(da, "dataset=folder", "dataset.root=my phötos")
    assert "as text: " in output
    (quoted,) = shlex.split(output.partition("as text: ")[2])
    assert "phötos is not there" in refused(
        da, "dataset=folder", quoted, "dataset.source=[a]", "dataset.target=[b]"
    )


@pytest.mark.parametrize("part", ["method", "dataset", "network", "optimizer"])
def test_a_part_that_is_taken_away_is_named(da: Any, part: str) -> None:
    ended = da("train", *da.small, f"~{part}")
    assert ended.code == 2
    assert ended.err.startswith(f"{part}: input should be chosen by a name, as da list shows them")


def test_code_that_cannot_be_imported_is_named_once(da: Any) -> None:
    (line,) = lines(da, "dataset._target_=no_such_package.Foo")
    assert line == "dataset: cannot import no_such_package.Foo: No module named 'no_such_package'"


# data


def test_missing_data_is_told_with_all_a_person_needs(da: Any) -> None:
    output = refused(da, "dataset=digits_full", "data_dir=nowhere", "network=convnet")
    folder = da.folder / "nowhere"
    for name, origin in FILES.items():
        if name != "usps.npz":
            assert f"{name} ({origin.size} bytes, sha256 {origin.sha256}): {origin.what}" in output
    assert f"python scripts/prepare_digits.py --data-dir {folder}" in output
    assert "DA_DATA" in output


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive at all"])
def test_a_damaged_file_is_named(da: Any, content: bytes) -> None:
    folder = da.folder / "data" / "digits"
    folder.mkdir(parents=True)
    for name in ("mnist.npz", "usps.npz"):
        (folder / name).write_bytes(content)
    (line,) = lines(da, "dataset=digits_full", "dataset.target=[usps]", "network=convnet")
    assert str(folder / "mnist.npz") in line
    assert "damaged or truncated: fetch it again" in line


def test_a_file_with_another_hash_is_named(da: Any) -> None:
    import numpy as np

    folder = da.folder / "data" / "digits"
    folder.mkdir(parents=True)
    for name, side in (("mnist", 28), ("usps", 16)):
        arrays = {
            f"{kind}_{part}": np.zeros((20, side, side) if kind == "x" else 20, np.uint8)
            for kind in "xy"
            for part in ("train", "test")
        }
        np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    (line,) = lines(da, "dataset=digits_full", "dataset.target=[usps]", "network=convnet")
    assert f"{folder / 'mnist.npz'} is not mnist as published: the sha256 of x_train" in line


@pytest.mark.parametrize(
    ("overrides", "arguments"),
    [
        (["dataset.source=[curved]"], "the domains are straight, halfway, rotated"),
        (["dataset.target=[straigt]"], "dataset.target has 'straigt'"),
        (["dataset.target=[straight]"], "straight is source and target at once"),
        (["dataset.target=[]"], "dataset.target is empty"),
        (["dataset.source=[]"], "needs the role source, but dataset.source is empty"),
        (["dataset.source=[]"], "methods that do without: aad, bss, co_tuning"),
        (["method=adabn"], "network.backbone.batch_norm=true"),
        (["method=adda"], "init_from=runs/"),
        (["method=joint"], "set dataset.labels_per_class=3"),
        (["dataset.val=0.0"], "leaves no target sample to validate on"),
        (
            ["method=joint", "dataset.labels_per_class=10000"],
            "dataset.labels_per_class=10000, but rotated has only ",
        ),
        (["dataset.batch_size.source=0"], "dataset.batch_size.source: "),
        (["network=lenet"], "a convolutional network needs images"),
        (["dataset=digits", "dataset.size=8", "network=lenet"], "8x8 pixels are too small"),
        (["dataset=digits", "dataset.target=[mnistm]"], "dataset=digits_full has it"),
        (["trainer.devices=0"], "trainer.devices=0: at least one device is needed"),
        (["trainer.accelerator=tpu"], "trainer: "),
        (["trainer.accelerator=nonsense"], "nonsense"),
        (["trainer.devices=3", "trainer.accelerator=cpu"], "64 cannot be shared by 3 processes"),
        (
            ["trainer.devices=2", "trainer.accelerator=cpu", "trainer.strategy=ddp_fork"],
            "trainer.strategy=ddp keeps them",
        ),
        (["trainer.precision=16-mixed", "trainer.accelerator=cpu"], "bf16-mixed does without"),
        (["tf32=all", "trainer.accelerator=cpu"], "tf32=all needs a GPU; "),
        (["tf32=some"], "tf32: "),
        (["channels_last=true"], "the network has no convolution of images"),
        (["compile=true", "method=tca", "network=identity"], "TCA trains no network"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_what_cannot_be_trained_is_said_in_one_line(
    da: Any, overrides: list[str], arguments: str
) -> None:
    (line,) = lines(da, *overrides)
    assert arguments in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such an accelerator")
@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_an_accelerator_that_is_not_there_is_refused(da: Any, accelerator: str) -> None:
    (line,) = lines(da, f"trainer.accelerator={accelerator}")
    assert line.startswith("trainer: ")


BROKEN = """
from dataclasses import replace
import numpy as np
from da_framework.datasets.two_moons import TwoMoons

class Moons(TwoMoons):
    '''Two moons, damaged.'''
    def load(self, name):
        domain = super().load(name)
        if name == "rotated":
            {damage}
        return domain
"""


@pytest.mark.parametrize(
    ("damage", "arguments"),
    [
        ("domain.x[[3, 7], 0] = np.nan", "row 3 of rotated is NaN or infinite (2 such rows)"),
        ("domain.x[5, 1] = np.inf", "row 5 of rotated is NaN or infinite (1 such rows)"),
        ("domain.y[4] = 2", "row 4 of rotated has the label 2; labels are 0 to 1 (upper, lower)"),
        ("domain.y[4] = -1", "row 4 of rotated has the label -1"),
        ("domain = domain._replace(y=domain.y[1:])", "rotated: 1000 inputs but 999 labels"),
    ],
)
def test_unusable_rows_are_named(
    da: Any, monkeypatch: pytest.MonkeyPatch, damage: str, arguments: str
) -> None:
    (da.folder / "broken_moons.py").write_text(BROKEN.format(damage=damage))
    monkeypatch.syspath_prepend(da.folder)
    monkeypatch.delitem(sys.modules, "broken_moons", raising=False)
    (line,) = lines(da, "dataset._target_=broken_moons.Moons")
    monkeypatch.delitem(sys.modules, "broken_moons")
    assert arguments in line


def test_a_folder_that_cannot_be_written_is_named(da: Any) -> None:
    (da.folder / "file").touch()
    ended = da("train", *da.small, "hydra.run.dir=file/run")
    assert message(da, ended) == "file/run: Not a directory"


# what goes wrong later


def test_a_diverging_run_says_where_and_keeps_the_last_good_weights(da: Any) -> None:
    ended = da.train("optimizer.lr=1e30", "checkpoint_every=1")
    assert ended.code == 3
    last = da.folder / "run" / "checkpoints" / "last.ckpt"
    assert ended.err.startswith("step 1: the term source is nan; ")
    assert f"last good checkpoint: {last}" in ended.err
    assert "optimizer.lr" in ended.err
    assert all(word not in ended.err + ended.out for word in GONE)
    assert all(w.isfinite().all() for w in da.weights().values())
    assert not list(da.folder.rglob("result.json"))


def test_a_run_that_diverges_before_its_first_checkpoint_says_so(da: Any) -> None:
    ended = da.train("optimizer.lr=1e30")
    assert ended.code == 3
    assert "no checkpoint was due yet" in ended.err
    assert not list(da.folder.rglob("*.ckpt"))


def test_several_devices_in_a_sweep_are_refused_with_what_to_add(da: Any) -> None:
    ended = da("train", "-m", *da.small, "trainer.devices=2", "seed=1,2")
    assert ended.code == 2
    assert ended.err.count("  trainer.devices: several devices need a process of their own") == 2
    assert "add hydra/launcher=local, or slurm on a cluster" in ended.err
    assert "Traceback" not in ended.err
    assert not list(da.folder.rglob("result.json"))


def test_an_unknown_name_in_a_sweep_is_listed(da: Any) -> None:
    ended = da("train", *da.small, "-m", "method=dann,mmd1", "optimizer.lrr=1,2")
    output = message(da, ended).splitlines()
    assert output[0].startswith("method=mmd1: there is no such method; nearest are mmd, ")
    assert output[1].startswith("optimizer.lrr: there is no such key")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m da_framework list"
    arguments = f"({command}; echo ended with $? >&2) | head -n 1"
    ended = subprocess.run(["bash", "-c", arguments], capture_output=True, text=True, check=True)
    assert ended.stdout == "method=\n"
    assert ended.stderr == "ended with 0\n"


# one file and one line


def block(name: str) -> str:
    """A part of CONTRIBUTING's code, as it stands between its marks."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    inside = text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    return inside.partition("```python\n")[2].partition("```")[0]


def test_a_command_is_one_file_and_one_line(tmp_path: Path) -> None:
    package = Path(cli.__file__).parent
    copied = tmp_path / "da_framework"
    shutil.copytree(package.parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "cli" / "hello.py").write_text(block("new_command"))
    table = (copied / "cli" / "main.py").read_text()
    last = '    "new-method": Command('
    assert table.count(last) == 1
    (copied / "cli" / "main.py").write_text(table.replace(last, block("new_command_line") + last))

    def da(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "da_framework", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            check=True,
        ).stdout

    assert da("hello", "moons") == "hello, moons\n"
    assert "hello       greet somebody: da hello NAME" in da("--help")
    line = {"COMP_LINE": "da he", "COMP_POINT": "5"}
    completed = subprocess.run(
        [sys.executable, "-m", "da_framework", "-sc", "query=bash"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)} | line,
        check=True,
    )
    assert completed.stdout.split() == ["hello"]


def test_every_command_is_a_module_with_a_main() -> None:
    for name, command in COMMANDS.items():
        source = (Path(cli.__file__).parent / f"{command.module}.py").read_text()
        assert "\ndef main(" in source, name
        assert (conf_dir() / f"{command.module}.yaml").is_file() or not command.hydra


def test_the_version_is_said(da: Any) -> None:
    ended = da("--version")
    assert ended.code == 0
    assert ended.out.startswith(f"da_framework {version('da_framework')} (Python 3.")


# how often a config is composed


@pytest.mark.parametrize(
    ("words", "times"),
    [((), 1), (("hydra.mode=RUN",), 2), (("hydra={mode: RUN}",), 2), (("+hydra.mode=RUN",), 2)],
    ids=["plain", "mode", "hydra", "added"],
)
def test_a_config_that_can_have_no_mode_is_composed_once(
    da: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], times: int
) -> None:
    from hydra._internal.hydra import Hydra

    compose, composed = Hydra.compose_config, []

    def counted(*own: Any, **keys: Any) -> Any:
        composed.append(keys)
        return compose(*own, **keys)

    monkeypatch.setattr(Hydra, "compose_config", counted)
    da.train(*words)
    assert len(composed) == times


@pytest.mark.parametrize(
    "word", ["experiments=jda_2013/digits", "+experiments=x", "-m", "hydra={}"]
)
def test_what_may_make_a_sweep_of_a_run_is_looked_at(word: str) -> None:
    assert MAY_SAY_MODE.match(word)


@pytest.mark.parametrize("word", ["method=dann", "seed=1,2", "hydra.run.dir=x", "dataset.hydra=1"])
def test_what_cannot_is_not(word: str) -> None:
    assert not MAY_SAY_MODE.match(word)
