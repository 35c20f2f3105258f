"""What settings are chosen by: DomainBed's three ways, by hand."""

from typing import Any

import pytest

from da_framework.core.errors import InputError
from da_framework.results.selection import Setting, choose, gather_settings, render_selection

SOURCES = ["a", "b", "c"]


def record(
    weight: int, left_out: str | None, source: float, target: float, *, seed: int = 1
) -> Any:
    trained = [name for name in SOURCES if name != left_out]
    return {
        "command": f"da train method=irm method.weight={weight} dataset.left_out={left_out}",
        "choices": {"method": "irm"},
        "config": {
            "seed": seed,
            "method": {"weight": weight},
            "dataset": {"source": SOURCES, "target": ["d"], "left_out": left_out},
        },
        "domains": {"source": trained, "target": ["d"]},
        "source": {"last": {"accuracy": source}},
        "target": {"last": {"step": 9, "score": source, "accuracy": target}},
    }


def sweep(seed: int = 1) -> list[Any]:
    """Each of the three ways chooses another weight."""
    figures = {
        1: (0.99, 0.1, (0.2, 0.3, 0.4)),
        10: (0.80, 0.5, (0.9, 0.6, 0.6)),
        100: (0.70, 0.6, (0.5, 0.5, 0.8)),
    }
    return [
        run
        for weight, (held_out, target, others) in figures.items()
        for run in (
            record(weight, None, held_out, target, seed=seed),
            *(
                # the target's accuracy of these runs is no one's business
                record(weight, name, other, 0.9, seed=seed)
                for name, other in zip(SOURCES, others, strict=True)
            ),
        )
    ]


def test_each_way_chooses_by_its_own_score_and_shows_the_run_on_all_sources() -> None:
    lines = render_selection(sweep()).splitlines()
    assert lines[0] == (
        "| task | method | held-out source | source left out | oracle (uses target labels) "
        "| settings | seeds |"
    )
    assert lines[2] == "| a+b+c → d | `irm` | 10.0 | 50.0 | 60.0 | 3 | 1 |"
    assert lines[-1] == "- `irm`, a+b+c → d, seed 1, by a source left out: `method.weight=10`"


def test_the_score_is_the_mean_over_sources_each_left_out_once() -> None:
    (settings,) = gather_settings(sweep()).values()
    scores = [setting.score("source left out") for setting in settings.values()]
    assert scores == pytest.approx([0.3, 0.7, 0.6])


def test_a_setting_that_lacks_a_run_is_not_chosen_by_it() -> None:
    runs = [run for run in sweep() if "weight=10 dataset.left_out=b" not in run["command"]]
    lines = render_selection(runs).splitlines()
    assert lines[2].split("|")[3:6] == [" 10.0 ", " 60.0 ", " 60.0 "]
    assert "1 of 3 settings are without a run for each source left out" in lines[-2]
    alone = [run for run in sweep() if run["config"]["dataset"]["left_out"]]
    assert render_selection(alone).splitlines()[2].split("|")[3:6] == [" - "] * 3


def test_choosing_by_a_source_left_out_ignores_the_target_s_labels() -> None:
    def chosen(runs: list[Any]) -> list[Any]:
        pairs = (choose(own, "source left out") for own in gather_settings(runs).values())
        return [pair and pair[0] for pair in pairs]

    other = sweep()
    for number, run in enumerate(other):
        run["target"]["last"]["accuracy"] = number / 100
    assert chosen(other) == chosen(sweep())


def test_every_seed_chooses_for_itself() -> None:
    second = [run for run in sweep(2) if run["config"]["method"]["weight"] != 10]
    row = render_selection([*sweep(1), *second]).splitlines()[2]
    assert row == (
        "| a+b+c → d | `irm` | 10.0 (10.0, 10.0) | 55.0 (50.0, 60.0) | 60.0 (60.0, 60.0) | 3 | 2 |"
    )


def test_the_same_run_twice_and_no_source_left_out_end_in_a_line() -> None:
    with pytest.raises(InputError, match="two runs of one config with seed 1"):
        render_selection([*sweep(), *sweep()])
    with pytest.raises(InputError, match="no run here has left a source out"):
        render_selection([record(1, None, 0.9, 0.5)])


def test_what_lacks_a_figure_has_no_score() -> None:
    setting = Setting(SOURCES)
    assert [setting.score(way) for way in ("held-out source", "source left out")] == [None, None]
    whole = record(1, None, 0.9, 0.5)
    del whole["source"]
    setting.add(whole)
    assert setting.score("held-out source") is None
    assert setting.target() == 0.5


def test_a_sweep_over_sources_left_out_is_reported_as_advised(da: Any) -> None:
    keys = ("dataset=two_moons", "dataset.source=[straight,halfway]", "method=source_only")
    small = ("network=mlp", "validator=source_accuracy", "steps=2", "logger=[]", "callback=[]")
    sweep = ("train", "-m", *keys, *small, "hydra.sweep.dir=all")
    assert da(*sweep, "dataset.left_out=null").code == 0
    ended = da("report", "all", "--selection")
    assert (ended.code, "da train -m dataset.left_out=null,a,b" in ended.err) == (2, True)
    assert da(*sweep, "dataset.left_out=null,straight,halfway").code == 0
    ended = da("report", "all", "--selection")
    assert ended.code == 0, ended.err
    row = ended.out.splitlines()[2]
    assert row.startswith("| halfway+straight → rotated | `source_only` | ")
    assert row.endswith(" | 1 | 1 |")
    assert " - " not in row
