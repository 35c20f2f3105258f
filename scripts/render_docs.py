"""Fills the generated parts of the documents, and writes the stub of the package's front door.

A part stands between ``<!-- name -->`` and ``<!-- /name -->``; a test holds all of them current.
"""

import sys
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import da_framework
from da_framework.cli.new_method import file_contents
from da_framework.core.rounding import format_fixed
from da_framework.core.text import replace_marked
from da_framework.results.cells import sides
from da_framework.results.computed_table import (
    find_computed_tables,
    read_record,
    render_computed,
)
from da_framework.results.estimate_quality import render_estimates
from da_framework.results.experiments import find_tables
from da_framework.results.record_schema import RunRecord
from da_framework.results.report import render_markdown
from da_framework.results.reproduction import judge_cells, render_reproduction
from da_framework.results.tables import gather_records, read_kept
from da_framework.results.validator_quality import render_validators

ROOT = Path(__file__).resolve().parents[1]
STUB = ROOT / "da_framework" / "__init__.pyi"
EXPERIMENTS = ROOT / "experiments"
LINE_LENGTH = 100  # of pyproject.toml
AGAINST = {
    "amazon_text/bags": ["source_only"],
    "amazon_text/frozen": ["source_only"],
    "cdan_2018/mcd_dropout": [],
    "cdan_2018/steps_1000": ["source_only"],
    "dage_2021/digits_joint": [],
    "dage_2021/no_augmentation": [],
    "dann_2016/digits_ablation": [],
    "dann_2016/steps_17200": [],
    "dann_2016/two_layers": [],
    "digits_pair/alignment": ["source_only", "control"],
    "digits_pair/few_labels": ["source_only", "target_only"],
    "domainbed_2021/steps_2400": ["source_only"],
    "emoji/leave_one_out": ["source_only"],
    "fine_tuning/mixing": [],
    "mdan_2018/amazon_source": [],
    "office_caltech10/fine_tuned": ["source_only", "control"],
    "office_caltech10/heterogeneous": ["target_only"],
    "shot_2020/steps_3000": ["source_only"],
    "wdgrl_2018/steps_10000": [],
    "wdgrl_2018/weight_100000": [],
}
"""What the methods of a recorded sweep are compared with."""


@cache  # a part stands in one document, and a document asks for all
def render_parts() -> dict[str, str]:
    """Every generated part by name."""
    dann = (ROOT / "da_framework" / "methods" / "dann.py").read_text("utf-8")
    sweeps = {
        Path(name).name: render_markdown(
            gather_records([EXPERIMENTS / f"{name}.recorded.json"]), against=against
        )
        for name, against in AGAINST.items()
    }
    new = file_contents("mean_distance", ROOT, "da_framework", apart=False).values()
    shown = zip(
        ("new_method", "new_config", "new_test"), ("python", "yaml", "python"), new, strict=True
    )
    return {
        "dann": f"```python\n{dann}```",
        **{name: f"```{language}\n{text}```" for name, language, text in shown},
        **validator_tables(),
        "estimates": render_recorded_estimates("digits"),
        "estimates_amazon": render_recorded_estimates("amazon"),
        "estimates_office": render_recorded_estimates("office"),
        "estimates_shares": render_recorded_estimates("digits_shares"),
        "images": render_matrix("office_caltech10/images"),
        "amazon_domains": render_domain_accuracy("dann_2016/amazon"),
        "digits_domains": render_domain_accuracy("dann_2016/digits"),
        **sweeps,
        **paper_tables(),
    }


def render_recorded_estimates(name: str) -> str:
    """How far off estimates of accuracy were in a recorded sweep."""
    return render_estimates(read_kept(EXPERIMENTS / "estimates" / f"{name}.recorded.json"))


def validator_tables() -> dict[str, str]:
    """How well validators choose among all checkpoints, and among those at usual weights."""
    every = read_kept(EXPERIMENTS / "validators" / "digits.recorded.json")
    usual = [
        record
        for record in every
        if record["choices"]["method"] != "entropy_minimization"
        and record["config"]["method"].get("weight", 1) == 1
    ]
    return {
        "validators": render_validators(every),
        "usual": render_validators(usual),
    }


def render_matrix(name: str) -> str:
    """A recorded sweep of a run a cell: methods down, pairs across, and their mean; last steps."""
    rows: dict[str, dict[str, float]] = {}
    for record in read_kept(EXPERIMENTS / f"{name}.recorded.json"):
        pair = " → ".join(names[0][0] for names in sides(record))
        rows.setdefault(record["choices"]["method"], {})[pair] = 100 * last_accuracy(record)
    lines = [
        [
            f"`{method}`",
            *(format_fixed(value) for value in own.values()),
            format_fixed(fmean(own.values()), 2),
        ]
        for method, own in rows.items()
    ]
    head = ["method", *next(iter(rows.values())), "mean"]
    return "\n".join(f"| {' | '.join(own)} |" for own in (head, ["---"] * len(head), *lines))


def render_domain_accuracy(name: str) -> str:
    """How well a linear classifier tells the domains apart, of recorded runs as wide as DANN's.

    Means over pairs and seeds, of the features at the last step.
    """
    records = [
        record
        for record in read_kept(EXPERIMENTS / f"{name}.recorded.json")
        if "diagnosis" in record
    ]
    wide = next(hidden_widths(own) for own in records if own["choices"]["method"] == "dann")
    rows: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if hidden_widths(record) == wide:
            weight = record["config"]["method"].get("weight")
            shown = "" if weight is None else f" weight={weight:g}"
            figures = record["diagnosis"]["domain_accuracy"], last_accuracy(record)
            rows.setdefault(f"`{record['choices']['method']}`{shown}", []).append(figures)
    lines = [["row", "domain accuracy", "target accuracy", "runs"], ["---"] * 4]
    for row, accuracies in rows.items():
        means = [format_fixed(100 * fmean(column)) for column in zip(*accuracies, strict=True)]
        lines.append([row, *means, str(len(accuracies))])
    return "\n".join(f"| {' | '.join(own)} |" for own in lines)


def last_accuracy(record: RunRecord) -> float:
    """Target accuracy of the last step; every recorded run has it."""
    return record["target"]["last"]["accuracy"]


def hidden_widths(record: RunRecord) -> Any:
    """The widths of a recorded run's hidden layers, if its backbone has any."""
    return record["config"]["network"].get("backbone", {}).get("widths")


def paper_tables() -> dict[str, str]:
    """The tables of papers that have been recorded, with their verdicts."""
    rendered = {}
    for name, table in find_tables().items():
        if records := table.recorded:
            rendered[name] = render_reproduction(table, judge_cells(table, records), records)
    for name, computed in find_computed_tables().items():
        if (file := computed.kept).is_file():
            rendered[name] = render_computed(computed, read_record(file))
    return rendered


def render_document(text: str) -> str:
    """A document with its generated parts renewed."""
    for name, content in render_parts().items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if begin in text:
            if end not in text.partition(begin)[2]:
                raise SystemExit(f"{begin} has no {end}")
            text = replace_marked(text, begin, end, content)
    return text


def documents() -> list[Path]:
    """The documents with generated parts."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(EXPERIMENTS.glob("*/README.md")),
    ]


def render_stub() -> str:
    """What a type checker reads of the names that the package imports when they are asked for."""
    modules = da_framework.public_modules()
    lines = ["# rendered by scripts/render_docs.py: what da_framework.__getattr__ gives"]
    for name, module in sorted(modules.items(), key=lambda item: (item[1], item[0])):
        line = f"from da_framework.{module} import {name} as {name}"
        if len(line) > LINE_LENGTH:
            line = f"from da_framework.{module} import (\n    {name} as {name},\n)"
        lines.append(line)
    own = ["__version__: str", "", "def public_modules() -> dict[str, str]: ..."]
    return "\n".join([*lines, "", *own, ""])


if __name__ == "__main__":
    for document in documents():
        document.write_text(render_document(document.read_text("utf-8")), "utf-8")
        print(document.relative_to(ROOT), file=sys.stderr)
    STUB.write_text(render_stub(), "utf-8")
    print(STUB.relative_to(ROOT), file=sys.stderr)
