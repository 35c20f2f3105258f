"""MLflow: a local store or a server, and training neither waits long for it nor ends with it."""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.loggers.logger import Logger

from da_framework.callbacks.base import Table
from da_framework.config.plugins import require_package
from da_framework.core.errors import one_line
from da_framework.core.files import wait_for_lock, write_text
from da_framework.core.secrets import redact
from da_framework.core.text import printable
from da_framework.core.types import Positive
from da_framework.results.folder import RunFolder
from da_framework.training.loggers.tracker import Tracker

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Parameters, or figures, that MLflow takes in one call."""
LONGEST = 6000
"""Characters of a parameter that MLflow keeps; the artifact ``config.json`` has all of them."""
BETWEEN = 2.0
"""Seconds between two sendings of figures."""
NO_NAME = re.compile(r"[^\w/. :-]", re.ASCII)
"""What the names of figures and parameters may not hold."""
TABLES = "mlflow.loggedArtifacts"
"""The tag by which MLflow knows which artifacts are tables."""


RUN_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
"""What may be the id of a run."""
TELLING = ("seed", "steps", "method._target_", "dataset._target_")
"""Parameters by which a run in the store is known to be that of a record."""
NO_ADDRESS = "MLFLOW_TRACKING_URI names no store, and here is no mlflow.db"
"""Why nothing is sent; the address of a record may be a stranger's."""


class Mlflow(MLFlowLogger, Tracker):
    """MLflow, for which training neither waits long nor ends.

    To callbacks that know it, it is Lightning's ``MLFlowLogger``; how it is begun, what it does
    when something fails and how it ends are its own. When it fails, the run goes on without it,
    which is said in one line.

    A run that goes on after a kill is the same run there, and no figure is there twice: of one name
    and step, the first stays. The jobs of a sweep are below one run, the sweep's.

    Args:
        experiment: of the run.
        uri: of the store; ``None``: as MLflow has it, ``MLFLOW_TRACKING_URI`` or its own store in
            the folder that one is in.
        folder: of the run.
        sweep: that it is a job of, by the name of its folder.
        tags: of the run.
        checkpoints: whether they are copied into the store.
        patience: seconds that a server may take for an answer.
        name: of the run; ``None``: its folder's.
        notes: on the run.

    Raises:
        InputError: MLflow is not installed.
    """

    def __init__(
        self,
        *,
        experiment: str,
        uri: str | None,
        folder: str,
        sweep: str | None,
        tags: dict[str, str],
        checkpoints: bool,
        patience: Positive,
        name: str | None = None,
        notes: str | None = None,
    ) -> None:
        require_package("logger=mlflow", "mlflow-skinny", "mlflow")
        # not Lightning's own, which would wait minutes for a server
        Logger.__init__(self)
        self.folder = Path(folder)
        self.sweep = sweep
        self.experiment_name = experiment
        self.run_name = printable(self.folder.name if name is None else name)
        self.given_tags = {key: printable(value) for key, value in tags.items()}
        if notes is not None:
            self.given_tags["mlflow.note.content"] = notes
        self.checkpoints = checkpoints
        self.patience = patience
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
        self.client: Any = None
        self.logged: set[tuple[str, int]] = set()
        self.waiting: list[Any] = []
        self.sent = time.monotonic()
        self.parent: str | None = None
        self.tables: list[dict[str, str]] = []
        self._run_id: str | None = None
        self._experiment_id: str | None = None
        if reason := why_unreachable(self.uri, patience=min(patience, 5.0)):
            self.give_up(reason)
            return
        try:
            with self.environment():
                self.begin()
        except Exception as error:  # the stores' have no type in common
            self.give_up(error)

    # what is logged

    @property
    def name(self) -> str:
        return self.experiment_name

    @property
    def version(self) -> str | None:
        return self._run_id

    @property
    def run_id(self) -> str | None:
        return self._run_id

    @property
    def experiment_id(self) -> str | None:
        return self._experiment_id

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def experiment(self) -> Any:
        """MLflow's client; where there is none any more, one that takes everything."""
        from lightning_fabric.loggers.logger import _DummyExperiment

        return _DummyExperiment() if self.client is None else self.client

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if self.client is None:
            return
        from mlflow.entities import Metric

        now, at = int(time.time() * 1000), step or 0
        for name, value in metrics.items():
            key = NO_NAME.sub("_", name)
            if (key, at) not in self.logged:
                self.logged.add((key, at))
                self.waiting.append(Metric(key, float(value), now, at))
        if time.monotonic() - self.sent > BETWEEN:
            self.send()

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # type: ignore[override]
        if self.client is None:
            return
        from mlflow.entities import Param

        given = {NO_NAME.sub("_", key): value for key, value in flatten(params)}

        def send(client: Any) -> None:
            known = client.get_run(self._run_id).data.params
            left = [Param(key, value) for key, value in given.items() if key not in known]
            for first in range(0, len(left), AT_ONCE):
                client.log_batch(self._run_id, params=left[first : first + AT_ONCE])
            client.log_dict(self._run_id, dict(params), "config.json")

        self.attempt(send)

    def log_tag(self, name: str, value: str) -> None:
        self.attempt(lambda client: client.set_tag(self._run_id, name, value))

    def log_figures(self, files: Mapping[str, Path], step: int) -> None:
        def send(client: Any) -> None:
            for file in files.values():
                client.log_artifact(self._run_id, str(file))

        self.attempt(send)

    def log_rows(self, name: str, table: Table, step: int) -> None:
        """Takes a table, which ``mlflow.load_table`` reads and MLflow's pages show."""
        file = f"{name}.json"
        self.tables.append({"path": file, "type": "table"})

        def send(client: Any) -> None:
            rows = [
                [self.send_picture(client, name, row, cell) for cell in cells]
                for row, cells in enumerate(table.rows)
            ]
            client.log_dict(self._run_id, {"columns": table.columns, "data": rows}, file)
            client.set_tag(self._run_id, TABLES, json.dumps(self.tables))

        self.attempt(send)

    def send_picture(self, client: Any, name: str, row: int, cell: Any) -> Any:
        """A cell as it stands in the table: a picture is a file beside it."""
        if not isinstance(cell, np.ndarray):
            return cell
        from PIL import Image

        with TemporaryDirectory() as place:
            file = Path(place) / f"{row}.png"
            Image.fromarray(cell).save(file)
            client.log_artifact(self._run_id, str(file), name)
        path = f"{name}/{row}.png"
        return {"type": "image", "filepath": path, "compressed_filepath": path}

    def log_checkpoints(self, files: Mapping[Path, Sequence[str]]) -> None:
        def send(client: Any, file: Path, names: Sequence[str]) -> None:
            client.log_artifact(self._run_id, str(file), "checkpoints")
            for name in names:
                client.set_tag(self._run_id, f"checkpoint.{name}", f"checkpoints/{file.name}")

        for file, names in files.items() if self.checkpoints else ():
            self.attempt(partial(send, file=file, names=names))

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Nothing: ``log_checkpoints`` sends them at the end."""

    def finalize(self, status: str = "success") -> None:
        """Nothing: ``finish`` ends the run, and says if that fails."""

    # what may fail

    def begin(self) -> None:
        """Finds the run that the folder names, or makes one."""
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):  # here, since its import sets them
            logging.getLogger(name).setLevel(logging.ERROR)
        client = MlflowClient(self.uri or None)
        self._experiment_id = find_experiment(client, self.experiment_name)
        if self.sweep is not None:
            above = next((p for p in self.folder.parents if p.name == self.sweep), self.folder)
            tags = {"sweep": self.sweep}
            with wait_for_lock(above / ".mlflow", "begins the run of the sweep"):
                file = above / ".mlflow" / "id"
                self.parent = self.find_run(client, file, name=self.sweep, tags=tags)[0]
        tags = self.given_tags | ({"mlflow.parentRunId": self.parent} if self.parent else {})
        file = RunFolder(self.folder).mlflow_id
        self._run_id, known = self.find_run(client, file, name=self.run_name, tags=tags)
        for key in known:
            points = client.get_metric_history(self._run_id, key)
            self.logged |= {(key, point.step) for point in points}
        self.client = client
        if urlparse(self.uri).scheme in ("http", "https"):
            place = f"{self.uri.rstrip('/')}/#/experiments/{self._experiment_id}"
            log.info("MLflow: %s/runs/%s", redact(place), self._run_id)

    def find_run(
        self, client: Any, file: Path, *, name: str, tags: Mapping[str, str]
    ) -> tuple[str, list[str]]:
        """The run that a file names, if the store has it, or a new one; and its figures' names."""
        from mlflow.exceptions import MlflowException

        run_id = file.read_bytes().decode(errors="replace").strip() if file.is_file() else ""
        if run_id:
            try:
                run = client.get_run(run_id)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise  # a server that fails, say
                log.warning("MLflow has no run %s: it is shown as another", run_id)
            else:
                if run.info.lifecycle_stage == "active":
                    client.update_run(run_id, status="RUNNING")
                    return run_id, list(run.data.metrics)
        run = client.create_run(self._experiment_id, tags=dict(tags), run_name=name)
        write_text(file, run.info.run_id)
        return run.info.run_id, []

    def send(self) -> None:
        """Sends the figures that wait for it."""
        waiting, self.waiting = self.waiting, []

        def send(client: Any) -> None:
            for first in range(0, len(waiting), AT_ONCE):
                client.log_batch(self._run_id, metrics=waiting[first : first + AT_ONCE])

        self.attempt(send)
        self.sent = time.monotonic()

    def attempt(self, act: Callable[[Any], object]) -> None:
        """Does something with the client: if that fails, the run goes on without it."""
        if self.client is not None:
            try:
                with self.environment():
                    act(self.client)
            except Exception as error:
                self.give_up(error)

    def give_up(self, why: object) -> None:
        """Goes on without MLflow."""
        log.warning(
            "MLflow fails (%s): the run goes on without it; its figures are in %s",
            one_line(redact(str(why)), most=200),
            RunFolder(self.folder).metrics,
        )
        self.client = None

    def ensure(self) -> bool:
        """Gives up if the server no longer answers; otherwise what waits is sent."""
        if self.client is not None:
            if reason := why_unreachable(self.uri, patience=min(self.patience, 5.0)):
                self.give_up(reason)
            self.send()
        return self.client is not None

    def finish(self, *, done: bool) -> None:
        self.send()
        status = "FINISHED" if done else "FAILED"
        self.attempt(lambda client: client.set_terminated(self._run_id, status))
        if self.parent:
            self.attempt(lambda client: client.set_terminated(self.parent, "FINISHED"))
        self.client = None

    def environment(self) -> AbstractContextManager[None]:
        """How MLflow is told, for a while, to be quick and quiet."""
        return quick_and_quiet(self.patience)


@contextmanager
def quick_and_quiet(patience: float) -> Iterator[None]:
    """Tells MLflow, for a while, to be quick and quiet, and that files are meant.

    Args:
        patience: seconds that a server may take for an answer.
    """
    told = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(patience))),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ.update({name: value for name, value in told.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]


def own_address() -> str | None:
    """The address of the store that this person uses; none where there is none.

    It is never that of a record, which may be a stranger's: ``MLFLOW_TRACKING_URI``, or the store
    that MLflow has made in the folder that one is in.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    return "sqlite:///mlflow.db" if Path("mlflow.db").is_file() else None


def send_later(folder: RunFolder, act: Callable[[Any, str], None], *, uri: str) -> str:
    """Does something with the run that a folder names, in the store of an address.

    Args:
        folder: of a finished run that was logged to MLflow.
        act: is given MLflow's client and the run's id.
        uri: of the store.

    Returns:
        Why it was not done; empty if it was.
    """
    patience = 10.0
    if reason := why_unreachable(uri, patience=patience):
        return reason
    try:
        require_package("MLflow", "mlflow-skinny", "mlflow")
        with quick_and_quiet(patience):
            from mlflow.tracking import MlflowClient

            for name in ("mlflow", "alembic"):  # here, since its import sets them
                logging.getLogger(name).setLevel(logging.ERROR)
            client: Any = MlflowClient(uri)
            run_id = folder.mlflow_id.read_bytes().decode(errors="replace").strip()
            if not RUN_ID.fullmatch(run_id):
                return "the folder names no run"
            record: Any = folder.read_record()
            known = client.get_run(run_id).data.params
            expected = dict(flatten(record["config"]))
            if any(known.get(key) != expected[key] for key in TELLING if key in expected):
                return f"the store's run {run_id} is another"
            act(client, run_id)
    except Exception as error:  # the stores' have no type in common
        return one_line(redact(str(error)), most=200)
    return ""


def send_verified(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    """Adds what an audit has found to the run in MLflow, where the run was logged there.

    Args:
        folder: of the run.
        summary: names and values: numbers become figures, texts tags.
    """
    if not folder.mlflow_id.is_file():
        return
    if (uri := own_address()) is None:
        log.warning("%s: the verdict is not sent to MLflow: %s", folder.path, NO_ADDRESS)
        return

    def send(client: Any, run_id: str) -> None:
        for name, value in summary.items():
            if isinstance(value, int | float):
                client.log_metric(run_id, name, value)
            elif value is not None:
                client.set_tag(run_id, name, printable(value)[:LONGEST])

    if reason := send_later(folder, send, uri=uri):
        log.warning("%s: the verdict is not sent to MLflow: %s", folder.path, reason)


def find_experiment(client: Any, name: str) -> str:
    """The experiment of a name, made if it is not there."""
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(name)
    if known is None:
        with suppress(MlflowException):  # another job was first
            return str(client.create_experiment(name))
        known = client.get_experiment_by_name(name)
    return str(known.experiment_id)


def flatten(params: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a config with its value as it is typed, dotted as on the command line."""
    for key, value in params.items():
        name = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from flatten(value, name)
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            yield name, text[:LONGEST]


def why_unreachable(uri: str, *, patience: float) -> str:
    """Why a server cannot be reached; empty if it can, and for stores of files.

    Args:
        uri: of the store.
        patience: seconds that it has to answer.
    """
    parts = urlparse(uri)
    if parts.scheme not in ("http", "https"):
        return ""
    host = parts.netloc.rpartition("@")[2]  # without a user's name and password
    address = parts._replace(netloc=host, path=f"{parts.path.rstrip('/')}/health").geturl()
    try:
        with urlopen(address, timeout=patience):
            return ""
    except HTTPError:
        return ""  # it answers, if only that it wants to be asked otherwise
    except (OSError, HTTPException, ValueError) as error:
        return f"{host} does not answer: {getattr(error, 'reason', None) or error}"
