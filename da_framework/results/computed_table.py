"""Papers' tables that a function computes: their values, what was computed, and the verdicts."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from io import StringIO
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Any, NamedTuple

from omegaconf import OmegaConf
from pydantic import Field, TypeAdapter

from da_framework.config.plugins import config_roots
from da_framework.config.schema import check_config, config_errors, instantiate
from da_framework.config.source_code import import_closure
from da_framework.core.damage import explain_damage, is_there, read_json, read_text
from da_framework.core.errors import InputError, listed
from da_framework.core.files import write_text
from da_framework.core.rounding import format_fixed, round_half_up
from da_framework.core.types import ConfigNode, Index
from da_framework.results.experiments import RECORDED, Amount, Number
from da_framework.results.record import environment
from da_framework.results.record_schema import Environment, Seconds, first_violation

GROUP = "computed_table"
WHAT = "record of a computed table"
VERDICTS = {True: "inside", False: "OUTSIDE", None: ""}
Factor = Annotated[int | float, Field(ge=1, allow_inf_nan=False)]
Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Computed values by panel, row and column, in the units of the panel."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A part of a paper's table: one quantity, with its values and how near is near enough.

    Attributes:
        title: of the quantity, with its unit.
        columns: their names.
        rows: the paper's values, one a column; ``None`` where there is none.
        digits: after the point, that values are shown with.
        factor: how many times more or less than the paper's value is inside.
        tolerance: how far beyond that is inside as well: half a unit of the last printed digit, or
            a bound of its own.
        bands: the lowest and highest value that is inside, by ``row/column`` with ``*`` for any, of
            cells of which that is no factor and no tolerance.
        exceptions: other bounds, by ``row/column`` with ``*`` for any; the last that fits counts.
        reason: of the bounds.
        doubted: cells whose printed value is wrong in the paper, by ``row/column``, and why: they
            are shown without a verdict.
    """

    title: str
    columns: list[str]
    rows: dict[str, list[Number | None]]
    digits: Index
    factor: Factor = 1.0
    tolerance: Amount = 0.0
    bands: dict[str, list[Number]] = field(default_factory=dict)
    exceptions: dict[str, dict[str, Amount]] = field(default_factory=dict)
    reason: str
    doubted: dict[str, str] = field(default_factory=dict)

    def problems(self, where: str) -> Iterator[str]:
        """Where its parts contradict one another."""
        if wrong := [row for row, own in self.rows.items() if len(own) != len(self.columns)]:
            for row in wrong:
                counts = f"{len(self.rows[row])} values for {len(self.columns)} columns"
                yield f"{where}.rows.{row}: {counts}"
            return
        for pattern, bounds in self.exceptions.items():
            if unknown := bounds.keys() - {"factor", "tolerance"}:
                yield f"{where}.exceptions.{pattern}: there is no {listed(sorted(unknown))}"
        for pattern, band in self.bands.items():
            if len(band) != 2 or band[0] > band[1]:
                yield f"{where}.bands.{pattern}: {band} is not [lowest, highest]"
        for pattern in (*self.bands, *self.exceptions, *self.doubted):
            if not any(fnmatchcase(f"{row}/{column}", pattern) for row, column in self.cells):
                yield f"{where}: no cell is {pattern}; cells are row/column, * for any"

    @property
    def cells(self) -> dict[tuple[str, str], float]:
        """The paper's value by row and column."""
        return {
            (row, column): float(value)
            for row, values in self.rows.items()
            for column, value in zip(self.columns, values, strict=True)
            if value is not None
        }

    def band(self, row: str, column: str) -> tuple[float, float]:
        """The lowest and highest values that reproduce the paper's."""
        for pattern, band in self.bands.items():
            if fnmatchcase(f"{row}/{column}", pattern):
                return float(band[0]), float(band[1])
        bounds = {"factor": self.factor, "tolerance": self.tolerance}
        for pattern, others in self.exceptions.items():
            if fnmatchcase(f"{row}/{column}", pattern):
                bounds |= others
        paper, factor, tolerance = self.cells[row, column], bounds["factor"], bounds["tolerance"]
        ends = sorted((paper / factor, paper * factor))
        return ends[0] - tolerance, ends[1] + tolerance

    def is_exact(self, row: str, column: str) -> bool:
        """Whether a value is inside only if it is equal in every printed digit."""
        low, high = self.band(row, column)
        unit: float = 10.0**-self.digits
        return high - low <= 1.001 * unit  # half of it to either side

    def is_doubted(self, row: str, column: str) -> bool:
        """Whether the paper's value is wrong."""
        return any(fnmatchcase(f"{row}/{column}", pattern) for pattern in self.doubted)


class ComputedCell(NamedTuple):
    """A cell of a panel as computed.

    Attributes:
        panel, row, column: where it stands.
        paper: its value there.
        ours: computed; ``None`` where it was not.
        inside: whether ours is as near as the panel says; ``None`` where there is no verdict.
    """

    panel: str
    row: str
    column: str
    paper: float
    ours: float | None
    inside: bool | None


@dataclass(frozen=True, kw_only=True)
class ComputedTable:
    """A paper's table that a function computes.

    Attributes:
        name: ``paper/table``.
        file: that it is stated in.
        title: of the paper and its tables.
        known: how surely the paper's values are known.
        minutes: of a processor that it is thought to take, until it is recorded.
        compute: config of the function.
        quick: keys of the function by which it is a tenth of the work.
        panels: the paper's values, by the names that the function gives its figures.
        finding: what our recorded figures say, in a sentence without a number.
    """

    name: str
    file: Path
    title: str
    known: str
    minutes: Amount
    compute: ConfigNode
    quick: dict[str, Any] = field(default_factory=dict)
    panels: dict[str, Panel]
    finding: str = ""

    @property
    def cells(self) -> dict[tuple[str, str, str], float]:
        """The paper's values by panel, row and column."""
        return {
            (name, *cell): value
            for name, panel in self.panels.items()
            for cell, value in panel.cells.items()
        }

    @property
    def folder(self) -> Path:
        """Where it is computed."""
        return Path("multirun") / self.name.replace("/", "-")

    @property
    def kept(self) -> Path:
        """The file of our recorded figures, there or not: among the experiments of its configs."""
        configs = self.file.parents[len(Path(self.name).parts)]
        return configs / "experiments" / f"{self.name}{RECORDED}"


class TableRecord(NamedTuple):
    """What was computed, and by what.

    Attributes:
        figures: by panel, row and column.
        config: of the function, less where its data is.
        seconds: that it took.
        environment: versions and machine.
        code: hash of the sources that the function imports.
        finished: when.
    """

    figures: Figures
    config: Mapping[str, Any]
    seconds: Seconds
    environment: Environment
    code: str
    finished: str


def find_computed_tables() -> dict[str, ComputedTable]:
    """Every table that a function computes; those that cannot be read are named."""
    tables = {}
    for name, file in sorted(table_files().items()):
        try:
            tables[name] = load_computed_table(name, file)
        except InputError as error:
            print(f"skipped: {error}", file=sys.stderr)
    return tables


def table_files() -> dict[str, Path]:
    """The files of all computed tables by name, of installed packages too."""
    folders = [root / GROUP for _, root in config_roots()]
    return {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for folder in reversed(folders)  # of two with one name ours counts
        for file in sorted(folder.rglob("*.yaml"))
    }


def load_computed_table(name: str, file: Path) -> ComputedTable:
    """A computed table as its file states it.

    Raises:
        InputError: with a line for everything wrong with it.
    """
    text = read_text(file, "config")
    with explain_damage(file, "config", mend="mend it, or move it away"):
        node: Any = OmegaConf.to_container(OmegaConf.load(StringIO(text)), resolve=True)
    if not isinstance(node, Mapping):
        raise InputError(f"{file}: a config has keys, and this is a list")
    given = {**node, "panels": dict.fromkeys(node.get("panels") or {})}
    wrong = list(config_errors(given, stated_table, "", partial=False))
    for key, panel in (node.get("panels") or {}).items():
        wrong += config_errors(panel, Panel, f"panels.{key}", partial=False)
    if not wrong:
        panels = {key: Panel(**check_config(p, Panel)) for key, p in node["panels"].items()}
        for key, panel in panels.items():
            wrong += panel.problems(f"panels.{key}")
        if not wrong:
            return ComputedTable(**{**node, "name": name, "file": file, "panels": panels})
    raise InputError(*(f"{file}: {line}" for line in wrong))


def stated_table(
    *,
    title: str,
    known: str,
    minutes: Amount,
    compute: ConfigNode,
    panels: dict[str, Any],
    quick: dict[str, Any] | None = None,
    finding: str = "",
) -> None:
    """The keys of a table's file."""


def compute_table(table: ComputedTable, *, quick: bool = False) -> TableRecord:
    """Computes a table's figures, or what is missing of them, in a folder below ``multirun/``.

    Raises:
        InputError: something that the function reads is missing.
    """
    node = {**table.compute, **(table.quick if quick else {})}
    target = str(node["_target_"]).rpartition(".")[0]
    modules = {target, *(t.rpartition(".")[0] for t in nested_targets(node))}
    code = hashlib.sha256()
    for module, path in sorted(import_closure(modules).items()):
        code.update(f"{module}\n".encode() + path.read_bytes())
    config = {key: value for key, value in node.items() if key != "data_dir"}
    words = json.dumps([config, code.hexdigest()], sort_keys=True)
    folder = table.folder / hashlib.sha256(words.encode()).hexdigest()[:16]
    whole = folder / "figures.json"
    if not is_there(whole):
        folder.mkdir(parents=True, exist_ok=True)
        taken: list[dict[str, float]] = []

        def keep(name: str, make: Callable[[], Any]) -> Any:
            """A part of the work: made, or read where it was made before."""
            file = folder / f"{name}.json"
            if not is_there(file):
                cpu, clock = process_time(), perf_counter()
                made = make()
                spent = {"cpu": process_time() - cpu, "all": perf_counter() - clock}
                write_text(file, json.dumps({"made": made, "seconds": spent}))
            part: Any = read_json(file, WHAT)
            with explain_damage(file, WHAT, mend="remove it: it is made again"):
                taken.append(part["seconds"])
                return part["made"]

        figures = instantiate(node)(keep)
        record = TableRecord(
            figures=figures,
            config=config,
            seconds={
                "cpu": sum(own["cpu"] for own in taken),
                "all": sum(own["all"] for own in taken),
            },
            environment=environment(),
            code=code.hexdigest()[:16],
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_record(whole, record)
    return read_record(whole)


def nested_targets(node: Any) -> Iterator[str]:
    """What the nodes inside a config build."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for below in node.values():
            yield from nested_targets(below)


def write_record(file: Path, record: TableRecord) -> None:
    """Writes what was computed."""
    write_text(file, json.dumps(record._asdict(), indent=1, ensure_ascii=False) + "\n")


def read_record(file: Path) -> TableRecord:
    """What was computed.

    Raises:
        InputError: the file is damaged.
    """
    node: Any = read_json(file, WHAT)
    if reason := first_violation(TypeAdapter(TableRecord), list(node.values())):
        raise InputError(f"{file} is no {WHAT} ({reason}): remove it: it is made again")
    return TableRecord(**node)


def judge_table(table: ComputedTable, record: TableRecord | None) -> list[ComputedCell]:
    """Every cell of a table beside what was computed."""
    cells = []
    for (name, row, column), paper in table.cells.items():
        panel = table.panels[name]
        ours = record.figures.get(name, {}).get(row, {}).get(column) if record else None
        inside = None
        if ours is not None and not panel.is_doubted(row, column):
            low, high = panel.band(row, column)
            shown = float(round_half_up(ours, panel.digits))
            inside = low - 1e-9 <= shown <= high + 1e-9
        cells.append(ComputedCell(name, row, column, paper, ours, inside))
    return cells


def render_computed(
    table: ComputedTable, record: TableRecord | None, *, judged: bool = True
) -> str:
    """The panels, each value beside the paper's, and how many are within their bounds.

    Args:
        table: with the paper's values.
        record: what was computed.
        judged: whether there are verdicts.
    """
    cells = judge_table(table, record)
    lines = [f"{table.title}. The paper's values are {table.known}.", ""]
    for name, panel in table.panels.items():
        own = [cell for cell in cells if cell.panel == name]
        mark = ", ✗ where outside" if judged else ""
        lines += [f"{panel.title}; ours / the paper's{mark}:", ""]
        lines += [*panel_lines(panel, own, judged=judged), ""]
        verdicts = [cell.inside for cell in own if cell.inside is not None]
        missing = sum(cell.ours is None for cell in own)
        counted = f"{sum(verdicts)} of {len(verdicts)} cells inside" if judged else "no verdict"
        lines += [f"{counted} ({panel.reason}); {missing} not computed.", ""]
        for pattern, why in panel.doubted.items():
            lines += [f"Without a verdict: {pattern}: {why}.", ""]
    if record is not None:
        lines.append(f"Computed: {describe_record(record)}.")
    return "\n".join(lines).rstrip()


def panel_lines(panel: Panel, cells: Sequence[ComputedCell], *, judged: bool) -> Iterator[str]:
    """A panel as Markdown: a row a line."""
    by_place = {(cell.row, cell.column): cell for cell in cells}

    def entry(row: str, column: str) -> str:
        cell = by_place.get((row, column))
        if cell is None:
            return ""
        ours = "" if cell.ours is None else format_fixed(cell.ours, panel.digits)
        mark = " ✗" if judged and cell.inside is False else ""
        return f"{ours} / {format_fixed(cell.paper, panel.digits)}{mark}"

    for fields in (
        ["row", *panel.columns],
        ["---"] * (1 + len(panel.columns)),
        *([row, *(entry(row, column) for column in panel.columns)] for row in panel.rows),
    ):
        yield f"| {' | '.join(fields)} |"


def describe_record(record: TableRecord) -> str:
    """When, with which versions, by which code, and in how many minutes of a processor."""
    versions = record.environment["versions"]
    used = [f"{name} {versions[name]}" for name in ("torch", "numpy") if name in versions]
    minutes = format_fixed(record.seconds["cpu"] / 60, 1)
    return "; ".join([record.finished[:10], *used, f"code {record.code[:8]}", f"{minutes} minutes"])
