"""All tables of papers at once: how many of their values are recorded, and how near they are."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from statistics import fmean
from typing import NamedTuple

from rich.table import Table as Grid

from da_framework.core.damage import is_there
from da_framework.core.errors import listed
from da_framework.core.rounding import format_fixed, round_half_up
from da_framework.results.computed_table import (
    ComputedTable,
    describe_record,
    find_computed_tables,
    judge_table,
    read_record,
)
from da_framework.results.experiments import PaperTable, find_tables
from da_framework.results.record_schema import RunRecord
from da_framework.results.reproduction import (
    ReproducedCell,
    describe_provenance,
    judge_cells,
    percents,
)

NOT_RECORDED = "not recorded"


class Overview(NamedTuple):
    """A table of a paper and what is recorded of it.

    Attributes:
        name: ``paper/table``.
        title: of the paper and its table.
        parts: its rows, or its quantities.
        values: that the paper prints.
        recorded: how many of them have one of ours beside them.
        exact: of these, equal to the paper's in every printed digit.
        inside: verdicts, of values or of means of rows, that ours is as near as was stated.
        outside: verdicts that it is not.
        minutes: of a processor, in words.
        known: how surely the paper's values are known.
        origin: when and with which versions it was recorded.
        finding: what the recorded values say, in a sentence.
    """

    name: str
    title: str
    parts: Sequence[str]
    values: int
    recorded: int
    exact: int
    inside: int
    outside: int
    minutes: str
    known: str
    origin: str
    finding: str

    @property
    def verdict(self) -> str:
        """The counts in words."""
        counts = {"exact": self.exact, "inside": self.inside, "outside": self.outside}
        words = [f"{count} {word}" for word, count in counts.items() if count]
        return listed(words) if words else ""


def list_overviews() -> list[Overview]:
    """Every table, trained or computed, by name."""
    trained = map(overview_trained, find_tables().values())
    return sorted([*trained, *map(overview_computed, find_computed_tables().values())])


def overview_trained(table: PaperTable) -> Overview:
    """A table that runs make."""
    cells = judge_cells(table, table.recorded)
    verdicts = [cell.inside for cell in cells if cell.inside is not None]
    exact = sum(map(equals_print, cells, repeat(printed_digits(table)))) if table.is_exact else 0
    return Overview(
        name=table.name,
        title=table.paper.title.partition(" (")[0],
        parts=list(table.paper.rows),
        values=len(table.cells),
        recorded=sum(bool(cell.runs) for cell in cells if cell.column in table.paper.columns),
        exact=exact,
        inside=sum(verdicts) - exact,
        outside=len(verdicts) - sum(verdicts),
        minutes=trained_minutes(table, table.recorded),
        known=table.paper.known,
        origin=describe_provenance(table.recorded) if table.recorded else NOT_RECORDED,
        finding=table.paper.finding,
    )


def printed_digits(table: PaperTable) -> int:
    """How many digits after the point the paper prints of its values."""
    return max(len(str(value).partition(".")[2]) for value in table.cells.values())


def equals_print(cell: ReproducedCell, digits: int) -> bool:
    """Whether ours is the paper's in every digit that it prints."""
    if not cell.inside:
        return False
    ours = fmean(percents(cell.runs, "last"))
    return round_half_up(ours, digits) == round_half_up(cell.paper, digits)


def trained_minutes(table: PaperTable, recorded: Sequence[RunRecord]) -> str:
    """What a table took, or is thought to take."""
    if not recorded:
        estimate = table.paper.minutes
        return "not known" if estimate is None else f"about {estimate}"
    # before the processor's time was kept, the clock's stands in for it
    seconds = (record["seconds"] for record in recorded)
    return format_fixed(sum(each["cpu"] if "cpu" in each else each["all"] for each in seconds) / 60)


def overview_computed(table: ComputedTable) -> Overview:
    """A table that a function computes."""
    record = read_record(table.kept) if is_there(table.kept) else None
    cells = judge_table(table, record)
    inside = [cell for cell in cells if cell.inside]
    exact = sum(table.panels[cell.panel].is_exact(cell.row, cell.column) for cell in inside)
    return Overview(
        name=table.name,
        title=table.title,
        parts=list(table.panels),
        values=len(table.cells),
        recorded=sum(cell.ours is not None for cell in cells),
        exact=exact,
        inside=len(inside) - exact,
        outside=sum(cell.inside is False for cell in cells),
        minutes=f"about {table.minutes:g}"
        if record is None
        else format_fixed(record.seconds["cpu"] / 60),
        known=table.known,
        origin=NOT_RECORDED if record is None else describe_record(record),
        finding=table.finding,
    )


def count_all(tables: Sequence[Overview]) -> str:
    """What there is of all tables together, in a sentence."""
    recorded = [table for table in tables if table.recorded]
    sums = {
        word: sum(getattr(table, word) for table in recorded)
        for word in ("recorded", "exact", "inside", "outside")
    }
    return (
        f"{len(recorded)} of {len(tables)} tables are recorded, {sums['recorded']} of their "
        f"values: {sums['exact']} equal the paper's in every printed digit, and of the verdicts "
        f"within stated bounds {sums['inside']} are inside and {sums['outside']} outside."
    )


def render_overview(tables: Sequence[Overview]) -> Grid:
    """Every table with its values, verdicts, what it costs, and when it was recorded."""
    heads = ("table", "values", "verdicts", "CPU minutes", "recorded")
    grid = Grid(*heads, show_lines=True, caption=count_all(tables), caption_justify="left")
    for table in tables:
        grid.add_row(
            f"{table.name}\n{table.title}",
            f"{table.values}: {listed(table.parts)}",
            table.verdict,
            table.minutes,
            table.origin,
        )
    return grid


def overview_lines(tables: Sequence[Overview], pages: Mapping[str, str]) -> Iterator[str]:
    """The same in Markdown, and what each table says.

    Args:
        tables: in this order.
        pages: where each is told of, by the name of its paper.
    """
    columns = ("table", "values", "recorded", "exact", "inside", "outside", "CPU minutes")
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for table in tables:
        page = pages.get(table.name.partition("/")[0])
        counts = (table.values, table.recorded, table.exact, table.inside, table.outside)
        fields = (f"[`{table.name}`]({page})" if page else f"`{table.name}`", *map(str, counts))
        yield f"| {' | '.join(fields)} | {table.minutes} |"
    for table in tables:
        if table.finding:
            yield f"\n**{table.title}** (`{table.name}`, {table.known}): {table.finding}."
