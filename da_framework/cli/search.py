"""``da search``: values of keys by trial, without a look at the target's labels."""

import json
import math
import re
import shlex
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from da_framework.cli.exit import exit_on_user_error
from da_framework.cli.help import output_width, render_key, render_keys
from da_framework.cli.hydra_app import run_hydra
from da_framework.cli.search_journal import JOURNAL, mend_journal
from da_framework.cli.sweeps import redirect_to_log
from da_framework.config import plugins
from da_framework.config import run_names as names
from da_framework.config.key_help import Key, Keys, own_keys
from da_framework.config.schema import check_config
from da_framework.core.damage import explain_damage
from da_framework.core.errors import INTERRUPTED, PREEMPTED, InputError, PreemptedError, one_line
from da_framework.core.files import run_lock, write_text
from da_framework.core.quoting import hydra_text
from da_framework.core.seeding import mix
from da_framework.core.text import wrap_line
from da_framework.core.types import Count
from da_framework.results.folder import RunFolder
from da_framework.results.statistics import format_figure

if TYPE_CHECKING:
    from da_framework.callbacks.pruning import Pruning

USAGE = "usage: da search KEY=VALUES ... [key=value ...] [trials=20]"
FORMS = {
    "method=dann,mmd": "one of these",
    "'optimizer.lr=log(1e-4,1e-1)'": "a number in between, even on a logarithmic scale",
    "'method.weight=interval(0,2)'": "whole where both bounds are; interval(0.0,2.0): any number",
}
"""What values a search can go through."""
FORM_COLUMN = 34
"""Where their meanings begin."""
SCALED = re.compile(r"([^=]+)=(log|interval)\((.*)\)")
PRUNED = 4
STATES = {"COMPLETE": "done", "PRUNED": "pruned", "RUNNING": "failed"}
BEGIN_ANEW = "move it away, and the same command begins anew"
NOTE = "chosen by target labels: this says what tuning could reach, and is no result of a method"


@dataclass(frozen=True)
class SearchSettings:
    """The keys of ``conf/search.yaml``."""

    trials: Count
    objective: Literal["validator", "oracle"]
    pruning: bool
    folder: str | None

    def worth(self, reading: Mapping[str, Any]) -> float | None:
        """What an evaluation is worth; none without a finite score, or without labels."""
        oracle = self.objective == "oracle"
        worth: float | None = reading["target"].get("accuracy") if oracle else reading["score"]
        return worth

    def value(self, record: Mapping[str, Any]) -> float | None:
        """What a finished run is worth: its best evaluation; none where nothing was chosen."""
        picks = record["target"]
        oracle = self.objective == "oracle"
        value: float | None = (
            picks.get("oracle", {}).get("accuracy")
            if oracle
            else picks.get("chosen", {}).get("score")
        )
        return value


@dataclass(frozen=True)
class OneOf:
    """One of some values."""

    values: list[str]

    def suggest(self, trial: Any, key: str) -> Any:
        """The value in a trial."""
        return trial.suggest_categorical(key, self.values)

    def text(self, value: Any) -> str | None:
        """A value as it is typed; none if it is not one of these."""
        return value if value in self.values else None


@dataclass(frozen=True)
class Interval:
    """A number between two; a whole one where both are."""

    low: int | float
    high: int | float
    log: bool

    def suggest(self, trial: Any, key: str) -> Any:
        """The value in a trial."""
        if self.whole:
            return trial.suggest_int(key, self.low, self.high, log=self.log)
        return trial.suggest_float(key, self.low, self.high, log=self.log)

    def text(self, value: Any) -> str | None:
        """A value with as many digits as one would type; none if it is not in between."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        return str(int(value)) if self.whole else f"{value:.4g}"

    @property
    def whole(self) -> bool:
        """Whether the number is a whole one."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, OneOf | Interval]


def parse_space(overrides: Sequence[str]) -> tuple[Space, list[str]]:
    """The keys to search, and the overrides that all trials share.

    Raises:
        InputError: with a line for every word that cannot be used.
    """
    space: dict[str, OneOf | Interval] = {}
    fixed: list[str] = []
    wrong: list[str] = []
    for word in overrides:
        try:
            key, _, text = word.partition("=")
            if near := get_close_matches(
                key, [own.name for own in fields(SearchSettings)], n=1, cutoff=0.8
            ):
                raise InputError(f"there is no such key; did you mean {near[0]}?")
            if word.startswith(("-", "hydra.", "hydra/")):
                raise InputError("trials are run one after the other, by da train itself")
            if key == "trainer.devices" and text != "1":
                raise InputError("trials share a process, which cannot train on several devices")
            if values := parse_values(word):
                space[key] = values
            else:
                fixed.append(word)
        except InputError as error:
            wrong.append(f"{word}: {error}")
    if "validator" in {key.partition(".")[0] for key in space}:
        wrong.append("scores of different validators cannot be compared: choose one")
    if wrong:
        raise InputError(*wrong)
    if not space:
        raise InputError(
            "nothing to search: give a key several values (method=dann,mmd) or an interval "
            "('optimizer.lr=log(1e-4,1e-1)')"
        )
    return space, fixed


def parse_values(word: str) -> OneOf | Interval | None:
    """The values that a word names; none if it is an ordinary override.

    Raises:
        InputError: it is malformed.
    """
    if match := SCALED.fullmatch(word):
        bounds = [parse_number(text) for text in match[3].split(",")]
        if len(bounds) != 2 or None in bounds:
            raise InputError(f"two numbers are needed, as in {match[1]}={match[2]}(0.001,0.1)")
        low, high = bounds
        scaled = match[2] == "log"
        if low >= high or (scaled and low <= 0):  # type: ignore[operator]
            least = "0 < " if scaled else ""
            raise InputError(f"the bounds must be {least}low < high")
        return Interval(low, high, scaled)  # type: ignore[arg-type]
    try:
        override = OverridesParser.create().parse_override(word)
        if not override.is_sweep_override():
            return None
        if override.is_interval_sweep():
            raise InputError("an interval is written log(0.001,0.1) or interval(0,1)")
        return OneOf(list(map(str, override.sweep_string_iterator())))
    except HydraException as error:
        raise InputError(str(error).splitlines()[0]) from None


def parse_number(text: str) -> int | float | None:
    """A number, an integer where it is written as one; none if it is none."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return value if math.isfinite(value := float(text)) else None
    except ValueError:
        return None


class Search:
    """A study and the folder that holds it.

    Whatever ends it, the same command continues: the trial that was run goes on from its last
    checkpoint, and every trial is drawn with random numbers of its own, so that the search ends as
    if nothing had happened.

    Args:
        folder: of the study and its runs.
        settings: of the search.
        space: keys to search.
        fixed: overrides that all trials share.
    """

    def __init__(
        self,
        folder: Path,
        settings: SearchSettings,
        space: Space,
        fixed: Sequence[str],
    ) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.settings, self.space = folder, settings, space
        self.fixed = fixed
        journal = folder / "journal.log"
        # the folder is ours: its lock and half a line are of a process that was killed
        journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
        mend_journal(journal)
        with explain_damage(journal, JOURNAL, mend=BEGIN_ANEW):
            self.study = optuna.create_study(
                study_name="search",
                storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
                pruner=optuna.pruners.MedianPruner()
                if settings.pruning
                else optuna.pruners.NopPruner(),
                direction="maximize",
                load_if_exists=True,
            )
            check_study(self.study)

    def go(self) -> None:
        """Runs the trials that are missing."""
        for number in range(self.settings.trials):
            if (
                number == len(self.study.trials)
                or not self.study.trials[number].state.is_finished()
            ):
                self.trial(number)

    def trial(self, number: int) -> None:
        """Begins a trial, or goes on with it, and tells how it ended.

        Raises:
            InputError: the first three have failed.
        """
        from optuna.samplers import TPESampler
        from optuna.trial import Trial, TrialState

        from da_framework.callbacks.pruning import Pruning

        self.study.sampler = TPESampler(seed=mix("search", number) % 2**32)
        begun = self.study.trials[number:]
        trial = Trial(self.study, begun[0]._trial_id) if begun else self.study.ask()
        seen = begun[0].intermediate_values if begun else {}

        def hopeless(step: int, worth: float) -> bool:
            if step not in seen:
                trial.report(worth, step)
            return bool(trial.should_prune())

        try:
            params = {key: values.suggest(trial, key) for key, values in self.space.items()}
        except ValueError as error:  # what the journal has is of other values
            raise InputError(f"{self.folder} holds another search: {one_line(error)}") from None
        overrides = self.overrides(params)
        place = self.place(overrides)
        arguments = [*self.fixed, *overrides, f"hydra.run.dir={hydra_text(str(place))}"]
        code, message = self.attempt(trial, arguments, Pruning(hopeless, self.settings.worth))
        record = RunFolder(place).read_record() if code == 0 else None
        value = self.settings.value(record) if record else None
        if record and value is None and self.settings.objective == "oracle":
            raise InputError(
                "objective=oracle goes by the labels of the target's test samples, and there are "
                "none: objective=validator"
            )
        if record and value is None:
            message = f"no score of {record['choices'].get('validator')} is finite"
        if value is not None:
            self.study.tell(number, value)
            outcome = f"{self.settings.objective} {format_figure(value)}"
        elif code == PRUNED:
            self.study.tell(number, state=TrialState.PRUNED)
            outcome = message
        else:
            # untold: the same command tries it again
            outcome = f"failed: {message}"
            if number + 1 == min(3, self.settings.trials) and not self.ended("COMPLETE"):
                raise InputError(f"no trial could be run; the last: {message}")
        self.write()
        print(f"trial {number + 1} of {self.settings.trials}: {' '.join(overrides)}: {outcome}")

    def attempt(self, trial: Any, arguments: list[str], pruning: "Pruning") -> tuple[int, str]:
        """Trains; but where a trial has ended this process twice, the others have their turn."""
        begun = trial.user_attrs.get("begun", 0)
        if begun == 2:
            trial.set_user_attr("begun", 0)
            return 1, "it has ended its process twice without a word; the same command tries again"
        trial.set_user_attr("begun", begun + 1)
        try:
            return self.train(arguments, pruning)
        finally:
            trial.set_user_attr("begun", 0)

    def train(self, arguments: list[str], pruning: "Pruning") -> tuple[int, str]:
        """Trains, what that prints in a log; returns the exit code and the last line."""
        file = self.folder / "trials.log"
        code = 0
        with redirect_to_log(file):
            try:
                with exit_on_user_error():
                    run_hydra("train", "train", arguments, callbacks=[pruning])
            except SystemExit as end:
                code = int(end.code or 0)
            except Exception:
                traceback.print_exc()
                code = 1
        last = (file.read_text("utf-8").strip().splitlines() or [""])[-1]
        if code in (INTERRUPTED, PREEMPTED):
            raise PreemptedError(last, code)
        return code, last

    def ended(self, state: str) -> list[Any]:
        """The trials that ended so."""
        return [trial for trial in self.study.trials if trial.state.name == state]

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The words of a trial: by the values that were searched, whatever else the journal has.

        Raises:
            InputError: a value is none of them.
        """
        texts = {key: values.text(params.get(key)) for key, values in self.space.items()}
        if wrong := [key for key, text in texts.items() if text is None]:
            raise InputError(f"{self.folder} holds another search: {wrong[0]} has other values")
        return [f"{key}={text}" for key, text in texts.items()]

    def place(self, overrides: Sequence[str]) -> Path:
        """The folder of a trial's run."""
        shown = [names.short_override(word) for word in overrides]
        return self.folder / names.slug(shown, hashed=overrides)

    def command(self, trial: Any) -> str:
        """That runs a trial alone."""
        return shlex.join(["da", "train", *self.fixed, *self.overrides(trial.params)])

    def write(self) -> None:
        """Keeps the trials where a person can read them."""
        done = self.ended("COMPLETE")
        best = self.study.best_trial if done else None
        summary = {
            "objective": self.settings.objective,
            **({"note": NOTE} if self.settings.objective == "oracle" else {}),
            "best": self.command(best) if best else None,
            "trials": [
                {
                    "state": STATES[trial.state.name],
                    "value": trial.value,
                    "folder": self.place(self.overrides(trial.params)).name,
                    "command": self.command(trial),
                }
                for trial in self.study.trials
            ],
        }
        write_text(self.folder / "search.json", json.dumps(summary, indent=1) + "\n")

    def show(self) -> None:
        """The best trial, and how it was chosen."""
        best = self.study.best_trial
        record = RunFolder(self.place(self.overrides(best.params))).read_record()
        validator = record["choices"].get("validator") if record else "the validator"
        oracle = self.settings.objective == "oracle"
        how = NOTE if oracle else f"chosen by {validator}, without a label"
        counts = ", ".join(f"{len(self.ended(own))} {word}" for own, word in STATES.items())
        print(f"{counts}: {self.folder}")
        print(f"best: {self.settings.objective} {format_figure(best.value)} ({how})")
        print(f"  {self.command(best)}")


def check_study(study: Any) -> None:
    """Refuses a study whose trials do not fit together.

    Raises:
        ValueError: says why.
    """
    for trial in study.trials:
        if trial.state.name == "COMPLETE" and not trial.values:
            raise ValueError(f"trial {trial.number} has ended without a value")


def render_usage(keys: Keys, width: int) -> Iterator[str]:
    """What can be typed, and the keys of the search itself.

    Args:
        keys: of the search.
        width: of a line, in characters.
    """
    yield from wrap_line(USAGE, width)
    yield from [
        "",
        *wrap_line("Values of keys of `da train`, as in a sweep or of an interval:", width),
    ]
    for form, meaning in FORMS.items():
        yield from render_key(form, Key("", meaning), width, FORM_COLUMN)
    yield from ["", *wrap_line("The search's own keys:", width), *render_keys(keys, width)]


def main(arguments: list[str]) -> None:
    """Searches, or goes on with it.

    Args:
        arguments: of ``da search``.
    """
    defaults = plugins.conf_dir() / "search.yaml"
    if not arguments or {"-h", "--help"} & set(arguments):
        print("\n".join(render_usage(own_keys(defaults), output_width())))
        return
    plugins.require_package("da search", "optuna", "search")
    known: Any = OmegaConf.load(defaults)
    of_search = [word for word in arguments if word.partition("=")[0] in known]
    overrides = [word for word in arguments if word not in of_search]
    given = OmegaConf.merge(known, OmegaConf.from_dotlist(of_search))
    values: Any = OmegaConf.to_container(given)
    values = check_config(values, SearchSettings)
    settings = SearchSettings(**values)
    space, fixed = parse_space(overrides)
    what = sorted([*names.relevant_overrides(overrides), f"objective={settings.objective}"])
    shown = [names.short_override(word) for word in overrides]
    folder = Path(settings.folder or f"search/{names.slug(shown, hashed=what)}")
    with run_lock(folder, key="folder"):
        search = Search(folder, settings, space, fixed)
        before = search.study.user_attrs.setdefault("what", what)
        if before != what:
            raise InputError(f"folder={folder} holds another search: {' '.join(before)}")
        search.study.set_user_attr("what", what)
        search.go()
        search.show()
