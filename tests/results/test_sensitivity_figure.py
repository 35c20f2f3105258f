from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from da_framework.results.sensitivity_figure import draw_lines

WEIGHTS = {0.1: [60.0, 65.0, 70.0], 1.0: [70.0, 75.0, 80.0], 10.0: [90.0]}


def drawn(panels: Any, monkeypatch: pytest.MonkeyPatch, path: Path, **keys: Any) -> Figure:
    """The figure, and not only its file."""
    seen: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        seen.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    draw_lines(path / "out.png", panels, **({"key": "weight", "values": list(WEIGHTS)} | keys))
    assert [file.name for file in path.iterdir()] == ["out.png"]
    return seen[0]


def band(axes: Axes, number: int = 0) -> list[tuple[float, float]]:
    vertices: Any = axes.collections[number].get_paths()[0].vertices
    return sorted({(round(float(x), 3), round(float(y), 3)) for x, y in vertices})


def test_a_line_is_the_mean_and_its_band_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (axes,) = drawn({"a → b": {"foo": WEIGHTS}}, monkeypatch, tmp_path).axes
    (line,) = axes.lines
    assert list(line.get_xdata()) == [0.1, 1.0, 10.0]  # type: ignore[arg-type]
    assert list(line.get_ydata()) == [65.0, 75.0, 90.0]  # type: ignore[arg-type]
    half = 4.30265 * 5 / 3**0.5  # of three seeds, a deviation of 5 points
    edges = [(0.1, 65 - half), (0.1, 65 + half), (1.0, 75 - half), (1.0, 75 + half), (10.0, 90.0)]
    assert np.array(band(axes)) == pytest.approx(np.array(edges), abs=1e-3)
    assert (axes.get_title(), axes.get_xlabel(), axes.get_xscale()) == ("a → b", "weight", "log")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "1", "10"]


@pytest.mark.parametrize(
    ("values", "scale"), [([0, 1, 100], "linear"), ([1, 5], "linear"), ([-5, 900], "linear")]
)
def test_numbers_are_to_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[float], scale: str
) -> None:
    line = {value: [50.0, 60.0] for value in values}
    (axes,) = drawn({"t": {"foo": line}}, monkeypatch, tmp_path, values=values).axes
    assert axes.get_xscale() == scale
    assert list(axes.lines[0].get_xdata()) == values  # type: ignore[arg-type]


def test_words_stand_side_by_side_and_nothing_joins_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [3, 10, "all"]
    lines = {name: {value: [50.0, 60.0] for value in values} for name in ("foo", "bar")}
    (axes,) = drawn({"t": lines}, monkeypatch, tmp_path, values=values).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["3", "10", "all"]
    places = [list(line.get_xdata()) for line in axes.lines if line.get_marker() in "os"]  # type: ignore[arg-type, operator]
    assert places == [[-0.125, 0.875, 1.875], [0.125, 1.125, 2.125]]
    assert all(line.get_linestyle() == "None" for line in axes.lines)


def test_without_the_key_there_is_a_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panels = {"t": {"foo": WEIGHTS, "plain": {None: [40.0, 50.0]}}}
    (axes,) = drawn(panels, monkeypatch, tmp_path).axes
    level = axes.lines[1]
    assert list(level.get_ydata()) == [45.0, 45.0]  # type: ignore[arg-type]
    assert level.get_linestyle() == "--"


def test_a_task_is_a_panel_and_a_name_looks_the_same_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panels = {str(task): {"foo": WEIGHTS, "bar": WEIGHTS} for task in range(3)}
    panels["3"] = {"bar": WEIGHTS}
    figure = drawn(panels, monkeypatch, tmp_path)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2
    assert len({axes.lines[-1].get_color() for axes in figure.axes[:4]}) == 1
    assert figure.axes[0].lines[0].get_color() != figure.axes[0].lines[1].get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["foo", "bar"]
    assert legend.get_title().get_text() == "mean and 95 %\ninterval over seeds"


def test_of_two_seeds_the_values_are_drawn_and_no_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {0.1: [60.0, 70.0], 1.0: [70.0, 80.0], 10.0: [90.0]}
    (axes,) = drawn({"t": {"foo": two}}, monkeypatch, tmp_path).axes
    assert {y for _, y in band(axes)} == {65.0, 75.0, 90.0}  # a band without width
    points = [tuple(map(float, p)) for c in axes.collections[1:] for p in np.array(c.get_offsets())]
    assert points == [(0.1, 60.0), (0.1, 70.0), (1.0, 70.0), (1.0, 80.0)]
