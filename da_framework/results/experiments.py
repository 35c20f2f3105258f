"""A paper's table as an experiment states it: its values, and the sweep that reproduces them."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import OmegaConf
from pydantic import Field

from da_framework.config.allowlist import check_experiment
from da_framework.config.plugins import config_roots
from da_framework.config.schema import check_config, config_errors
from da_framework.core.damage import explain_damage, is_there, read_text
from da_framework.core.errors import InputError, listed, one_line
from da_framework.core.types import Count
from da_framework.results.record_schema import Measure, RunRecord
from da_framework.results.tables import read_kept

RECORDED = ".recorded.json"
MEAN = "mean"
"""The column of a row's mean, and the verdict that is on it alone."""
SIDES = ("dataset.pair", "dataset.source", "dataset.target")
"""The keys that a sweep goes through a table's columns by."""

Number = Annotated[int | float, Field(allow_inf_nan=False)]
Amount = Annotated[int | float, Field(ge=0, allow_inf_nan=False)]
ROUNDED = 0.05
"""Half a unit of the digit after the point that papers print of a percentage."""
PaperRows = dict[str, list[Number | None]]
"""Values in percent by method, a column each; ``None`` where there is none."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper's values and how near is near enough: the ``paper:`` part of an experiment.

    Attributes:
        title: of the paper and its table, and what the values are.
        known: how surely: ``read in the paper``, ``recalled``.
        columns: ``source-target``, several sources with a plus between them.
        rows: the paper's values.
        tolerance: how far from them, in points, is inside.
        bands: the lowest and highest value that is inside, for rows where that is no tolerance.
        reason: of the tolerance or the bands.
        verdict: ``mean``: on the mean of a row, not on its cells.
        mean_tolerance: how far from the mean of a row, in points, is inside: judged beside cells.
        measure: of the target, that the values are: ``balanced_accuracy`` is the mean over classes.
        baseline: the row that gains are over.
        first: experiments whose runs make other rows, or begin these; they state no values.
        tuned: keys with several values in the sweep; the validator chooses among them for each
            cell and seed.
        read_off: of a key with several values in the sweep the value of each column, where it was
            read off the paper's own values: its cells are shown, and none has a verdict.
        readings: beside the last step, the mean of so many evaluations.
        quick: overrides that make a cheap part of it.
        reference: whose the values are, if not the paper's.
        beside: values of others, by whose they are.
        minutes: of a processor that it is thought to take, until it is recorded.
        finding: what our recorded values say, in a sentence without a number.
    """

    title: str
    known: str
    columns: list[str]
    rows: PaperRows
    tolerance: Amount | None = None
    bands: dict[str, list[Number]] = field(default_factory=dict)
    reason: str = ""
    verdict: Literal["mean"] | None = None
    mean_tolerance: Amount | None = None
    measure: Measure = "accuracy"
    baseline: str | None = None
    first: list[str] = field(default_factory=list)
    tuned: list[str] = field(default_factory=list)
    read_off: dict[str, list[Number]] = field(default_factory=dict)
    readings: Count | None = None
    quick: list[str] = field(default_factory=list)
    reference: str = "paper"
    beside: dict[str, PaperRows] = field(default_factory=dict)
    minutes: Amount | None = None
    finding: str = ""

    def problems(self) -> Iterator[str]:
        """Where its parts contradict one another."""
        if not self.rows or not self.columns:
            yield "paper.rows and paper.columns: a table has at least one of either"
        for column in self.columns:
            if [*map(bool, column.split("-"))] != [True, True]:
                yield f"paper.columns: {column} is not source-target"
        for where, rows in {"rows": self.rows, **self.beside}.items():
            for row, values in rows.items():
                if len(values) != len(self.columns):
                    yield (
                        f"paper: {row} of {where} has {len(values)} values for "
                        f"{len(self.columns)} columns; null stands for one that is not there"
                    )
        for row, band in self.bands.items():
            if len(band) != 2 or band[0] > band[1]:
                yield f"paper.bands.{row}: {band} is not [lowest, highest]"
        named = {f"beside.{who}": list(rows) for who, rows in self.beside.items()}
        named |= {"bands": list(self.bands), "baseline": [self.baseline] if self.baseline else []}
        for key, rows_named in named.items():
            if unknown := [row for row in rows_named if row not in self.rows]:
                there = listed(self.rows)
                yield f"paper.{key}: there is no row {listed(unknown)}; there are {there}"
        for key, settings in self.read_off.items():
            if len(settings) != len(self.columns):
                yield (
                    f"paper.read_off: {key} has {len(settings)} values for {len(self.columns)} "
                    "columns"
                )
        if self.read_off and (self.tuned or self.verdict):
            yield "paper.read_off goes with neither paper.tuned nor paper.verdict"
        if self.tolerance is None and (bare := self.rows.keys() - self.bands.keys()):
            yield f"paper.tolerance is missing, and paper.bands has none for {listed(sorted(bare))}"
        if self.verdict and (self.bands or self.beside or self.tolerance is None):
            yield "paper.verdict: mean goes with a tolerance, and with neither bands nor beside"
        if self.mean_tolerance is not None and (self.verdict or self.bands or self.beside):
            yield "paper.mean_tolerance goes with a tolerance, and with no verdict, bands or beside"

    @property
    def judges_means(self) -> bool:
        """Whether there is a verdict on the means of rows."""
        return self.verdict is not None or self.mean_tolerance is not None


@dataclass(frozen=True)
class Experiment:
    """A sweep in a file.

    Attributes:
        name: of the experiment.
        folder: that its sweep writes to.
        file: that it is in.
        params: what its sweep goes through, as written.
        start: the runs that its own begin with, if any.
    """

    name: str
    folder: Path
    file: Path
    params: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""

    @property
    def seeds(self) -> list[int]:
        """The seeds that its sweep goes through."""
        return [int(seed) for seed in sweep_values(self.params.get("seed"))]

    @property
    def methods(self) -> list[str]:
        """The methods that its sweep goes through."""
        return sweep_values(self.params.get("method"))

    def starts(self, other: "Experiment") -> bool:
        """Whether runs of another experiment begin with its own."""
        return other.start.startswith(f"{self.folder}/")

    def sweeps(self, cells: Sequence[tuple[str, str]], *, needed: bool = False) -> list[list[str]]:
        """The overrides of sweeps that make these of its own cells together, and no other.

        Where what follows needs it, they make all its rows of those columns.
        """
        methods = self.methods
        if needed:
            cells = list(dict.fromkeys((row, column) for _, column in cells for row in methods))
        columns: dict[str, tuple[str, ...]] = {}
        for row, column in cells:
            if row in methods:
                columns[row] = (*columns.get(row, ()), column)
        alike: dict[tuple[str, ...], list[str]] = {}
        for row, names in columns.items():
            alike.setdefault(names, []).append(row)
        keys = [key for key in SIDES if key in self.params]
        return [
            [f"method={','.join(rows)}", *column_overrides(part, keys)]
            for names, rows in alike.items()
            for part in ([names] if len(keys) < 2 else [(column,) for column in names])
        ]


@dataclass(frozen=True, kw_only=True)
class PaperTable(Experiment):
    """An experiment that states a paper's values.

    Attributes:
        paper: what it states.
    """

    paper: Paper

    @property
    def cells(self) -> dict[tuple[str, str], float]:
        """The paper's value by row and column."""
        return {
            (row, column): float(value)
            for row, values in self.paper.rows.items()
            for column, value in zip(self.paper.columns, values, strict=True)
            if value is not None
        }

    @property
    def is_exact(self) -> bool:
        """Whether a cell is inside only if it equals the paper's in every printed digit."""
        rounded = self.paper.tolerance is not None and self.paper.tolerance <= ROUNDED
        return rounded and not self.paper.bands

    @property
    def kept(self) -> Path:
        """The file of our recorded runs, there or not."""
        return self.file.with_name(f"{self.file.stem}{RECORDED}")

    @cached_property
    def recorded(self) -> list[RunRecord]:
        """Our recorded runs; none where their file is damaged, which is said once."""
        if not is_there(self.kept):
            return []
        try:
            return read_kept(self.kept)
        except InputError as error:
            print(f"skipped: {error}", file=sys.stderr)
            return []

    @property
    def first(self) -> list[Experiment]:
        """The experiments whose runs come before its own; they state no values."""
        return [load_experiment(name) for name in self.paper.first]

    def select_cells(self, patterns: str | None) -> list[tuple[str, str]]:
        """The cells that ``row/column,...`` names, ``*`` for any; all where nothing is named.

        Raises:
            InputError: there is no such cell.
        """
        selected: dict[tuple[str, str], None] = {}
        for pattern in ["*"] if patterns is None else patterns.split(","):
            matching = [cell for cell in self.cells if fnmatchcase("/".join(cell), pattern.strip())]
            if not matching:
                raise InputError(
                    f"--cells {pattern}: {self.name} has no such cell; ROW/COLUMN has the rows "
                    f"{listed(self.paper.rows)} and the columns {listed(self.paper.columns)}"
                    ", and * is any of them"
                )
            selected |= dict.fromkeys(matching)
        return list(selected)

    def band(self, row: str, paper: float, *, cells: int = 1) -> tuple[float, float]:
        """The lowest and highest values that reproduce a paper's, of a cell or a mean of some.

        The tolerance of means is of a whole row: fewer cells stray from it by the root of how many
        times fewer they are.
        """
        if band := self.paper.bands.get(row):
            return float(band[0]), float(band[1])
        tolerance = self.paper.tolerance or 0.0
        if self.paper.verdict or cells > 1:
            of_mean = self.paper.mean_tolerance
            fewer = len(self.paper.columns) / cells
            tolerance = (tolerance if of_mean is None else of_mean) * fewer**0.5
        return paper - tolerance, paper + tolerance


def find_experiments() -> dict[str, Path]:
    """The files of all experiments by name, of installed packages too."""
    folders = [root / "experiments" for _, root in config_roots()]
    return {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for folder in reversed(folders)  # of two with one name ours is the one that Hydra finds
        for file in sorted(folder.rglob("*.yaml"))
    }


def find_tables() -> dict[str, PaperTable]:
    """Every experiment that states a paper's values; those that cannot be read are named."""
    tables = {}
    for name, file in sorted(find_experiments().items()):
        try:
            if "paper" in (node := read_experiment(file)):
                tables[name] = parse_table(parse_sweep(name, file, node), node["paper"])
        except InputError as error:
            print(f"skipped: {error}", file=sys.stderr)
    return tables


def load_experiment(name: str) -> Experiment:
    """An experiment by its name.

    Raises:
        InputError: there is none, it is no sweep, or states no proper table.
    """
    if (file := find_experiments().get(name)) is None:
        raise InputError(f"there is no experiment {name}; da list experiments shows them")
    node = read_experiment(file)
    experiment = parse_sweep(name, file, node)
    return parse_table(experiment, node["paper"]) if "paper" in node else experiment


def read_experiment(file: Path) -> Mapping[str, Any]:
    """The keys in the file of an experiment.

    Raises:
        InputError: it is no config.
    """
    text = read_text(file, "config")
    with explain_damage(file, "config", mend="mend it, or move it away"):
        node: Any = OmegaConf.to_container(OmegaConf.load(StringIO(text)))
    if not isinstance(node, Mapping):
        raise InputError(f"{file}: a config has keys, and this is a list")
    check_experiment(node, file)
    return node


def parse_sweep(name: str, file: Path, node: Mapping[str, Any]) -> Experiment:
    """The sweep of an experiment.

    Raises:
        InputError: it is no sweep.
    """
    folder = nested_value(node, "hydra", "sweep", "dir")
    params = nested_value(node, "hydra", "sweeper", "params")
    if not (isinstance(folder, str) and isinstance(params, Mapping)):
        raise InputError(
            f"{file}: the runs of a table are a sweep, which has hydra.sweep.dir and "
            "hydra.sweeper.params"
        )
    start = str(nested_value(node, "init_from") or "")
    return Experiment(name, Path(folder), file, params=params, start=start)


def parse_table(experiment: Experiment, paper: Any) -> PaperTable:
    """An experiment with the table that it states.

    Raises:
        InputError: with a line for everything wrong with it.
    """
    if not isinstance(paper, Mapping):
        raise InputError(
            f"{experiment.file}: paper: must have keys such as title, columns and rows"
        )
    wrong = list(config_errors(paper, Paper, "paper", partial=False))
    if not wrong:
        stated = Paper(**check_config(paper, Paper))
        table = PaperTable(**{**vars(experiment), "paper": stated})
        wrong = [*stated.problems(), *missing_rows(table)]
    if wrong:
        raise InputError(*(f"{experiment.file}: {line}" for line in wrong))
    return table


def missing_rows(table: PaperTable) -> Iterator[str]:
    """The rows of a table that its sweeps do not make, and what else keeps them from it."""
    known = find_experiments()
    earlier = [name for name in table.paper.first if name in known]
    if stating_too := [name for name in earlier if "paper" in read_experiment(known[name])]:
        yield f"paper.first: {listed(stating_too)} states values of its own"
        return
    methods = {row for stage in (*table.first, table) for row in stage.methods}
    if left := [row for row in table.paper.rows if row not in methods]:
        yield f"paper.rows: no hydra.sweeper.params.method has {listed(left)}"
    if unknown := [seed for seed in sweep_values(table.params.get("seed")) if not seed.isdecimal()]:
        yield f"hydra.sweeper.params.seed: {listed(unknown)} is no seed"


def sweep_values(written: Any) -> list[str]:
    """The values that a sweep goes through: ``1,2``, ``range(1,3)``, or a single value."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if written is None:
        return []
    try:
        parsed = OverridesParser.create().parse_override(f"key={written}")
    except HydraException as error:
        raise InputError(
            f"{written} is nothing that a sweep goes through: {one_line(error)}"
        ) from None
    if parsed.is_sweep_override():
        return list(map(str, parsed.sweep_string_iterator()))
    return [str(written)]


def nested_value(node: Any, *keys: str) -> Any:
    """The value below these keys; ``None`` if there is none."""
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def column_overrides(columns: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The overrides that choose these columns of a sweep which goes through these keys."""
    parts = [column.replace("+", ",").split("-") for column in columns]
    values = {
        "dataset.pair": [f"[{source},{target}]" for source, target in parts],
        "dataset.source": [f"[{source}]" for source, _ in parts],
        "dataset.target": [f"[{target}]" for _, target in parts],
    }
    return [f"{key}={','.join(values[key])}" for key in keys]
