"""The model card of a run: its data, method, figures and limits, for whoever is given the model."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from da_framework.config.catalog import source_docstring
from da_framework.core.errors import listed
from da_framework.core.files import write_text
from da_framework.core.text import markdown, markdown_block, markdown_code
from da_framework.results.cells import sides
from da_framework.results.folder import RunFolder
from da_framework.results.record_schema import Pick, RunRecord
from da_framework.results.statistics import format_figure, picked_figures, target_accuracy
from da_framework.results.verified import read_verified

FEW = 5
"""Classes that are shown, the worst first."""
PICK_MEANINGS: Mapping[Pick, str] = {
    "last": "the last step",
    "chosen": "the checkpoint of the highest {validator}, which sees no target label",
    "oracle": "the best by the target's test labels, which no method may use",
}


BEGIN, END = "<!-- audit -->", "<!-- /audit -->"
"""Around what an audit has found: the one part of a card that is written again."""


def write_card(record: RunRecord, folder: Path) -> None:
    """Writes the card of a run that has none yet."""
    card = RunFolder(folder).card
    if not card.is_file():
        write_text(card, render_card(record))
        write_verified_part(folder)


def write_verified_part(folder: Path) -> None:
    """Writes what an audit has found into a run's card, and leaves all else in it as it is.

    Raises:
        InputError: what was found is damaged.
    """
    card = RunFolder(folder).card
    verified = read_verified(folder)
    if verified is None or not card.is_file():
        return
    before, begin, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:  # a card that somebody has written is theirs
        lines = "".join(f"- {markdown(sentence)}\n" for sentence in verified.sentences)
        write_text(card, f"{before}{BEGIN}\n{lines}{END}{after}")


def render_card(record: RunRecord) -> str:
    """The card, by the record alone."""
    config, choices = record["config"], record["choices"]
    method = config["method"]["_target_"]
    docstring = source_docstring(method)
    link = re.search(r"https://[^\s<>)]+", docstring)
    validator = choices.get("validator") or config["validator"]["_target_"]
    name = choices.get("method") or method
    data = choices.get("dataset") or config["dataset"]["_target_"]
    network = choices.get("network") or config["network"]["_target_"]
    first = docstring.partition("\n")[0]
    lines = [
        f"# {markdown(name)} on {markdown(data)}",
        "",
        *data_lines(record),
        *licence_lines(record),
        f"- **Method**: {markdown_code(name)}. {first}" + (f" [Paper]({link[0]})." if link else ""),
        f"- **Network**: {markdown_code(network)}",
        f"- **Training**: {record['steps']} steps, seed {config['seed']}.",
        f"- **Selection**: {markdown_code(validator)}, without target labels.",
        f"- **Classes**: {listed(map(markdown, record['classes']))}.",
        "",
        "## Accuracy on the target",
        "",
        *accuracy_lines(record, validator),
        "",
        BEGIN,
        END,
        "",
    ]
    command = markdown_block(record["command"], language="bash")
    lines += [*worst_classes(record), "## Limits", "", *limit_lines(record)]
    return "\n".join([*lines, "", "## Command", "", command, ""])


def accuracy_lines(record: RunRecord, validator: str) -> Iterator[str]:
    """The figures of every pick, as a table; or that nobody knows them."""
    if target_accuracy(record) is None:
        yield "Not known: no test sample of the target has a label."
        return
    yield "| weights | step | accuracy | macro F1 | calibration error |"
    yield "|---|---|---|---|---|"
    for pick, picked in picked_figures(record):
        values = (picked.get("accuracy"), picked.get("macro_f1"), picked.get("calibration_error"))
        figures = " | ".join(map(format_figure, values))
        weights = PICK_MEANINGS[pick].format(validator=markdown_code(validator, in_table=True))
        yield f"| {pick}: {weights} | {picked['step']} | {figures} |"


def data_lines(record: RunRecord) -> Iterator[str]:
    """Source and target, how many samples each role had, and how many could not be read."""
    source, target = sides(record)
    counts = ", ".join(f"{count} {role}" for role, count in record["rows"].items())
    yield (
        f"- **Data**: {listed(map(markdown, source))} → {listed(map(markdown, target))}; "
        f"samples: {counts}; protocol {record['config']['dataset']['protocol']}."
    )
    if left := sum(len(samples) for samples in record.get("skipped", {}).values()):
        yield f"- **Left out**: {left} samples that could not be read."


def licence_lines(record: RunRecord) -> Iterator[str]:
    """The licence of the data, domains of the same terms together."""
    alike: dict[str, list[str]] = {}
    for name, licence in record.get("licences", {}).items():
        alike.setdefault(licence, []).append(name)
    for licence, names in (alike or {"not known": ["all domains"]}).items():
        yield f"- **Licence of the data** ({listed(map(markdown, names))}): {licence}."


def worst_classes(record: RunRecord) -> Iterator[str]:
    """The classes that the last weights find least of."""
    last = record["target"]["last"]
    if "recall_per_class" not in last:
        return
    recall, precision = last["recall_per_class"], last["precision_per_class"]
    # older records do not have them
    counts: list[int | None] = [*last.get("rows_per_class", [None] * len(recall))]
    classes = zip((*record["classes"], "unknown"), counts, recall, precision, strict=False)
    figures = [row for row in classes if row[2] is not None]
    yield "Classes of the lowest recall, by the last weights:"
    yield ""
    yield "| class | samples | recall | precision |"
    yield "|---|---|---|---|"
    for name, count, *values in sorted(figures, key=lambda row: float(row[2] or 0))[:FEW]:
        shown = "-" if count is None else count
        yield f"| {markdown(name)} | {shown} | {' | '.join(map(format_figure, values))} |"
    yield ""


def limit_lines(record: RunRecord) -> Iterator[str]:
    """What the numbers do not say."""
    dataset, rows = record["config"]["dataset"], record["rows"]
    few = rows.get("target_labelled", 0)
    used = f"{few} of them were trained on, and left out of the test" if few else "not in training"
    if audited := len(record.get("audited", ())):
        yield (
            f"- {audited} of the labels it has learnt from are those of an audit: no verdict on "
            "these samples holds for it."
        )
    rest = "otherwise only in the figures above and the oracle"
    if target_accuracy(record) is None:
        rest = "otherwise none is known"
    yield f"- Labels of the target: {used}; {rest}."
    if dataset["protocol"] == "transductive":
        yield "- The test samples were trained on, without their labels: new ones may do worse."
    yield "- The figures hold for these domains and one seed; other data may be of another kind."
    for verdict in record.get("verdicts", []):
        yield f"- Step {verdict['step']}: {markdown(verdict['words'])}"
    yield "- Licence of the weights: that of the data and of any weights begun with; see there."
