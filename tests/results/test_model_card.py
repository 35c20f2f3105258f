"""The card of a run: what its model is, in words, by the record alone."""

from pathlib import Path
from typing import Any

from da_framework.config.schema import instantiate
from da_framework.results.model_card import render_card
from da_framework.training.build import compose


def test_every_result_has_a_card(da: Any) -> None:
    assert da.train("dataset.labels_per_class=3", "seed=7").code == 0
    record, text = da.record(), Path("run/MODEL.md").read_text()
    assert text == render_card(record)
    last, oracle = (record["target"][pick] for pick in ("last", "oracle"))
    for part in (
        "# dann on two_moons",
        "https://arxiv.org/abs/1505.07818",
        "20 steps, seed 7",
        "`information_maximization`, without target labels",
        f"{record['rows']['test']} test",
        f"| {last['step']} | {last['accuracy']:.4f} | {last['macro_f1']:.4f} |",
        f"{oracle['accuracy']:.4f}",
        "6 of them were trained on",
        record["command"],
    ):
        assert part in text
    assert len(text.splitlines()) < 60


def test_a_card_changes_nothing_and_is_made_good(da: Any) -> None:
    assert da.train("steps=3").code == 0
    first = Path("run/MODEL.md").read_text()
    result = Path("run/result.json").stat().st_mtime_ns
    Path("run/MODEL.md").write_text("our own words\n")
    assert da.train("steps=3").code == 0
    assert Path("run/MODEL.md").read_text() == "our own words\n"
    Path("run/MODEL.md").unlink()  # as in a run of before there were cards
    assert da.train("steps=3").code == 0
    assert Path("run/MODEL.md").read_text() == first
    assert Path("run/result.json").stat().st_mtime_ns == result
    assert "target: not in training" in first


def test_the_licence_of_every_domain_is_said_as_far_as_it_is_known(da: Any) -> None:
    assert da.train("steps=3").code == 0
    record = da.record()
    line = "- **Licence of the data** (straight, rotated): generated, and so none is needed."
    assert line in render_card(record)
    record["licences"] = {"mnist": "free", "usps": "free", "svhn": "not known"}
    assert "(mnist, usps): free.\n- **Licence of the data** (svhn): not known." in render_card(
        record
    )
    del record["licences"]  # as in a record of before there were any
    assert "- **Licence of the data** (all domains): not known." in render_card(record)


def test_every_data_set_has_a_licence_or_says_that_it_is_not_known() -> None:
    licences = {}
    for name in ("digits", "office_caltech10", "amazon_text", "uci_har", "pacs", "two_moons"):
        dataset = instantiate(compose(f"dataset={name}", "data_dir=nowhere")["dataset"])
        licences[name] = dataset.licence(dataset.domains[0])
    assert [licence.partition(";")[0] for licence in licences.values()] == [
        "none on the official page",
        "none stated",
        "none stated",
        "distributed as is",
        "not known",
        "generated, and so none is needed",
    ]


def test_the_worst_classes_come_first(da: Any) -> None:
    assert da.train("steps=3", "method=source_only").code == 0
    record = da.record()
    record["classes"] = [f"c{label}" for label in range(8)]
    record["classes"].append("none of the target")
    recall = [0.9, 0.1, 0.5, 0.4, 0.3, 0.2, 0.8, 0.7, None]
    counts = [5] * 8 + [0]
    record["target"]["last"] |= {"recall_per_class": recall, "precision_per_class": [0.5] * 9}
    record["target"]["last"] |= {"rows_per_class": counts}
    record["verdicts"] = [{"kind": "collapse", "step": 3, "words": "features have collapsed"}]
    lines = render_card(record).splitlines()
    begun = lines.index("| class | samples | recall | precision |") + 2
    assert [line.split()[1] for line in lines[begun : begun + 5]] == ["c1", "c5", "c4", "c3", "c2"]
    assert lines[begun] == "| c1 | 5 | 0.1000 | 0.5000 |"
    assert lines[begun + 5] == ""
    # one that the target does not have is not the worst, and that was once not known
    del record["target"]["last"]["rows_per_class"]
    assert "| c1 | - | 0.1000 | 0.5000 |" in render_card(record)
    assert "- Step 3: features have collapsed" in lines
