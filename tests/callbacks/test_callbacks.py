import io
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import confusion_matrix

from da_framework.callbacks import confusion, curves, tsne
from da_framework.callbacks.base import Callback, Evaluation
from da_framework.callbacks.checkpoints import Checkpoints, Files
from da_framework.callbacks.confusion import Confusion
from da_framework.callbacks.curves import Curves
from da_framework.callbacks.diagnostics import Diagnostics
from da_framework.callbacks.progress import ProgressBar
from da_framework.callbacks.tsne import TSNE
from da_framework.core.batch import UNLABELLED, Outputs, Task
from da_framework.core.errors import InputError
from da_framework.datasets.base import Dataset
from da_framework.datasets.splits import DomainRows
from da_framework.results import tsne_figure
from da_framework.results.confusion_figure import draw_confusion, share_by_class
from da_framework.results.figure import save_figure
from da_framework.results.folder import RunFolder
from da_framework.results.history_figure import draw_history
from da_framework.results.tsne_figure import draw_features, separate_boxes


class Trainer(pl.Trainer):
    """A process's number and no more."""

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank

    @property
    def is_global_zero(self) -> bool:
        return self.rank == 0


class Module(pl.LightningModule):
    """What callbacks read of a module that trains."""

    step: int
    history: list[dict[str, Any]]
    verdicts: dict[str, dict[str, Any]]

    def __init__(self, **known: Any) -> None:
        super().__init__()
        begun: dict[str, Any] = {"step": 0, "history": [], "picks": {}, "verdicts": {}}
        begun |= {"seed": 1, "steps": 10, "method": SimpleNamespace(closed_form=True)}
        vars(self).update(begun | known)

    def record(self, figures: Mapping[str, float]) -> None:
        self.history.append({"step": self.step, **figures})


TRAINER, OTHER, MODULE = Trainer(0), Trainer(1), Module()


def outputs(rows: int, k: int, domain: int, *, labelled: bool, spread: float = 1.0) -> Outputs:
    generator = torch.Generator().manual_seed(rows + k + domain)
    y = torch.arange(rows) % k
    logits = torch.randn(rows, k, generator=generator) + 3 * torch.eye(k)[y]
    return Outputs(
        x=torch.zeros(rows, 1),
        y=y if labelled else torch.full_like(y, UNLABELLED),
        domain=torch.full((rows,), domain),
        row=torch.arange(rows),
        features=spread * torch.randn(rows, 4, generator=generator) + 5 * domain,
        logits=logits,
    )


def evaluation(
    step: int = 1,
    *,
    k: int = 3,
    rows: int = 30,
    source: bool = True,
    spread: float = 1.0,
    one_class: float = 0.0,
    warnings: tuple[str, ...] = (),
) -> Evaluation:
    target = outputs(rows, k, int(source), labelled=False, spread=spread)
    target.logits[: int(one_class * rows), 0] = 99.0
    validation = {"target": target}
    if source:
        validation = {"source": outputs(rows, k, 0, labelled=True, spread=spread)} | validation
    oracle = target._replace(y=torch.arange(rows) % k)
    names = (("s", "t") if source else ("t",), tuple(f"class {i}" for i in range(k)))
    task = Task(classes=names[1], domains=names[0], rows={}, shape=(1,))
    reading: dict[str, Any] = {"step": step, "score": 0.125, "target": {"accuracy": 0.5}}
    if source:
        reading["source"] = {"accuracy": 0.75}
    return Evaluation(step, task, validation, oracle, reading, warnings)


def size(path: Path) -> tuple[int, int]:
    """Of a picture that is whole and shows something."""
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert len(set(np.asarray(image.convert("L")).ravel().tolist())) > 10
        return image.size


def sensible(path: Path) -> bool:
    return all(200 <= side <= 2500 for side in size(path))


# pictures


@pytest.fixture(autouse=True)
def draws_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn in this process, where a mistake is seen."""
    for module in (confusion, curves, tsne):
        monkeypatch.setattr(
            module, "draw_or_warn", lambda draw, path, *rest, **keys: draw(path, *rest, **keys)
        )


@pytest.mark.parametrize("k", [2, 12, 13, 50])
def test_the_confusion_matrix_is_drawn_at_the_end(tmp_path: Path, k: int) -> None:
    callback = Confusion(str(tmp_path), misclassified=4, contents=False)
    callback.on_train_end(TRAINER, MODULE)
    assert not list(tmp_path.iterdir())  # nothing was seen
    callback.on_evaluation(TRAINER, MODULE, evaluation(0, k=k, rows=100))
    callback.on_evaluation(TRAINER, MODULE, evaluation(7, k=k, rows=100))
    assert not list(tmp_path.iterdir())
    callback.on_train_end(OTHER, MODULE)
    assert not list(tmp_path.iterdir())
    callback.on_train_end(TRAINER, MODULE)
    assert sensible(tmp_path / "confusion.png")


def test_more_classes_make_a_larger_matrix(tmp_path: Path) -> None:
    sizes = []
    for k in (2, 50):
        path = tmp_path / f"{k}.png"
        draw_confusion(path, np.arange(k), np.arange(k), tuple(map(str, range(k))))
        sizes.append(size(path)[0])
    assert sizes[0] < sizes[1]


def test_the_matrix_bears_a_class_without_rows(tmp_path: Path) -> None:
    draw_confusion(tmp_path / "a.png", np.zeros(4, int), np.array([0, 0, 0, 1]), ("a", "b"))
    assert sensible(tmp_path / "a.png")


def test_of_very_many_classes_the_most_mistaken_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    k = 20_000
    true = np.arange(k)
    predicted = np.where((true >= 500) & (true < 540), 500 + (true + 1) % 40, true)
    seen = figures_of(monkeypatch)
    draw_confusion(tmp_path / "a.png", true, predicted, [f"c{n}" for n in range(k)])
    axes: Any = seen[0].axes[0]
    assert axes.get_title() == "target accuracy 99.8%; the 40 of 20000 classes most mistaken"
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == [f"c{n}" for n in range(500, 540)]
    assert axes.images[0].get_array().sum() == 40 * 100


@pytest.mark.parametrize("shown", [[0, 1, 2, 3, 4], [1, 3]])
def test_truth_is_down_and_prediction_across_in_shares_of_the_true_class(shown: list[int]) -> None:
    draws = np.random.default_rng(0)
    true, predicted = draws.integers(0, 5, (2, 60))
    expected = confusion_matrix(true, predicted, normalize="true")[np.ix_(shown, shown)]
    actual = share_by_class(true, predicted, np.array(shown), 5)
    assert actual == pytest.approx(expected, abs=1e-6)


HISTORY: list[dict[str, Any]] = [
    {"step": 0, "score": 0.1, "source/accuracy": 0.5, "oracle/accuracy": 0.4},
    {"step": 5, "train/source": 0.7, "train/domain": 1.4, "train/lr": 0.1},
    {"step": 10, "train/source": 0.5, "train/domain": 1.2, "train/lr": 0.1},
    {"step": 10, "score": 0.3, "source/accuracy": 0.9, "oracle/accuracy": 0.8},
]
PICKS = {name: {"step": 10, "target": {"accuracy": 0.8}} for name in ("last", "chosen", "oracle")}


def test_curves_are_drawn_at_the_end(tmp_path: Path) -> None:
    module = Module(history=HISTORY, picks=PICKS)
    Curves(str(tmp_path)).on_train_end(OTHER, module)
    assert not list(tmp_path.iterdir())
    Curves(str(tmp_path)).on_train_end(TRAINER, module)
    assert sensible(tmp_path / "curves.png")


@pytest.mark.parametrize(
    "history",
    [HISTORY[:3], [{k: v for k, v in row.items() if "source" not in k} for row in HISTORY]],
    ids=["stopped early", "no source"],
)
def test_curves_bear_what_is_not_there(tmp_path: Path, history: list[dict[str, Any]]) -> None:
    draw_history(tmp_path / "a.png", history, {})
    assert sensible(tmp_path / "a.png")


@pytest.mark.parametrize(("k", "source"), [(2, True), (50, True), (3, False)])
def test_tsne_shows_features_before_and_after(tmp_path: Path, k: int, source: bool) -> None:
    callback = TSNE(str(tmp_path), rows=40, colour="side")
    callback.on_evaluation(TRAINER, MODULE, evaluation(0, k=k, rows=100, source=source))
    callback.on_evaluation(TRAINER, MODULE, evaluation(5, k=k, rows=100, source=source, spread=2.0))
    assert not (tmp_path / "tsne.png").exists()
    callback.on_train_end(TRAINER, MODULE)
    width, height = size(tmp_path / "tsne.png")
    assert width > 1.5 * height  # two panels
    assert {file.name for file in tmp_path.iterdir()} == {"tsne.png", "checkpoints"}
    sides = {"target", "target_class"} | ({"source", "source_class"} if source else set())
    with np.load(tmp_path / "checkpoints" / "features_before.npz") as before:
        assert set(before) == sides
        assert len(before["target"]) <= 40


def moments(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = []
    monkeypatch.setattr(
        tsne, "draw_or_warn", lambda draw, path, rebuilt, **_: drawn.append(rebuilt)
    )
    return drawn


def test_a_continued_run_still_has_its_first_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = moments(monkeypatch)
    first = evaluation(0, spread=1.0)
    TSNE(str(tmp_path), rows=400, colour="side").on_evaluation(TRAINER, MODULE, first)
    resumed = TSNE(str(tmp_path), rows=400, colour="side")
    last = evaluation(9, spread=2.0)
    resumed.on_evaluation(TRAINER, MODULE, last)
    resumed.on_train_end(TRAINER, MODULE)
    (image,) = drawn
    for moment, seen in (("before", first), ("after", last)):
        for side in ("source", "target"):
            expected = seen.validation[side].features.numpy()
            np.testing.assert_array_equal(image[moment][side], expected)


def test_tsne_colours_the_target_by_predictions_not_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = moments(monkeypatch)
    callback = TSNE(str(tmp_path), rows=400, colour="side")
    seen = evaluation(0)
    callback.on_evaluation(TRAINER, MODULE, seen)
    callback.on_train_end(TRAINER, MODULE)
    predicted = np.array(seen.task.classes)[seen.validation["target"].logits.argmax(1).numpy()]
    np.testing.assert_array_equal(drawn[0]["after"]["target_class"], predicted)


def test_tsne_shows_as_many_samples_of_either_side_with_the_domains_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(tsne, "draw_or_warn", lambda *given, **keys: calls.append((given[2], keys)))
    callback = TSNE(str(tmp_path), rows=40, colour="class")
    uneven = evaluation(0, rows=30)
    uneven.validation["source"] = outputs(95, 3, 0, labelled=True)  # type: ignore[index]
    callback.on_evaluation(TRAINER, MODULE, uneven)
    callback.on_train_end(TRAINER, MODULE)
    ((drawn, keys),) = calls
    assert {name: len(array) for name, array in drawn["after"].items()} == {
        **{"source": 30, "source_class": 30, "target": 30, "target_class": 30}
    }
    assert keys["names"] == {"source": "s", "target": "t"}
    assert keys["colour"] == "class"
    assert keys["title"] == "SimpleNamespace: s → t, seed 1"


def test_labels_of_classes_do_not_lie_over_each_other() -> None:
    generator = np.random.default_rng(0)
    for k in (2, 10, 30):
        sizes = np.tile([[0.12, 0.05]], (k, 1))
        places = separate_boxes(np.full((k, 2), 0.5) + generator.normal(0, 0.01, (k, 2)), sizes)
        gaps = np.abs(places[:, None] - places[None]) - sizes[0]
        assert ((gaps > -1e-3).any(-1) | np.eye(k, dtype=bool)).all()
    far = np.array([[0.1, 0.1], [0.9, 0.9]])
    np.testing.assert_array_equal(separate_boxes(far, np.full((2, 2), 0.1)), far)


def figures_of(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, and not only their files."""
    seen: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *given: Any, **keys: Any) -> None:
        seen.append(figure)
        save(figure, *given, **keys)

    monkeypatch.setattr(Figure, "savefig", keep)
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_drawn_labels_do_not_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Fifteen classes that are not yet told apart, as they are drawn."""
    seen = figures_of(monkeypatch)
    names = "clothing device face food hand mammal other_animal paper person place plant play sky"
    classes = np.array([*names.split(), "tool", "WWWWWWWW"])
    draws = np.random.default_rng(seed)
    plane = draws.normal(size=(150, 2))
    monkeypatch.setattr(tsne_figure, "lay_out", lambda _: {"source": plane, "target": plane[:3]})
    arrays = dict.fromkeys(("source", "target"), plane)
    labels = {f"{side}_class": np.tile(classes, 10) for side in arrays}
    draw_features(tmp_path / "a.png", {"before": arrays | labels, "after": arrays | labels})
    axes = seen[0].axes[0]
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without its line
    assert len(boxes) == len(classes)
    for n, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:n])


def test_a_method_without_steps_has_no_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = figures_of(monkeypatch)
    fitted = [row for row in HISTORY if "score" in row]
    draw_history(tmp_path / "a.png", fitted, PICKS)
    (axes,) = seen[0].axes
    assert {line.get_linestyle() for line in axes.lines} == {"None"}
    assert [list(line.get_xdata()) for line in axes.lines] == [[0, 1], [0, 1]]  # type: ignore[arg-type]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["before", "fitted"]


def test_losses_and_schedules_have_axes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = figures_of(monkeypatch)
    history = [
        row | {"train/coefficient": 0.5, "train/lr": 0.1 / (row["step"] + 1)} for row in HISTORY
    ]
    draw_history(tmp_path / "a.png", history, PICKS, schedules=["coefficient"], title="DANN")
    losses, schedules, accuracy, rate = seen[0].axes
    labels = [[line.get_label() for line in axes.lines] for axes in (losses, schedules)]
    assert labels == [["domain", "source"], ["coefficient"]]
    assert (losses.get_title(), schedules.get_title(), accuracy.get_title()) == (
        *("losses", "schedules", "accuracy"),
    )
    assert rate.get_ylabel() == "learning rate (dashed)"
    picked = [line for line in accuracy.lines if line.get_label() in ("chosen", "oracle")]
    assert [line.get_clip_on() for line in picked] == [False, False]
    # alone, the learning rate has the panel's own axis: none is empty
    alone = [row | {"train/lr": 0.1 / (row["step"] + 1)} for row in HISTORY]
    draw_history(tmp_path / "b.png", alone, PICKS)
    assert [axes.get_ylabel() for axes in seen[1].axes] == ["", "learning rate", ""]
    assert all(axes.lines for axes in seen[1].axes)


class Pictures(Dataset):
    """A data set of pictures or tables, with four test samples in each of two domains."""

    def __init__(self, *, pictures: bool) -> None:
        self.shape = (3, 300, 200) if pictures else (4,)

    def split_roles(self) -> Any:
        parts = [DomainRows(name, np.array([5, 7, 9, 11]), True) for name in ("t", "u")]
        return SimpleNamespace(test=parts)

    def __getitem__(self, name: str) -> Any:
        x = np.stack([np.full(self.shape, row, dtype=np.uint8) for row in range(12)])
        return SimpleNamespace(x=x)

    def load(self, name: str) -> Any:
        raise AssertionError("read twice")

    def sample_name(self, name: str, row: int) -> str:
        return f"{name}/{row}.png"

    def describe_sample(self, name: str, row: int) -> dict[str, str]:
        return {} if len(self.shape) == 3 else {"age": str(row)}


def confused(tmp_path: Path, *, pictures: bool, contents: bool, most: int = 8) -> Confusion:
    """A callback that saw eight samples of two classes, of which three were taken wrongly."""
    callback = Confusion(str(tmp_path), misclassified=most, contents=contents)
    logits = torch.tensor([[3.0, 0], [0, 1], [3, 0], [0, 3], [0, 5], [0, 3], [3, 0], [0, 3]])
    seen = evaluation(7, rows=8)
    oracle = seen.oracle._replace(
        y=torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), logits=logits, row=torch.arange(8)
    )
    module = Module(
        domains=SimpleNamespace(dataset=Pictures(pictures=pictures)),
        method=SimpleNamespace(gives_probabilities=True),
    )
    callback.on_evaluation(TRAINER, module, replace(seen, oracle=oracle))
    return callback


def test_samples_taken_for_another_class_are_a_table_and_the_surest_come_first(
    tmp_path: Path,
) -> None:
    assert Confusion(str(tmp_path), misclassified=4, contents=True).tables() == {}
    tables = confused(tmp_path, pictures=True, contents=False).tables()
    a, b = "class 0", "class 1"
    matrix = [[a, a, 2], [a, b, 2], [b, a, 1], [b, b, 3]]
    assert tables["confusion_matrix"] == (["true", "predicted", "samples"], matrix)
    columns, rows = tables["misclassified"]
    assert columns == ["sample", "domain", "true", "predicted", "confidence"]
    assert [row[:4] for row in rows] == [
        ["u/5.png", "u", a, b],
        ["u/9.png", "u", b, a],
        ["t/7.png", "t", a, b],
    ]
    assert [row[4] for row in rows] == pytest.approx(
        [1 / (1 + math.exp(-margin)) for margin in (5, 3, 1)]
    )
    few = confused(tmp_path, pictures=True, contents=False, most=1).tables()
    assert [row[0] for row in few["misclassified"].rows] == ["u/5.png"]
    none = confused(tmp_path, pictures=True, contents=False, most=0).tables()
    assert list(none) == ["confusion_matrix"]


def test_pictures_and_cells_are_shown_where_they_are_asked_for(tmp_path: Path) -> None:
    columns, rows = confused(tmp_path, pictures=True, contents=True).tables()["misclassified"]
    assert columns[-1] == "picture"
    assert rows[1][-1].shape == (128, 85, 3)
    assert (rows[1][-1] == 9).all()
    columns, rows = confused(tmp_path, pictures=False, contents=True).tables()["misclassified"]
    assert columns[-1] == "age"
    assert [row[-1] for row in rows] == ["5", "9", "7"]


def test_a_confusion_matrix_names_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(confusion, "draw_or_warn", lambda *given, **keys: calls.append(keys))
    callback = Confusion(str(tmp_path), misclassified=4, contents=False)
    callback.on_evaluation(TRAINER, MODULE, evaluation(7))
    callback.on_train_end(TRAINER, MODULE)
    assert calls == [{"title": "SimpleNamespace: s → t, seed 1"}]
    seen = figures_of(monkeypatch)
    true, predicted = np.repeat([0, 1], 4), np.array([0, 0, 0, 1, 1, 1, 1, 1])
    draw_confusion(tmp_path / "a.png", true, predicted, ("a", "b"), title="DANN, seed 1")
    assert seen[0].axes[0].get_title() == "DANN, seed 1\ntarget accuracy 87.5%"
    assert seen[0].axes[1].get_ylabel() == "percent of the true class"  # as the cells are
    assert [text.get_text() for text in seen[0].axes[0].texts] == ["75", "25", "100"]


def test_without_first_features_or_on_another_process_nothing_is_drawn(tmp_path: Path) -> None:
    callback = TSNE(str(tmp_path), rows=400, colour="side")
    callback.on_evaluation(TRAINER, MODULE, evaluation(5))
    callback.on_train_end(TRAINER, MODULE)
    other = TSNE(str(tmp_path), rows=400, colour="side")
    other.on_evaluation(OTHER, MODULE, evaluation(0))
    other.on_train_end(OTHER, MODULE)
    assert not (tmp_path / "tsne.png").exists()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("scale", [0.0, 1e-30])
def test_features_that_are_all_alike_are_not_laid_out(tmp_path: Path, scale: float) -> None:
    spread, alike = ({"target": 1 + s * np.random.randn(9, 4)} for s in (1.0, scale))
    with pytest.raises(InputError, match="the features after training are all alike"):
        draw_features(tmp_path / "a.png", {"before": spread, "after": alike})
    assert not list(tmp_path.iterdir())


def test_a_picture_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_text("before")

    def killed(*paths: object) -> None:
        raise KeyboardInterrupt

    def interrupted() -> None:
        with save_figure(path, width=2.0, height=2.0):
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        interrupted()
    assert path.read_text() == "before"
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        drawn(path)
    assert path.read_text() == "before"
    monkeypatch.undo()
    drawn(path)
    assert size(path) == (240, 360)


def drawn(path: Path) -> None:
    with save_figure(path, width=2.0, height=3.0) as figure:
        figure.subplots().imshow(np.arange(100).reshape(10, 10))


# diagnostics


def diagnostics() -> Diagnostics:
    return Diagnostics(
        min_feature_variance=1e-4,
        max_class_share=0.95,
        max_gradient_ratio=10.0,
        rows=500,
        readings=5,
    )


def logged_warnings(
    caplog: pytest.LogCaptureFixture, *seen: Evaluation, module: Module | None = None
) -> list[str]:
    caplog.clear()
    trained = module or Module()
    with caplog.at_level(logging.WARNING):
        for evaluation in seen:
            trained.step = evaluation.step
            diagnostics().on_evaluation(TRAINER, trained, evaluation)
    return [record.getMessage() for record in caplog.records]


def test_a_healthy_run_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    assert logged_warnings(caplog, *(evaluation(step) for step in (0, 1, 2))) == []
    almost = evaluation(1, one_class=0.9)
    assert logged_warnings(caplog, evaluation(0), almost) == []


def test_collapsed_features_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def seen(step: int, spread: float) -> Evaluation:
        evaluated = evaluation(step, spread=spread)
        for side in evaluated.validation.values():
            side.features.sub_(side.features.mean(0))
        return evaluated

    assert logged_warnings(caplog, seen(0, 1.0), seen(5, 0.02)) == []
    lines = logged_warnings(caplog, seen(0, 1.0), seen(5, 0.001), seen(6, 0.001))
    assert len(lines) == 1
    assert lines[0].startswith("warning at step 5: features have collapsed: ")
    assert "their variance is 1e-06 of" in lines[0]


def test_collapsed_predictions_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    seen = [evaluation(step, one_class=1.0) for step in (0, 5, 6)]
    lines = logged_warnings(caplog, *seen)
    assert len(lines) == 1  # the untrained model may predict what it likes
    assert lines[0].startswith("warning at step 5: predictions have collapsed: 100%")


def test_a_target_as_skewed_as_the_source_has_not_collapsed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def seen(*, of_source: int, one_class: float = 0.98) -> Evaluation:
        evaluated = evaluation(5, rows=100, one_class=one_class)
        evaluated.validation["source"].y[:of_source] = 0
        return evaluated

    assert logged_warnings(caplog, evaluation(0), seen(of_source=97)) == []
    (line,) = logged_warnings(caplog, evaluation(0), seen(of_source=0))
    # the method has no weight, and so none that could be lowered
    assert line.endswith("predictions have collapsed: lower optimizer.lr")
    assert "a target that is truly so skewed looks like this" in line
    # all in one class have, however skewed the classes are
    assert len(logged_warnings(caplog, evaluation(0), seen(of_source=97, one_class=1.0))) == 1


def test_the_method_s_own_words_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    seen = [evaluation(step, warnings=("the kernels see nothing", "and more")) for step in (0, 5)]
    lines = logged_warnings(caplog, *seen)
    assert lines == ["warning at step 0: the kernels see nothing; and more"]


def test_each_kind_has_a_warning_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    ill = evaluation(5, one_class=1.0, warnings=("kernels",))
    for side in ill.validation.values():
        side.features.zero_()
    assert len(logged_warnings(caplog, evaluation(0), ill, ill)) == 3


def test_a_continued_run_does_not_say_it_again(caplog: pytest.LogCaptureFixture) -> None:
    ill = evaluation(5, one_class=1.0)
    for side in ill.validation.values():
        side.features.zero_()
    first = Module()
    logged_warnings(caplog, evaluation(0), evaluation(4, one_class=1.0), module=first)
    resumed = Module(history=first.history, verdicts=first.verdicts)
    lines = logged_warnings(caplog, ill, module=resumed)
    assert len(lines) == 1
    assert "features have collapsed" in lines[0]
    assert {kind: side["step"] for kind, side in resumed.verdicts.items()} == {
        "predictions": 4,
        "features": 5,
    }


def test_only_the_first_process_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        diagnostics().on_evaluation(OTHER, Module(), evaluation(0, warnings=("a",)))
    assert not caplog.records


# progress


def test_off_a_terminal_an_evaluation_is_one_line(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = ProgressBar(10)
    assert bar.bar.disable
    module = Module(step=4, history=HISTORY)
    with caplog.at_level(logging.INFO):
        bar.on_train_start(TRAINER, module)
        for index in range(3):
            bar.on_train_batch_end(TRAINER, module, None, None, index)
        bar.on_evaluation(TRAINER, module, evaluation(5))
        bar.on_evaluation(TRAINER, module, evaluation(10, source=False))
        bar.on_evaluation(OTHER, module, evaluation(10))
        bar.teardown(TRAINER, module, "fit")
    assert [record.getMessage() for record in caplog.records] == [
        "step 5 of 10: score 0.1250, held-out source accuracy 0.750",
        "step 10 of 10: score 0.1250",
    ]
    assert "".join(capsys.readouterr()).strip() == ""


def test_off_a_terminal_an_evaluation_says_how_long_the_rest_will_take(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter((100.0, 130.0, 150.0))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    bar = ProgressBar(1000)
    with caplog.at_level(logging.INFO):
        bar.on_train_start(TRAINER, Module(step=100))  # continued from its checkpoint
        for step in (100, 200, 1000):
            bar.on_evaluation(TRAINER, MODULE, evaluation(step, source=False))
    assert [record.getMessage() for record in caplog.records] == [
        "step 100 of 1000: score 0.1250",
        "step 200 of 1000: score 0.1250; about 0:04:00 left",
        "step 1000 of 1000: score 0.1250",
    ]


@pytest.mark.parametrize(("seconds", "rate"), [(4.0, "0.5 steps/s"), (0.04, "50 steps/s")])
def test_slow_steps_are_not_none_a_second(
    seconds: float, rate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: True))
    bar = ProgressBar(10)
    monkeypatch.setattr(type(bar.bar.tasks[0]), "speed", property(lambda task: 2 / seconds))
    bar.on_train_batch_end(TRAINER, Module(step=2, history=HISTORY), 0, 0, 0)
    assert bar.bar.tasks[0].fields["rate"] == rate


def test_on_a_terminal_the_bar_stands_and_evaluations_add_no_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: True))
    bar = ProgressBar(10)
    assert not bar.bar.disable
    with caplog.at_level(logging.INFO):
        bar.on_evaluation(TRAINER, MODULE, evaluation(5))
    assert not caplog.records
    bar.on_train_batch_end(TRAINER, Module(step=7, history=HISTORY), 0, 0, 0)
    assert bar.bar.tasks[0].completed == 7
    figures = bar.bar.tasks[0].fields["figures"]
    assert "source 0.5" in figures
    assert "domain 1.2" in figures


@pytest.mark.parametrize(("width", "told"), [(40, False), (140, True)])
def test_on_a_terminal_without_utf_8_the_bar_fits_and_the_log_stands_above_it(
    width: int, *, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    handler = logging.StreamHandler(screen)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    bar = ProgressBar(10)
    bar.on_train_start(TRAINER, MODULE)
    bar.on_train_batch_end(TRAINER, Module(step=7, history=HISTORY), 0, 0, 0)
    bar.bar.refresh()
    logging.getLogger().warning("loss of λ " * 9)
    bar.teardown(TRAINER, MODULE, "fit")
    assert handler.stream is screen
    written = screen.buffer.getvalue().decode("ascii")
    plain = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", written)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", plain)]
    assert max(map(len, lines)) <= width
    assert any(line.startswith("loss of lambda") for line in lines), "on a line of its own"
    assert any("7/10" in line for line in lines)
    assert ("domain 1.2" in plain) is told


# checkpoints


class Saving(Trainer):
    """Writes the step it is at."""

    module: Any = None

    def save_checkpoint(self, filepath: Any, *args: Any, **keys: Any) -> None:
        Files(RunFolder(Path(filepath).parents[1])).save_checkpoint(
            {"step": self.module.step}, filepath
        )


def checkpointed(tmp_path: Path) -> tuple[Callable[..., None], Path]:
    (tmp_path / "checkpoints").mkdir()
    trainer, callback = Saving(), Checkpoints(str(tmp_path))

    def after(step: int, *, chosen: int | None = None, checkpointing: bool = False) -> None:
        picks = {} if chosen is None else {"chosen": {"step": chosen}}
        trainer.module = Module(step=step, picks=picks, checkpointing=checkpointing)
        callback.on_train_batch_end(trainer, trainer.module, None, None, 0)

    return after, tmp_path / "checkpoints"


def steps(folder: Path) -> dict[str, int]:
    return {file.stem: torch.load(file, weights_only=True)["step"] for file in folder.iterdir()}


def test_the_last_the_one_before_and_the_chosen_weights_are_kept(tmp_path: Path) -> None:
    after, folder = checkpointed(tmp_path)
    after(0, chosen=0, checkpointing=True)
    assert steps(folder) == {}
    after(1)
    assert steps(folder) == {}
    after(2, checkpointing=True)
    assert steps(folder) == {"last": 2}
    after(3, chosen=3)
    after(4, chosen=3, checkpointing=True)
    after(5, chosen=3)
    assert steps(folder) == {"last": 4, "previous": 2, "chosen": 3}
    after(6, chosen=6, checkpointing=True)
    assert steps(folder) == {"last": 6, "previous": 4, "chosen": 6}


def test_a_kill_while_saving_leaves_the_checkpoints_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, folder = checkpointed(tmp_path)
    after(2, chosen=2, checkpointing=True)

    def killed(self: Path, content: Any) -> None:
        self.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    for what in ({"chosen": 4}, {"checkpointing": True}):
        with pytest.raises(KeyboardInterrupt):
            after(4, **what)
    assert steps(folder) == {"last": 2, "chosen": 2}


def test_a_callback_need_not_listen() -> None:
    Callback().on_evaluation(TRAINER, MODULE, evaluation())
    assert math.isclose(evaluation().figures["score"], 0.125)
