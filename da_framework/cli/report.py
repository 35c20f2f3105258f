"""``da report``: finished runs as a table, and as files."""

import sys
from pathlib import Path

from da_framework.cli.arguments import ArgumentParser
from da_framework.core.terminal import open_console
from da_framework.results.report import make_report, markdown_lines
from da_framework.results.tables import (
    draw_sensitivity,
    gather_records,
    gather_verified,
    keep_records,
    write_report,
)
from da_framework.results.terminal import print_report


def main(arguments: list[str]) -> None:
    """``da report FOLDER ...``: a table of the runs below, and files if asked for.

    A terminal gets a table as wide as it is, a pipe or a file Markdown.
    """
    parser = ArgumentParser(
        prog="da report",
        description=main.__doc__,
        epilog="example: da report multirun --html report.html",
    )
    parser.add_argument("folders", nargs="+", type=Path, help="of runs, or files made by --keep")
    parser.add_argument(
        "--against",
        nargs="*",
        help="methods: how far are others above them? if not given: above those that do not adapt",
    )
    parser.add_argument(
        *("--out", "--html"),
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="also write the table (.csv, .parquet, .md), or one page with all there is (.html)",
    )
    parser.add_argument("--keep", type=Path, help="a file to keep these runs' numbers in")
    parser.add_argument(
        "--validators", action="store_true", help="how well they choose, by callback=[validators]"
    )
    parser.add_argument(
        "--estimates", action="store_true", help="how far off, by callback=[accuracy_estimators]"
    )
    parser.add_argument(
        "--selection", action="store_true", help="by what settings are chosen: dataset.left_out"
    )
    parser.add_argument("--over", metavar="KEY", help="of the config: --picture draws its values")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="accuracy over --over KEY")
    parsed = parser.parse_args(arguments)
    if (parsed.over is None) != (parsed.picture is None):
        parser.error("--over KEY and --picture PNG go together")
    beyond = parsed.keep or parsed.validators or parsed.estimates or parsed.selection
    curves = bool(beyond) or any(path.suffix == ".html" for path in parsed.out)
    records = gather_records(parsed.folders, curves=curves)
    if parsed.keep:
        keep_records(parsed.keep, records)
    # each is imported where it is asked for: a table does not wait for it
    if parsed.validators:
        from da_framework.results.validator_quality import render_validators

        print(render_validators(records))
        return
    if parsed.estimates:
        from da_framework.results.estimate_quality import render_estimates

        print(render_estimates(records))
        return
    if parsed.selection:
        from da_framework.results.selection import render_selection

        print(render_selection(records))
        return
    against = parsed.against
    if against is None:
        against = sorted({r["choices"]["method"] for r in records if r.get("baseline")})
    report = make_report(records, against=against, verified=gather_verified(records))
    if sys.stdout.isatty():
        print_report(report, open_console())
    else:  # what goes on through a pipe or into a file is Markdown
        print(*markdown_lines(report), sep="\n")
    for path in parsed.out:
        write_report(path, report)
    if parsed.picture:
        draw_sensitivity(parsed.picture, records, over=parsed.over)
