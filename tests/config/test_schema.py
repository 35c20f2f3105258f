import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import pytest
from omegaconf import OmegaConf

from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.core.errors import InputError
from da_framework.core.schedules import Constant, Schedule, SigmoidRamp
from da_framework.core.types import Count, Finite, Fraction, Positive

HERE = __name__
RAMP = {"_target_": "da_framework.core.schedules.SigmoidRamp", "gamma": 10.0, "high": 1.0}


class Base(TypedDict, total=False):
    alpha: Fraction
    mode: Literal["joint", "separate"]


class Method:
    def __init__(
        self,
        network: object,
        *,
        hidden: list[Count],
        weight: Positive,
        coefficient: Schedule | Finite,
        **base: Unpack[Base],
    ) -> None:
        self.hidden = hidden
        self.coefficient = coefficient


class Refuses:
    def __init__(self, name: str = "") -> None:
        raise InputError(f"there is no {name!r}; there are a, b")


class Fails:
    def __init__(self) -> None:
        raise KeyError("a mistake of ours")


def anything(**keys: Any) -> dict[str, Any]:
    return keys


def settings(
    method: Any,
    seed: int,
    name: str = "x",
    callback: Any = None,
    sizes: dict[str, Count] | None = None,
) -> None:
    """The keys at the top."""


def method(**keys: Any) -> dict[str, Any]:
    node = {"_target_": f"{HERE}.Method", "_partial_": True}
    return node | {"hidden": [4], "weight": 1.0, "coefficient": 0.5} | keys


def config(**keys: Any) -> dict[str, Any]:
    return {"method": method(), "seed": 1} | keys


def complaints(given: dict[str, Any], schema: Callable[..., Any] = settings) -> list[str]:
    with pytest.raises(InputError) as caught:
        check_config(given, schema)
    return str(caught.value).splitlines()


def test_a_right_config_passes() -> None:
    check_config(config(), settings)
    check_config(config(method=method(alpha=0.5, mode="joint", coefficient=RAMP)), settings)


def test_everything_wrong_is_said_at_once() -> None:
    wrong = method(hiden=[3], weight=0.0, hidden=["wide"], coefficient=RAMP | {"gama": 1.0})
    lines = complaints({"method": wrong, "nme": "y", "name": [3]})
    assert sorted(line.split(":")[0] for line in lines) == [
        "method.coefficient.gama",
        "method.hidden.0",
        "method.hiden",
        "method.weight",
        "name",
        "nme",
        "seed",
    ]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (config(sede=1), "sede: there is no such key; did you mean seed?"),
        (
            config(zzzzzz=1),
            "zzzzzz: there is no such key; the keys are callback, method, name, seed, sizes",
        ),
        (
            config(method=method(wieght=1.0)),
            "method.wieght: there is no such key; did you mean weight?",
        ),
        (
            config(method=method(alhpa=0.1)),
            "method.alhpa: there is no such key; did you mean alpha?",
        ),
        ({"method": method()}, "seed: missing"),
        (config(seed="???"), "seed: must be given"),
        (
            config(method=method(coefficient={k: RAMP[k] for k in ("_target_", "gamma")})),
            "method.coefficient.high: missing",
        ),
    ],
)
def test_a_wrong_or_missing_key_is_named(given: dict[str, Any], line: str) -> None:
    assert complaints(given) == [line]


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        (config(seed="one"), "seed: ", "it is 'one'"),
        (config(seed=1.0), "seed: ", "it is 1.0"),
        (config(seed=True), "seed: ", "it is True"),
        (config(name=[3]), "name: ", "it is [3]"),
        (config(sizes={"source": 0}), "sizes.source: ", "it is 0"),
        (config(method=method(weight=-1.0)), "method.weight: ", "it is -1.0"),
        (config(method=method(weight=float("nan"))), "method.weight: ", "it is nan"),
        (config(method=method(weight=float("inf"))), "method.weight: ", "it is inf"),
        (config(method=method(alpha=1.0)), "method.alpha: ", "it is 1.0"),
        (config(method=method(mode="both")), "method.mode: ", "it is 'both'"),
        (config(method=method(hidden=[4, 0])), "method.hidden.1: ", "it is 0"),
        (config(method=method(hidden="wide")), "method.hidden: ", "it is 'wide'"),
        (
            config(method=method(coefficient=RAMP | {"gamma": -1.0})),
            "method.coefficient.gamma: ",
            "it is -1.0",
        ),
    ],
)
def test_a_wrong_type_or_range_is_named(given: dict[str, Any], start: str, end: str) -> None:
    (line,) = complaints(given)
    assert line.startswith(start)
    assert line.endswith(end)


def test_the_keys_of_an_unpacked_base_are_known_and_may_be_left_out() -> None:
    check_config(config(method=method(alpha=0.0, mode="separate")), settings)
    check_config(config(method=method()), settings)


def test_a_number_may_stand_where_a_schedule_may() -> None:
    for value in (0.5, 2, RAMP):
        check_config(config(method=method(coefficient=value)), settings)
    lines = complaints(config(method=method(coefficient="fast")))
    assert len(lines) == 1
    assert lines[0].startswith("method.coefficient: ")


def test_a_partial_node_leaves_to_its_caller_what_goes_by_position() -> None:
    node = method()
    check_config(config(method=node), settings)
    del node["weight"]
    assert complaints(config(method=node)) == ["method.weight: missing"]
    whole = {key: value for key, value in node.items() if key != "_partial_"}
    assert sorted(complaints(config(method=whole))) == [
        "method.network: missing",
        "method.weight: missing",
    ]


@pytest.mark.parametrize(
    ("nodes", "where"),
    [
        ({"a": RAMP, "b": RAMP | {"gamma": 0.0}}, "callback.b.gamma"),
        ([RAMP, RAMP | {"gamma": 0.0}], "callback.1.gamma"),
        ({"deep": [{"down": RAMP | {"gamma": 0.0}}]}, "callback.deep.0.down.gamma"),
    ],
)
def test_nodes_in_lists_and_dicts_are_checked(nodes: Any, where: str) -> None:
    (line,) = complaints(config(callback=nodes))
    assert line.startswith(f"{where}: ")


def test_what_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    nodes = [
        {"_target_": "broken_plugin.Foo"},
        {"_target_": "no_such_package.Foo"},
        {"_target_": "da_framework.core.schedules.Cosin"},
    ]
    lines = complaints(config(callback=nodes))
    for index, (node, line) in enumerate(zip(nodes, lines, strict=True)):
        assert line.startswith(f"callback.{index}: cannot import {node['_target_']}: ")
    assert "no licence" in lines[0]
    sys.modules.pop("broken_plugin", None)


def test_any_key_goes_where_any_is_taken() -> None:
    check_config(config(callback={"_target_": f"{HERE}.anything", "whatever": 1}), settings)


def test_a_type_without_a_schema_is_left_alone() -> None:
    def takes(path: "Path", unknown: "nowhere.Thing") -> None:  # type: ignore[name-defined]  # noqa: F821
        """Hints that cannot be resolved."""

    check_config({"path": 3, "unknown": 4}, takes)


def test_instantiate_gives_plain_values() -> None:
    created = instantiate(OmegaConf.create(method(coefficient=RAMP)))
    assert isinstance(created, partial)
    built = created(object())
    assert type(built.hidden) is list
    assert isinstance(built.coefficient, SigmoidRamp)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": f"{HERE}.Refuses", "name": "c"},
        {"_target_": f"{HERE}.anything", "inner": {"_target_": f"{HERE}.Refuses", "name": "c"}},
    ],
)
def test_a_constructor_s_own_words_come_through(node: Any) -> None:
    with pytest.raises(InputError, match=r"^there is no 'c'; there are a, b$"):
        instantiate(node)


def test_a_mistake_of_ours_is_not_taken_for_the_user_s() -> None:
    with pytest.raises(Exception, match="a mistake of ours") as caught:
        instantiate({"_target_": f"{HERE}.Fails"})
    assert not isinstance(caught.value, InputError)


def test_plain_resolves_references() -> None:
    given = OmegaConf.create({"a": 2, "b": {"c": "${a}", "d": ["${a}"]}})
    assert to_plain(given) == {"a": 2, "b": {"c": 2, "d": [2]}}
    assert type(to_plain(given)["b"]["d"]) is list
    assert to_plain({"a": Constant}) == {"a": Constant}


@pytest.mark.parametrize("target", ["builtins.dict", "os", "math.pi"])
def test_what_does_not_say_what_it_takes_is_a_line(target: str) -> None:
    with pytest.raises(InputError, match=f"^part: {target} does not say what it takes"):
        check_config({"part": {"_target_": target}}, lambda part: None)
