"""A sweep as a person follows it: which jobs wait, run, are done or have failed.

Whatever launches the jobs, and wherever: each writes down how it goes, below the sweep's folder,
and the process that launched them reads it.
"""

import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, TextIO

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf, read_write

from da_framework.cli.exit import raise_preempted
from da_framework.core.damage import explain_damage, is_there, read_json
from da_framework.core.errors import (
    INTERRUPTED,
    PREEMPTED,
    CrashedError,
    InputError,
    PreemptedError,
    exit_message,
    listed,
    one_line,
    preempted_by,
)
from da_framework.core.files import run_lock, write_text
from da_framework.core.quoting import hydra_text
from da_framework.core.signals import handle_signals
from da_framework.core.terminal import clean_stream, open_console
from da_framework.core.text import printable, time_left
from da_framework.results.folder import RunFolder
from da_framework.results.record_schema import RunRecord
from da_framework.results.statistics import format_accuracy

STATES = ".jobs"
"""The folder in that of a sweep where its jobs write how they go, a file each."""
STOP = "stop"
"""The file there by which the process that launched them asks jobs in others to end."""
UNENDED = "unended.json"
"""The file there that names the folders of jobs that ended without a word."""
LAST = 5
"""Lines of a failed job's log that are shown."""

ENDED = ("done", "failed", "stopped")
State = dict[str, Any]
"""What a job writes: ``state``, which is ``running`` or one of ``ENDED``, ``folder`` and when it
``began``; of its end ``words``, and the ``seconds`` the run took or the ``tail`` of its log and its
exit ``code``.
"""


# in the process of a job


def run_job(
    train: Callable[[], RunRecord | None],
    sweep: Path,
    number: int,
    folder: Path,
    *,
    overrides: Sequence[str],
) -> RunRecord | None:
    """Runs a job: its failure is written down and not raised, so that it fails alone.

    A job that ended without a word when the sweep was run before may have ended its process: it is
    run in a process of its own, so that it cannot do so again.

    Args:
        train: makes the record of the run; none on all processes but the first.
        sweep: its folder.
        number: of the job in the sweep.
        folder: of the job.
        overrides: of the job.

    Raises:
        PreemptedError: a signal ended it, and this is the process that launches all jobs.
    """
    stop = sweep / STATES / STOP
    if stop.is_file():
        return None
    if has_crashed(sweep, folder) and not RunFolder(folder).result.is_file():
        train = partial(train_apart, folder, overrides)
    file = sweep / STATES / f"{number}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    state: State = {"state": "running", "folder": str(folder), "began": time.time()}
    write_text(file, json.dumps(state))
    log_file = RunFolder(folder).log
    with redirect_to_log(log_file) as log, handle_signals(raise_preempted), heed(stop):
        begun = log.tell()
        try:
            record = train()
        except PreemptedError as error:
            print(error, file=log, flush=True)
            ended = {"state": "stopped", "words": str(error), "code": error.code}
            write_text(file, json.dumps(state | ended))
            if CURRENT:
                raise
            return None
        except (Exception, SystemExit) as error:
            # what a person can mend is one message; the rest is for who mends us
            message, code = exit_message(error) or (traceback.format_exc(), 1)
            print(message.rstrip(), file=log, flush=True)
            output = log_file.read_bytes()[begun:].decode(errors="replace")
            tail = output.splitlines()[-LAST:]
            ended = {"state": "failed", "words": tail[-1], "code": code, "tail": tail}
            write_text(file, json.dumps(state | ended))
            return None
    if record is None:
        return None
    chosen = record["target"].get("chosen")
    shown = format_accuracy(chosen, 2) if chosen else "nothing chosen"
    ended = {"state": "done", "words": shown, "seconds": record["seconds"]["all"]}
    write_text(file, json.dumps(state | ended))
    return record


def has_crashed(sweep: Path, folder: Path) -> bool:
    """Whether a job has ended without a word when its sweep was run before."""
    file = sweep / STATES / UNENDED
    return file.is_file() and str(folder) in json.loads(file.read_text("utf-8"))


def train_apart(folder: Path, overrides: Sequence[str]) -> RunRecord | None:
    """Trains in a process of its own; its log is that of the job.

    Raises:
        CrashedError: the process was ended by a signal, or failed and has said why.
        PreemptedError: a signal ended training.
    """
    print("this job has ended without a word before: run in a process of its own", flush=True)
    keys = [
        f"hydra.run.dir={hydra_text(str(folder))}",
        "hydra.mode=RUN",
        "hydra.output_subdir=null",
    ]
    command = [sys.executable, "-m", "da_framework", "train", *overrides, *keys]
    # what it logs stands in the log already
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        _, errors = process.communicate()
    except BaseException:
        process.terminate()
        process.communicate()
        raise
    if process.returncode == 0:
        return RunFolder(folder).read_record()
    if process.returncode in (INTERRUPTED, PREEMPTED):
        raise PreemptedError(errors.strip(), process.returncode)
    if process.returncode > 0:
        raise CrashedError(errors.strip(), process.returncode)
    name = signal.Signals(-process.returncode).name
    raise CrashedError(f"{name} ended its process, as something has before; the others go on")


@contextmanager
def heed(stop: Path) -> Iterator[None]:
    """Asks this process to end once the one that has launched it asks all jobs to."""
    if CURRENT:  # this is that process
        yield
        return
    ended = Event()

    def watch() -> None:
        while not ended.wait(0.2):
            if stop.is_file():
                # not Ctrl-C, which the terminal may have sent as well: twice is at once
                os.kill(os.getpid(), signal.SIGTERM)
                return

    Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


@contextmanager
def redirect_to_log(file: Path) -> Iterator[TextIO]:
    """Sends all that a job says to its log: many at once would not be read."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    with file.open("a", encoding="utf-8") as stream:
        log = clean_stream(stream)
        with redirect_stdout(log), redirect_stderr(log):
            yield log


# in the process that launches


class SweepMonitor:
    """Shows how the jobs of a sweep go: a table on a terminal, elsewhere a line as each ends.

    Args:
        folder: of the sweep.
        jobs: overrides of each, in their order.
    """

    def __init__(self, folder: Path, jobs: Sequence[Sequence[str]]) -> None:
        from rich.live import Live

        self.folder = folder / STATES
        self.jobs = jobs
        often = Counter(word for job in jobs for word in job)
        self.labels = [
            " ".join(w for w in job if often[w] < len(jobs)) or " ".join(job) for job in jobs
        ]
        self.states: dict[int, State] = {}
        self.signal = ""
        self.ended = Event()
        # as it is now: jobs in this process turn theirs to their logs
        self.console = open_console(file=sys.stderr)
        self.live = Live(console=self.console, get_renderable=self.table, refresh_per_second=2)
        # a daemon: a launcher that is interrupted need not wait for it
        self.thread = Thread(target=self.follow, daemon=True)

    def start(self) -> None:
        """Begins to show."""
        if self.console.is_terminal:
            self.live.start()
        self.thread.start()

    def close(self) -> None:
        """Shows the last there is."""
        self.ended.set()
        self.thread.join()
        self.read()
        self.live.stop()

    def stop(self, signal: str) -> None:
        """Asks all jobs to end after the step they are at, each with a checkpoint of it."""
        self.signal = signal
        (self.folder / STOP).touch()

    def follow(self) -> None:
        """Reads how jobs go until the sweep has ended."""
        while not self.ended.wait(0.5):
            self.read()

    def read(self) -> None:
        """What jobs have written since."""
        for number in range(len(self.jobs)):
            if self.states.get(number, {}).get("state") in ENDED:
                continue
            file = self.folder / f"{number}.json"
            if not is_there(file):
                continue
            try:
                state = read_state(file)
            except InputError:  # the job writes another at its end
                continue
            self.states[number] = state
            if state["state"] in ("done", "failed") and not self.console.is_terminal:
                line = f"{state['state']}: {self.labels[number]}: {state['words']}"
                self.console.print(f"{line}; {self.summary()}", soft_wrap=True)

    def of(self, state: str) -> dict[int, State]:
        """The jobs in a state, by number."""
        return {number: own for number, own in self.states.items() if own["state"] == state}

    def summary(self) -> str:
        """How many jobs are in which state, and how long the rest will take."""
        counts = {state: len(self.of(state)) for state in ("running", *ENDED[:2])}
        counts |= {"stopped": len(stopped)} if (stopped := self.of("stopped")) else {}
        waiting = len(self.jobs) - len(self.states)
        text = ", ".join(f"{count} {state}" for state, count in counts.items())
        return f"{waiting} waiting, {text}{self.left()}"

    def left(self) -> str:
        """Time left, by what the finished runs took, whenever they were run."""
        took = [state["seconds"] for state in self.of("done").values()]
        running = self.of("running").values()
        todo = len(self.jobs) - len(self.states) + len(running)
        if not took or not todo:
            return ""
        spent = sum(time.time() - state["began"] for state in running)
        return time_left((todo * sum(took) / len(took) - spent) / max(1, len(running)))

    def table(self) -> Any:
        """What is not waiting, as far as it fits on the screen: what failed, runs, is done."""
        from rich.table import Table

        table = Table("job", "state", "target", title=self.summary(), title_justify="left")
        shown = [*self.of("failed").items(), *self.of("running").items()]
        shown += reversed(self.of("done").items())
        for number, state in shown[: max(3, self.console.height - 6)]:
            ran = timedelta(seconds=round(time.time() - state["began"]))
            words = printable(state.get("words", f"since {ran}"))
            table.add_row(printable(self.labels[number]), state["state"], words)
        return table

    def verdict(self) -> int:
        """Names the failed jobs, each with its command and the last lines of its log.

        Returns:
            The exit code: 0 if there are none; that which all of them share; otherwise 1.

        Raises:
            PreemptedError: a signal has ended the sweep, or jobs of it.
        """
        failed = self.of("failed")
        for number, state in sorted(failed.items()):
            print(f"failed: {shlex.join(['da', 'train', *self.jobs[number]])}", file=sys.stderr)
            for line in (*state["tail"], f"({RunFolder(Path(state['folder'])).log})"):
                print(f"  {line}", file=sys.stderr)
        if failed:
            count = f"{len(failed)} of {len(self.jobs)} jobs failed"
            print(f"{count}; the same command tries them again", file=sys.stderr)
        done = f"{len(self.of('done'))} of {len(self.jobs)} jobs are done"
        if self.signal:
            told = f" ended the sweep: {done}; the same command continues"
            raise preempted_by(self.signal, told)
        for state in self.of("stopped").values():
            raise PreemptedError(f"{state['words']}; {done}", state["code"])
        codes = {state["code"] for state in failed.values()}
        return codes.pop() if len(codes) == 1 else int(bool(codes))


def read_state(file: Path) -> State:
    """What a job has written.

    Raises:
        InputError: the file is damaged.
    """
    state: Any = read_json(file, "state of a job")
    with explain_damage(file, "state of a job"):
        ended = {"running": (), "done": ("words", "seconds"), "failed": ("words", "tail", "code")}
        ended["stopped"] = ("words", "code")
        if lacking := {"folder", "began", *ended[state["state"]]} - state.keys():
            raise ValueError(f"without {listed(sorted(lacking))}")
    return dict(state)


CURRENT: list[SweepMonitor] = []
"""The sweep of this process, if there is one."""
LOCK = ExitStack()
"""Holds the sweep's folder."""


class WatchSweep(Callback):
    """Begins to watch when Hydra says that a sweep of training runs begins."""

    def on_multirun_start(self, config: Any, **rest: Any) -> None:
        if rest["config_name"] != "train":
            return
        folder = Path(config.hydra.sweep.dir)
        try:
            LOCK.enter_context(run_lock(folder, key="hydra.sweep.dir"))
        except InputError as error:
            # Hydra would make a warning of what is no exit
            print(error, file=sys.stderr)
            raise SystemExit(2) from None
        unended = read_unended(folder)
        shutil.rmtree(folder / STATES, ignore_errors=True)
        write_text(folder / STATES / UNENDED, json.dumps(unended))
        CURRENT.append(SweepMonitor(folder, job_overrides(config)))
        limit_processes(config.hydra.launcher, len(CURRENT[0].jobs))
        # jobs in this process end with it, and those that Slurm has go on without it
        if not any(name in config.hydra.launcher._target_ for name in ("Basic", "Slurm")):
            LOCK.enter_context(handle_signals(CURRENT[0].stop))
        CURRENT[0].start()


def read_failures(sweep: Path) -> list[str]:
    """What the failed jobs of the last sweep in a folder died of, each once."""
    words: dict[str, None] = {}
    for file in sorted((sweep / STATES).glob("*[0-9].json")):
        with suppress(InputError):
            if (state := read_state(file))["state"] == "failed":
                words[printable(state["words"])] = None
    return list(words)


def read_unended(sweep: Path) -> list[str]:
    """The folders of jobs that have ended without a word, by a kill, a crash or a power cut."""
    folders: dict[str, None] = {}
    for file in sorted((sweep / STATES).glob("*.json")):
        with suppress(InputError), explain_damage(file, "state of a job"):
            state: Any = read_json(file, "state of a job")
            if file.name == UNENDED:
                folders |= dict.fromkeys(map(str, state))
            elif state["state"] == "running":
                folders[str(state["folder"])] = None
    return list(folders)


def limit_processes(launcher: Any, jobs: int) -> None:
    """No more processes than jobs: joblib starts all that it is asked for at once."""
    if launcher.get("n_jobs", 0) > jobs:
        with read_write(launcher):
            launcher.n_jobs = jobs


def job_overrides(config: Any) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra will launch them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    loader = GlobalHydra.instance().config_loader()
    # as they were typed: what they refer to may be a secret
    params: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    typed: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    fixed = [f"{key}={value}" for key, value in (params.get("params") or {}).items()]
    overrides = OverridesParser.create(loader).parse_overrides([*fixed, *typed])
    return [list(job) for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]


@contextmanager
def monitor_sweep() -> Iterator[None]:
    """Shows a sweep, if there is one, while it lasts; ends with its exit code.

    Raises:
        InputError: what launches the jobs has given up.
    """
    try:
        yield
    except Exception as error:
        # Hydra's own errors are about the command line, and explained elsewhere
        composing = isinstance(error, HydraException) or "Config group override" in str(error)
        launching = bool(CURRENT) and not composing
        end_sweep()
        if not launching:
            raise
        reason = one_line(error) or type(error).__name__
        raise InputError(
            f"the launcher gave up: {reason[:300]}; if a job's process was killed, or ran out of "
            "time or memory, the same command continues"
        ) from error
    except BaseException:
        with suppress(PreemptedError):  # which says less than the job's own
            end_sweep()
        raise
    if code := end_sweep():
        raise SystemExit(code)


def end_sweep() -> int:
    """Ends what is shown, and says what has failed."""
    LOCK.close()
    if not CURRENT:
        return 0
    watch = CURRENT.pop()
    watch.close()
    return watch.verdict()
