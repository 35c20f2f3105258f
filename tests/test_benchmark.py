"""What the benchmark measures, held without a clock where it can be."""

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from da_framework.losses import mmd as losses

SCRIPT = Path(__file__).parents[1] / "scripts" / "benchmark.py"
CPU = torch.device("cpu")


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


benchmark = loaded()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny() -> Any:
    return benchmark.Steps(
        benchmark.Bench(CPU, quick=True), benchmark.SIZES[benchmark.TINY]._replace(rows=200)
    )


class Seen(TorchDispatchMode):
    """Operators called, and the largest tensor any of them gave."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[str] = []
        self.largest = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        actual = function(*args, **(kwargs or {}))
        self.operators.append(str(function))
        if isinstance(actual, Tensor):
            self.largest = max(self.largest, actual.numel())
        return actual


WAITS = (
    "_local_scalar_dense",
    "is_nonzero",
    "equal.default",
    "nonzero",
    "_unique",
    "masked_select",
)
"""Operators whose result the host has to wait for."""


def operators(run: Callable[[int], float], *, only: Sequence[str] = ("",)) -> float:
    """In one step: what more steps have more of, and so nothing that is done once.

    Args:
        run: takes so many steps.
        only: parts of the names of those that are counted.
    """
    counts = []
    for steps in (64, 192):  # whole blocks of what is gathered at once
        with Seen() as seen:
            run(steps)
        counts.append(sum(any(part in name for part in only) for name in seen.operators))
    return (counts[1] - counts[0]) / 128


def test_a_step_needs_few_operators_more_than_one_by_hand(tiny: Any) -> None:
    # features and logits are cut by role, losses are recorded, each domain has a mean of its own
    assert operators(tiny.ours) <= operators(tiny.by_hand) + 16


def test_no_step_waits_for_the_device(tiny: Any) -> None:
    assert operators(tiny.ours, only=WAITS) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benchmark.Bench(torch.device("cuda"), quick=True)
    steps = benchmark.Steps(bench, benchmark.SIZES[benchmark.LENET]._replace(rows=1000))
    take = benchmark.Adaptation.take_step

    def strictly(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            torch.cuda.set_sync_debug_mode("error")
            try:
                return call(*arguments)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return run

    monkeypatch.setattr(benchmark.Adaptation, "take_step", strictly(take))
    monkeypatch.setattr(benchmark.Domains, "batch", strictly(benchmark.Domains.batch))
    steps.ours(20)


def test_a_run_in_a_stack_of_runs_learns_what_it_learns_alone(tiny: Any) -> None:
    many = benchmark.ManyRuns(tiny, 3)
    for plain in many.plains:
        torch.nn.init.normal_(plain.head[0].weight)  # each begins elsewhere
        plain.double()
    x, y, other = many.batches()
    batches = x.double(), y, other.double()
    stacked = many.gradients(many.stacked_weights(), batches, 0.5)
    for run, plain in enumerate(many.plains):
        plain.sides = plain.sides.double()
        loss = plain.loss(tuple(field[run] for field in batches), 0.5)
        expected = torch.autograd.grad(loss, [*plain.parameters()])
        for name, gradient in zip(dict(plain.named_parameters()), expected, strict=True):
            torch.testing.assert_close(stacked[f"plain.{name}"][run], gradient)


def test_batches_of_several_steps_are_looked_up_at_once(tiny: Any) -> None:
    def batches(steps: int) -> float:
        for step in range(steps):
            tiny.domains.batch(step)
        return 0.0

    # of two roles: inputs, labels and domains, by position
    looked_up = operators(batches, only=("aten.index.", "aten.index_select."))
    assert 0 < looked_up <= 2 * 3 / 64


def test_a_step_costs_no_multiple_of_one_by_hand(tiny: Any) -> None:
    # shapes and types are checked here, and the machine may be busy: the benchmark itself says more
    for run in (tiny.ours, tiny.by_hand):
        run(20)
    times = [(tiny.ours(100), tiny.by_hand(100)) for _ in range(5)]
    assert median(ours / by_hand for ours, by_hand in times) <= 3


@pytest.mark.parametrize("loss", ["ours", "by_class", "joint"])
@pytest.mark.parametrize("n", [1024, 2048])
def test_the_mmd_holds_the_features_and_one_tile(n: int, loss: str) -> None:
    d = 200
    sides = benchmark.features(n, d, CPU)
    with Seen() as seen:
        benchmark.there_and_back(getattr(benchmark, loss), sides)()
    assert seen.largest == max(losses.KERNEL_TILE**2, 2 * n * d)


def test_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, record = tmp_path / "table.md", tmp_path / "record.json"
    arguments = ["--quick", "--rows", "mmd", "--markdown", str(text), "--json", str(record)]
    benchmark.main(arguments)
    assert capsys.readouterr().out == text.read_text()
    actual = json.loads(record.read_text())
    assert "torch" in actual["versions"]
    for line in actual["lines"]:
        assert line["row"] == "mmd"
        assert len(line["values"]) == 3
        assert 0 < line["min"] <= line["median"] <= line["max"]
    output = {(line["case"], line["what"]) for line in actual["lines"] if line["device"] == "cpu"}
    assert ("1024+1024 rows, 256 features", "ours to the floor") in output


@pytest.mark.parametrize(
    ("goal", "met"), [("≤ 2", True), ("≤ 1.9", False), ("≥ 2", True), ("≥ 2.1", False)]
)
def test_a_goal_is_about_the_median(goal: str, met: bool) -> None:
    line = benchmark.Line("step", "case", "what", [9.0, 2.0, 1.0], goal=goal)
    assert line.met is met
    assert line.cells()[-1] == f"{goal}: {'met' if met else 'MISSED'}"


def test_what_is_not_installed_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.peer("no_such_library") is None
    assert "left out: no_such_library" in capsys.readouterr().err
