"""MLflow by its own client: stores of files and of SQLite, and servers that are not there."""

import csv
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from da_framework.callbacks.base import Table
from da_framework.config import plugins
from da_framework.core.errors import InputError
from da_framework.results.folder import RunFolder
from da_framework.training.loggers.mlflow import Mlflow, flatten, send_verified
from da_framework.training.run_log import close_loggers
from tests.conftest import SMALL, commanding
from tests.killed import Killed, die_at_steps

pytest.importorskip("mlflow", reason="needs mlflow-skinny")

from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.filterwarnings("ignore:.*noload")  # MLflow's own, with SQLAlchemy 2.1

WATCHED = (
    *(override for override in SMALL if not override.startswith(("logger", "callback"))),
    *("evaluate_every=5", "flush_every=2", "logger=mlflow", "callback=[confusion]"),
)
"""A small run with one picture and MLflow."""


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)

    def asked(*message: object, **keys: object) -> str:
        raise AssertionError(f"asked for {message}")

    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr("getpass.getpass", asked)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of SQLite without a run, which takes MLflow seconds to make."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["file", "sqlite"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty store."""
    monkeypatch.chdir(tmp_path)
    if request.param == "file":
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # for the client of the test
        return f"file:{tmp_path / 'store'}"
    shutil.copy(request.getfixturevalue("empty_store"), tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def open_store(uri: str) -> Any:
    """MLflow's own client, which some versions give types and others not."""
    return MlflowClient(uri)


def logger(folder: Path, uri: str | None, **keys: Any) -> Mlflow:
    given: dict[str, Any] = {
        **{"experiment": "e", "sweep": None, "tags": {"method": "dann"}},
        **{"checkpoints": True, "patience": 2.0},
    }
    return Mlflow(folder=str(folder), uri=uri, **(given | keys))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        r.getMessage()
        for r in caplog.records
        if r.name.startswith("da_framework") and r.levelno >= logging.WARNING
    ]


def points(client: Any, run_id: str | None) -> dict[str, list[tuple[int, float]]]:
    """Every figure of a run, by name: its steps and values."""
    names = client.get_run(run_id).data.metrics
    return {
        name: sorted((own.step, own.value) for own in client.get_metric_history(run_id, name))
        for name in names
    }


# the logger alone


def test_a_store_has_all_that_it_is_given(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, checkpoint = tmp_path / "run", tmp_path / "last.ckpt"
    checkpoint.write_bytes(b"weights")
    Image.new("RGB", (4, 4)).save(tmp_path / "curves.png")
    tracker = logger(folder, uri, name="first", notes="a try")
    tracker.log_hyperparams({"seed": 3, "method": {"weight": 0.5, "none": None}, "é": "x" * 9000})
    tracker.log_tag("domains", "mnist -> usps")
    for step in range(3):
        tracker.log_metrics({"train/source": 1.5 - step, "a|b": 0.25 * step}, step=10 * step)
    tracker.log_figures({"curves": tmp_path / "curves.png"}, 20)
    picture = np.full((2, 3, 3), 7, dtype=np.uint8)
    tracker.log_rows("classes", Table(["class", "picture"], [["a", picture], ["b", None]]), 20)
    tracker.log_rows("verdicts", Table(["words"], [["ill"]]), 20)
    tracker.log_checkpoints({checkpoint: ["last", "chosen"]})
    close_loggers([tracker], done=True)
    assert warnings(caplog) == []
    assert "".join(capfd.readouterr()).strip() == ""

    client = open_store(uri)
    run_id = (folder / "mlflow.id").read_text()
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert client.get_experiment_by_name("e").experiment_id == run.info.experiment_id
    known = {"seed": "3", "method.weight": "0.5", "method.none": "null", "_": "x" * 6000}
    assert run.data.params == known
    tags = run.data.tags
    assert (tags["method"], tags["domains"]) == ("dann", "mnist -> usps")
    assert tags["mlflow.note.content"] == "a try"
    assert points(client, run_id) == {
        "train/source": [(0, 1.5), (10, 0.5), (20, -0.5)],
        "a_b": [(0, 0.0), (10, 0.25), (20, 0.5)],
    }

    def read(path: str) -> bytes:
        return Path(client.download_artifacts(run_id, path)).read_bytes()

    assert json.loads(read("config.json"))["é"] == "x" * 9000
    assert read("curves.png") == (tmp_path / "curves.png").read_bytes()
    assert read(tags["checkpoint.last"]) == read(tags["checkpoint.chosen"]) == b"weights"
    table = json.loads(read("classes.json"))
    assert table["columns"] == ["class", "picture"]
    assert table["data"][1] == ["b", None]
    with Image.open(client.download_artifacts(run_id, table["data"][0][1]["filepath"])) as image:
        assert (np.asarray(image) == picture).all()
    listed = [own["path"] for own in json.loads(tags["mlflow.loggedArtifacts"])]
    assert listed == ["classes.json", "verdicts.json"]


def test_mlflow_itself_reads_the_tables(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracker = logger(tmp_path / "run", uri)
    tracker.log_rows("classes", Table(["class", "recall"], [["a", 0.5], ["b", None]]), 20)
    close_loggers([tracker], done=True)
    read = open_store(uri).load_table
    frame = read(tracker.experiment_id, "classes.json", run_ids=[tracker.run_id])
    assert frame["class"].tolist() == ["a", "b"]
    assert frame["recall"].tolist()[0] == 0.5


def test_a_run_that_goes_on_is_the_same_run_and_has_no_figure_twice(
    uri: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first = logger(folder, uri)
    first.log_hyperparams({"seed": 3, "code": "a"})
    for step in (0, 10, 20):
        first.log_metrics({"score": 0.5 + step}, step=step)
    first.send()  # and then it dies
    second = logger(folder, uri)
    assert second.run_id == first.run_id
    client = open_store(uri)
    assert client.get_run(first.run_id).info.status == "RUNNING"
    second.log_hyperparams({"seed": 3, "code": "b", "new": 1})
    for step in (0, 10, 20, 30):
        second.log_metrics({"score": 0.25 + step}, step=step)
    close_loggers([second], done=False)
    assert points(client, first.run_id) == {
        "score": [(0, 0.5), (10, 10.5), (20, 20.5), (30, 30.25)]
    }
    run = client.get_run(first.run_id)
    assert run.info.status == "FAILED"
    assert run.data.params == {"seed": "3", "code": "a", "new": "1"}


@pytest.mark.parametrize("name", ["0" * 32, "no name", ""])
def test_a_run_that_the_store_does_not_have_is_another(
    name: str, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "mlflow.id").write_text(name)
    tracker = logger(folder, uri)
    assert tracker.run_id
    assert tracker.run_id == (folder / "mlflow.id").read_text() != name
    expected = [f"MLflow has no run {name}: it is shown as another"] if name else []
    assert warnings(caplog) == expected
    open_store(uri).delete_run(tracker.run_id)
    assert logger(folder, uri).run_id != tracker.run_id


def test_jobs_of_a_sweep_are_below_one_run(uri: str, tmp_path: Path) -> None:
    jobs = [logger(tmp_path / "sweep" / name, uri, sweep="sweep") for name in ("a", "b")]
    jobs.append(logger(tmp_path / "sweep" / "a", uri, sweep="sweep"))  # goes on
    close_loggers(jobs, done=True)
    client = open_store(uri)
    runs = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert (parent.info.run_name, parent.info.status) == ("sweep", "FINISHED")
    below = {
        run.info.run_name: run.data.tags["mlflow.parentRunId"] for run in runs if run is not parent
    }
    assert below == dict.fromkeys(("a", "b"), parent.info.run_id)


def test_what_is_typed_is_what_a_parameter_says() -> None:
    given = {"a": {"b": True, "c": []}, "d": {}, "e": "x", "f": [1, 2.5], "g": 1e-4}
    assert dict(flatten(given)) == {
        **{"a.b": "true", "a.c": "[]", "d": "{}", "e": "x", "f": "[1, 2.5]", "g": "0.0001"}
    }


# what fails


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def use(tracker: Mlflow, folder: Path) -> None:
    """All that a run does with a tracker."""
    tracker.log_hyperparams({"seed": 3})
    tracker.log_metrics({"score": 1.0}, step=1)
    tracker.ensure()
    tracker.log_tag("domains", "a")
    tracker.log_figures({"curves": folder / "gone.png"}, 1)
    tracker.log_rows("classes", Table(["class"], [["a"]]), 1)
    tracker.log_checkpoints({folder / "gone.ckpt": ["last"]})
    assert tracker.experiment.anything(1) is None or tracker.client is not None
    close_loggers([tracker], done=True)


def test_a_server_that_is_not_there_costs_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:long-password@{host}")
    before = dict(os.environ)
    begun = time.perf_counter()
    use(logger(tmp_path / "run", None), tmp_path)
    assert time.perf_counter() - begun < 2
    (line,) = warnings(caplog)
    assert line.startswith(f"MLflow fails ({host} does not answer: ")
    assert line.endswith(
        f"the run goes on without it; its figures are in {tmp_path / 'run' / 'metrics.csv'}"
    )
    assert "long-password" not in line
    assert dict(os.environ) == before


def test_a_server_that_is_silent_costs_a_line_and_its_patience(
    silent: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = time.perf_counter()
    use(logger(tmp_path / "run", silent, patience=0.3), tmp_path)
    assert time.perf_counter() - begun < 2
    (line,) = warnings(caplog)
    assert "timed out" in line


@pytest.mark.parametrize("store", ["nothing://there", "sqlite:////proc/no/such/folder.db"])
def test_a_store_that_cannot_be_used_costs_a_line(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(logger(tmp_path / "run", store), tmp_path)
    (line,) = warnings(caplog)
    assert line.startswith("MLflow fails (")
    assert len(line.splitlines()) == 1


def test_where_a_store_fails_amid_training_goes_on(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(logger(tmp_path / "run", uri), tmp_path)
    (line,) = warnings(caplog)
    assert "gone.png" in line
    run_id = (tmp_path / "run" / "mlflow.id").read_text()
    assert points(open_store(uri), run_id) == {"score": [(1, 1.0)]}


def test_it_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(plugins, "distribution", gone)
    with pytest.raises(InputError, match=r"pip install 'da_framework\[mlflow\]'"):
        logger(tmp_path / "run", None)


# by da train


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """The folder in which a sweep of two runs was trained."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(empty_store, home / "mlflow.db")
    address = f"sqlite:///{home / 'mlflow.db'}"
    with commanding(home) as patch:
        from da_framework.cli.main import main

        patch.setenv("MLFLOW_TRACKING_URI", address)
        main(["train", "-m", *WATCHED, "method=mmd", "seed=1,2", "hydra.sweep.dir=sweeps/two"])
    return home


@pytest.mark.slow
def test_without_an_address_a_store_is_made_here_and_nothing_is_said_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "da_framework", "train", *WATCHED, "callback=[]"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "mlflow" not in (ended.stdout + ended.stderr).lower()
    client = open_store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'da_framework'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"


def rows(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What ``metrics.csv`` has, by name."""
    known: dict[str, list[tuple[int, float]]] = {}
    with (folder / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name != "step":
                    known.setdefault(name, []).append((int(row["step"]), float(value)))
    return {name: sorted(values) for name, values in known.items()}


def test_a_sweep_is_a_run_with_its_jobs_below_and_all_that_they_leave(swept: Path) -> None:
    client = open_store(f"sqlite:///{swept / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("da_framework").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert (len(runs), parent.info.run_name) == (3, "two")
    for run in runs:
        if run is parent:
            continue
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        folder = swept / "sweeps" / "two" / run.info.run_name
        assert (folder / "mlflow.id").read_text() == run.info.run_id
        record = json.loads((folder / "result.json").read_text())
        assert run.data.params["seed"] == str(record["config"]["seed"])
        assert run.data.params["method.weight"] == str(record["config"]["method"]["weight"])
        tags = {name: run.data.tags[name] for name in ("method", "dataset", "domains")}
        expected = {"method": "mmd", "dataset": "two_moons", "domains": "straight -> rotated"}
        assert tags == expected
        actual = points(client, run.info.run_id)
        target = record["target"]
        for pick in ("last", "chosen", "oracle"):
            assert actual.pop(f"target/{pick}") == [(20, target[pick]["accuracy"])]
        assert actual == rows(folder)
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert files >= {"config.json", "confusion.png", "checkpoints", "classes.json"}


def test_a_run_killed_and_continued_is_one_run(
    da: Any, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    shutil.copy(empty_store, da.folder / "mlflow.db")
    address = f"sqlite:///{da.folder / 'mlflow.db'}"
    overrides = (
        *(*SMALL[:2], "callback=[]", "logger=mlflow", f"logger.mlflow.uri={address}"),
        *("hydra.run.dir=run", "steps=12", "flush_every=2", "evaluate_every=4"),
        "checkpoint_every=4",
    )
    with monkeypatch.context() as patch:
        patch.setattr("da_framework.training.loggers.mlflow.BETWEEN", -1.0)
        die_at_steps(patch, 11)
        with pytest.raises(Killed):
            da("train", *overrides)
    folder = da.folder / "run"
    client, run_id = open_store(address), (folder / "mlflow.id").read_text()
    assert max(step for step, _ in points(client, run_id)["train/lr"]) == 10  # beyond step 8
    ended = da("train", *overrides)
    assert "continuing from" in ended.out
    assert "MLflow" not in ended.out + ended.err
    assert (folder / "mlflow.id").read_text() == run_id
    actual = {n: v for n, v in points(client, run_id).items() if not n.startswith("target/")}
    assert actual == rows(folder)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_password_in_the_address_is_left_to_the_environment(da: Any) -> None:
    ended = da("train", *WATCHED, "logger.mlflow.uri=http://user:long-password@host:5000")
    assert ended.code == 2
    assert "a password in an address" in ended.err
    assert "long-password" not in ended.err
    assert not list(da.folder.iterdir())


# afterwards


def two_runs(da: Any) -> None:
    for method, steps in (("source_only", 2), ("dann", 40)):
        words = [*WATCHED, "callback=[]", f"method={method}", f"steps={steps}"]
        words = [word for word in words if word not in ("steps=20", "callback=[confusion]")]
        assert da("train", *words, f"hydra.run.dir={method}").code == 0


@pytest.mark.slow
def test_what_an_audit_found_is_sent_to_the_run_in_the_store_of_this_person(
    da: Any, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    from tests.cli.test_audit import RUNS, answer, state

    shutil.copy(empty_store, da.folder / "mlflow.db")
    address = f"sqlite:///{da.folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    two_runs(da)
    assert da("audit", RUNS, "ask=400").code == 0
    answer()
    assert da("audit", RUNS).code == 0
    client = open_store(address)
    run = client.get_run((da.folder / "dann" / "mlflow.id").read_text())
    (pair,) = state()["pairs"]
    assert run.data.tags["verified/verdict"] == f"{pair['outcome']} beside source_only"
    found = [run.data.metrics[f"verified/gain/{end}"] for end in ("low", "high")]
    assert found == pytest.approx(pair["gain"])
    assert run.info.status == "FINISHED"


def finished(da: Any, address: str) -> Any:
    """A small run that was logged to a store, and its folder."""
    words = ("logger=mlflow", f"logger.mlflow.uri={address}", "callback=[confusion]")
    small = [word for word in SMALL if not word.startswith(("logger", "callback"))]
    assert da("train", *small, *words, "evaluate_every=5", "hydra.run.dir=run").code == 0
    return RunFolder(da.folder / "run")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is warned of, after a command in this process has taken the log's handlers away."""
    lines: list[str] = []
    log = logging.getLogger("da_framework.training.loggers.mlflow")
    monkeypatch.setattr(log, "warning", lambda text, *words: lines.append(text % words))
    return lines


def test_an_address_in_a_record_is_not_gone_to(da: Any, empty_store: Path, said: list[str]) -> None:
    (da.folder / "theirs").mkdir()
    shutil.copy(empty_store, da.folder / "theirs" / "store.db")
    address = f"sqlite:///{da.folder / 'theirs' / 'store.db'}"
    folder = finished(da, address)
    send_verified(folder, {"verified/labels": 3})
    assert "MLFLOW_TRACKING_URI names no store, and here is no mlflow.db" in said[-1]
    run = open_store(address).get_run(folder.mlflow_id.read_text())
    assert "verified/labels" not in run.data.metrics
    ended = da("sync", "run")
    assert ended.code == 2
    assert "run: not sent to MLflow: MLFLOW_TRACKING_URI names no store" in ended.out
    assert not (da.folder / "mlflow.db").exists()


def test_another_run_of_the_store_is_left_as_it_is(
    da: Any, empty_store: Path, said: list[str]
) -> None:
    shutil.copy(empty_store, da.folder / "mlflow.db")
    address = "sqlite:///mlflow.db"
    folder = finished(da, address)
    other = logger(da.folder / "other", address)
    other.log_hyperparams({"seed": 7, "steps": 20})
    close_loggers([other], done=True)
    own = folder.mlflow_id.read_text()
    for strange, why in ((str(other.run_id), "is another"), ("../x", "names no run")):
        folder.mlflow_id.write_text(strange)
        send_verified(folder, {"verified/labels": 3})
        assert why in said[-1]
    assert "verified/labels" not in open_store(address).get_run(other.run_id).data.metrics
    folder.mlflow_id.write_text(own)
    send_verified(folder, {"verified/labels": 3, "verified/verdict": "better", "none": None})
    run = open_store(address).get_run(own)
    assert run.data.metrics["verified/labels"] == 3
    assert run.data.tags["verified/verdict"] == "better"


def test_what_was_out_of_reach_is_sent_later(
    da: Any, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    folder = finished(da, nowhere)
    assert not folder.mlflow_id.exists()
    shutil.copy(empty_store, da.folder / "store.db")
    address = f"sqlite:///{da.folder / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    ended = da("sync", "run")
    assert (ended.code, ended.out) == (0, "run: sent to MLflow\n")
    client, run_id = open_store(address), folder.mlflow_id.read_text()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    record = da.record()
    assert run.data.params["steps"] == "20"
    actual = points(client, run_id)
    for pick in ("last", "chosen", "oracle"):
        assert actual.pop(f"target/{pick}") == [(20, record["target"][pick]["accuracy"])]
    assert actual == rows(folder.path)
    files = {file.path for file in client.list_artifacts(run_id)}
    assert files >= {"config.json", "confusion.png", "checkpoints"}
    again = da("sync", "run")
    assert (again.code, again.out) == (0, "run: MLflow has it already\n")
    assert points(client, run_id).keys() >= actual.keys()
