"""From tensors to a trained model, in Python: the same as the command, bit for bit."""

import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from numpy.testing import assert_array_equal
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import da_framework
from da_framework.core.errors import DivergedError, InputError
from da_framework.notebook import as_overrides
from tests.conftest import Commands
from tests.selection import a_few

PAGE = (Path(__file__).parents[1] / "docs/pages/guides/python.md").read_text()
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
T = X + np.float32(0.3)
KEYS: dict[str, Any] = {
    "network": "mlp",
    "steps": 12,
    "evaluate_every": 4,
    "trainer__accelerator": "cpu",
}


def fit(**keys: Any) -> da_framework.Run:
    given: dict[str, Any] = {"method": "dann", "source": (X, Y), "target": (T, Y), **KEYS}
    return da_framework.fit(**(given | keys))


@pytest.fixture(scope="module")
def run() -> da_framework.Run:
    return fit()


def equal(first: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return first.keys() == other.keys() and all(torch.equal(first[k], other[k]) for k in first)


def weights(run: da_framework.Run) -> dict[str, Tensor]:
    return run.module.method.state_dict()


# the same as the command


@pytest.mark.parametrize("method", ["dann", "mcd", "source_only"])
def test_the_weights_are_those_of_the_command(da: Commands, method: str) -> None:
    (da.folder / "d").mkdir()
    np.savez(da.folder / "d" / "source.npz", x=X, y=Y)
    np.savez(da.folder / "d" / "target.npz", x=T, y=Y)
    words = (
        "dataset.root=d",
        "dataset.source=[source]",
        "dataset.scale=source",
        "optimizer.lr=.05",
    )
    own = ("network=mlp", "steps=12", "evaluate_every=4", "seed=3", "trainer.accelerator=cpu")
    ended = da.train(f"method={method}", "dataset=arrays", *words, *own)
    assert ended.code == 0, ended
    trained = fit(method=method, seed=3, dataset__scale="source", optimizer__lr=0.05)
    command = {k.removeprefix("method."): v for k, v in da.weights().items()}
    assert equal(weights(trained), command)
    assert not equal(weights(fit(method=method)), command)
    picks = da.record()["target"]
    assert {k: p["target"]["accuracy"] for k, p in trained.module.picks.items()} == {
        k: p["accuracy"] for k, p in picks.items()
    }
    trained.save(da.folder / "saved")
    for pick in ("last", "chosen"):
        assert equal(da.weights("saved", pick), da.weights("run", pick))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((torch.as_tensor(X), torch.as_tensor(Y)), (torch.as_tensor(T), torch.as_tensor(Y))),
        (
            TensorDataset(torch.as_tensor(X), torch.as_tensor(Y)),
            DataLoader(
                TensorDataset(torch.as_tensor(T), torch.as_tensor(Y)), batch_size=64, shuffle=True
            ),
        ),
        (pd.DataFrame(X).assign(label=Y), pd.DataFrame(T).assign(label=Y)),
    ],
    ids=["tensors", "data set and loader", "frames"],
)
def test_whatever_holds_the_samples(run: da_framework.Run, source: Any, target: Any) -> None:
    assert equal(weights(fit(source=source, target=target)), weights(run))


def test_what_is_around_it_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    module = nn.Linear(4, 8)
    torch.manual_seed(5)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    da_framework.prepare(method="dann", source=(X, Y), target=(T, Y), network=module)
    assert torch.equal(torch.rand(3), expected)
    assert equal(module.state_dict(), before)


# what it gives


def test_labels_are_those_that_were_given(run: da_framework.Run) -> None:
    assert run.predict(T).dtype.kind == "i"
    assert set(run.predict(T)) <= {0, 1}
    names = np.array(["no", "yes"])[Y]
    named = fit(source=(X, names), target=(T, names))
    assert_array_equal(named.predict(T), np.array(["no", "yes"])[run.predict(T)])


def test_predictions_are_those_of_the_logits(run: da_framework.Run) -> None:
    with torch.no_grad():
        logits = run.module.method.eval()(torch.as_tensor(T))[1]
    assert_array_equal(run.predict(T), logits.argmax(1).numpy())
    np.testing.assert_allclose(run.predict_proba(T), logits.double().softmax(1).numpy())
    assert_array_equal(run.predict(pd.DataFrame(T)), run.predict(torch.as_tensor(T)))


def test_predictions_of_a_frame_keep_its_rows(run: da_framework.Run) -> None:
    frame = pd.DataFrame(T, index=[f"row {n}" for n in range(len(T))]).iloc[::-1]
    for given in (frame, (frame, Y[::-1])):
        predicted, shares = run.predict(given), run.predict_proba(given)
        assert isinstance(predicted, pd.Series)
        assert predicted.index.equals(frame.index)
        assert shares.index.equals(frame.index)
        assert list(shares.columns) == [0, 1]
        assert_array_equal(
            predicted.sort_index(), pd.Series(run.predict(T), frame.index[::-1]).sort_index()
        )
        assert_array_equal(shares.idxmax(axis=1), predicted)
    assert isinstance(run.predict(T), np.ndarray)


def test_what_is_no_probability_is_not_called_so() -> None:
    run = fit(method="uan", steps=2)
    with pytest.raises(InputError, match=r"UAN gives no probabilities: predict\(x\)"):
        run.predict_proba(T)
    assert run.model().logits(T).argmax(1).tolist() == [
        [0, 1, "unknown"].index(label) for label in run.predict(T)
    ]


@pytest.mark.parametrize("shape", [(90, 5), (90, 1, 6, 6), (90, 2, 9)])
def test_a_network_by_name_fits_inputs_of_any_shape(shape: tuple[int, ...]) -> None:
    x = RANDOM.normal(size=shape).astype(np.float32)
    run = fit(source=(x, Y), target=x, network__backbone__widths=[8, 16], steps=2)
    assert len(run.predict(x)) == 90
    assert run.module.method.network.encoder.width == 16


def test_evaluation_is_that_of_the_record(run: da_framework.Run) -> None:
    figures = run.evaluate(T, Y)
    assert figures["accuracy"] == (run.predict(T) == Y).mean()
    last = run.module.picks["last"]["target"]
    assert figures["macro_f1"] == pytest.approx(last["macro_f1"])
    both = TensorDataset(torch.as_tensor(T), torch.as_tensor(Y))
    assert run.evaluate(both) == figures
    assert run.evaluate(T, Y.astype(float)) == figures


def test_scaled_inputs_are_scaled_again() -> None:
    wide = fit(source=(1000 * X, Y), target=(1000 * T, Y), dataset__scale="source")
    unscaled = fit(dataset__scale="source")
    assert_array_equal(wide.predict(1000 * T), unscaled.predict(T))


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"], [False, True]])
def test_without_a_source_labels_are_those_of_the_run_before(
    labels: list[Any], tmp_path: Path
) -> None:
    before = fit(method="source_only", source=(X, np.array(labels)[Y]), target=T)
    before.save(tmp_path / "before")
    after = fit(method="shot", source=None, target=T, init_from=tmp_path / "before")
    assert_array_equal(after.model().labels, np.array(labels))
    assert after.predict(T).dtype == before.predict(T).dtype
    after.save(tmp_path / "after")
    loaded = da_framework.load(tmp_path / "after")
    assert_array_equal(loaded.predict(T), after.predict(T))


def test_the_chosen_weights_are_kept() -> None:
    run = fit(steps=60, validator="source_accuracy")  # of equal ones, the first is chosen
    chosen = run.module.picks["chosen"]
    assert chosen["step"] < 60
    assert run.evaluate(T, Y, pick="chosen")["accuracy"] == chosen["target"]["accuracy"]
    assert not equal(run.model("chosen").method.state_dict(), weights(run))


def test_what_is_saved_is_brought_back(run: da_framework.Run, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    for pick in ("last", "chosen"):
        model = da_framework.load(tmp_path / "run", pick=pick)
        assert_array_equal(model.predict(T), run.predict(T, pick=pick))
        assert model.evaluate(T, Y) == run.evaluate(T, Y, pick=pick)
    assert model.predict(T).dtype == run.predict(T).dtype


def test_commands_read_what_is_saved(da: Commands, run: da_framework.Run) -> None:
    run.save("run")
    np.save("new.npy", T)
    ended = da("predict", "run=run", "dataset.root=new.npy")
    assert ended.code == 0, ended
    predicted = pd.read_csv("predictions.csv")
    assert_array_equal(predicted["class"], run.predict(T))
    ended = da("report", "run")
    assert ended.code == 0, ended
    assert "dann" in ended.out
    run.save("run")
    assert Path("before-1").exists() or Path("run/before-1").exists()


def test_a_run_of_the_command_is_brought_back(da: Commands) -> None:
    da.train_once("moons")
    model = da_framework.load("run")
    assert set(model.predict(RANDOM.normal(size=(5, 2)))) <= set(da.record()["classes"])


# several sources; a module


def test_several_sources_are_domains() -> None:
    run = fit(method="source_only", source={"a": (X[:45], Y[:45]), "b": (X[45:], Y[45:])})
    assert run.domains.task.domains == ("a", "b", "target")
    assert run.domains.task.sources == 2


class Own(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layer = nn.Linear(4, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(x))


def test_a_module_is_the_backbone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Own()
    run = fit(network=module, network__bottleneck=[6])
    backbone = run.module.method.network.encoder.backbone
    assert isinstance(backbone, Own)
    assert not torch.equal(backbone.layer.weight, module.layer.weight)
    assert equal(weights(fit(network=module, network__bottleneck=[6])), weights(run))
    run.save(tmp_path)
    model = da_framework.load(tmp_path, network=Own())
    assert_array_equal(model.predict(T), run.predict(T))
    with pytest.raises(
        InputError, match=r"given in Python \(Own\).*load\(folder, network=module\)"
    ):
        da_framework.load(tmp_path)


def test_a_module_begins_with_its_weights() -> None:
    torch.manual_seed(0)
    module = Own()
    run = da_framework.prepare(method="dann", source=(X, Y), target=(T, Y), network=module)
    assert equal(run.module.method.network.encoder.backbone.state_dict(), module.state_dict())


# what is wrong is said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"method": "dan"}, "method=dan: there is no such method; nearest are dann"),
        (
            {"method__wieght": 1.0},
            "method.wieght: there is no such key; did you mean method.weight",
        ),
        ({"wieght": 1.0}, "method.wieght: there is no such key; did you mean method.weight"),
        ({"epochs": 3}, "there is no such key; here it is steps"),
        ({"batch_size": 3}, "there is no such key; here it is dataset.batch_size"),
        ({"steps": -1}, "steps"),
        ({"network": "convnet"}, "network=mlp"),
        ({"source": (X, None)}, "a source has all"),
        ({"trainer__devices": 2}, "trains in this process"),
        ({"logger": "wandb"}, "logger: is of runs that have a folder; in Python: prepare"),
        ({"callback": "tsne"}, r"in Python: callbacks=\[...\]"),
        ({"again": True}, "fit always trains"),
        ({"checkpoint_every": 2}, "ModelCheckpoint"),
        ({"validator": len}, "^validator: len is neither number"),
        ({"source": (X[:0], Y[:0])}, "source is empty"),
        ({"source": (X.astype(np.uint8), Y)}, "are float32, those of source uint8"),
        ({"data": object()}, "in the place of source and target"),
        ({"target": None}, "target: must be given"),
    ],
)
def test_what_cannot_be_is_said(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(**keys)


def test_every_line_that_is_wrong_is_said() -> None:
    with pytest.raises(InputError) as raised:
        fit(method="dan", epochs=3)
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == [
        "method=dan",
        "method.epochs",
    ]


class Gives(nn.Module):
    """A backbone that gives something else."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(x)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Unflatten(1, (2, 2)), r"features of the shape \(2, 2\).*Flatten"),
        (Gives(lambda x: (x, x)), "the backbone gives a tuple; needed is a tensor"),
        (Gives(lambda x: {"features": x}), "the backbone gives a dict; needed is a tensor"),
        (nn.Linear(7, 8), r"cannot take an input of the shape \(4,\) in float32: mat1 and mat2"),
        (nn.Linear(4, 8).double(), "cannot take .* in float32: .*same dtype"),
    ],
)
def test_a_module_that_makes_no_row_is_refused(module: nn.Module, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(network=module)


@pytest.mark.parametrize(
    "module", [nn.LazyLinear(8), nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), nn.Identity()]
)
def test_a_module_need_not_say_how_wide_it_is(module: nn.Module) -> None:
    run = fit(network=module)
    assert run.model().method.network.encoder.width == (4 if type(module) is nn.Identity else 8)


@pytest.mark.parametrize("copy", [deepcopy, lambda run: pickle.loads(pickle.dumps(run))])
def test_runs_and_estimators_are_copied(run: da_framework.Run, copy: Any) -> None:
    for pick in ("last", "chosen"):
        assert_array_equal(copy(run).predict(T, pick=pick), run.predict(T, pick=pick))
    for model in (
        da_framework.Estimator("tca").fit(X, Y, T),
        da_framework.Estimator("dann", steps=2, trainer__accelerator="cpu").fit(X, Y, T),
    ):
        assert_array_equal(copy(model).predict(T), model.predict(T))


def test_two_runs_in_a_process_and_one_in_a_thread_are_alike(run: da_framework.Run) -> None:
    threaded: list[da_framework.Run] = []
    thread = Thread(target=lambda: threaded.append(fit()))
    thread.start()
    thread.join()
    for other in (fit(), *threaded):
        assert equal(weights(other), weights(run))
    assert not equal(weights(fit(seed=2)), weights(run))


@pytest.mark.slow
def test_a_program_without_a_file_trains(tmp_path: Path) -> None:
    program = """
import numpy as np, torch, da_framework
class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 8)
    def forward(self, x):
        return self.layer(x)
x = np.random.default_rng(0).normal(size=(40, 4))
run = da_framework.fit(method="dann", source=(x, x[:, 0] > 0), target=x, network=Own(), steps=2)
run.save("run")
model = da_framework.load("run", network=Own())
print((model.predict(x) == run.predict(x)).all())
for wrong in (lambda: run.predict(x, pick="best"), lambda: da_framework.load("run", pick="best")):
    try:
        wrong()
    except ValueError as error:
        print(error)
"""
    typed = [sys.executable, "-W", "ignore", "-"]
    ended = subprocess.run(
        typed, input=program, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ended.stdout.splitlines() == ["True", *["pick=best: it is last or chosen"] * 2]


def test_values_of_other_kinds_are_plain() -> None:
    keys = {"steps": np.int64(3), "weight": torch.tensor(0.5), "init_from": Path("a b")}
    assert as_overrides(keys) == ["steps=3", "method.weight=0.5", "init_from='a b'"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"method": da_framework.Adaptation}, "method: Adaptation is neither number, text, list"),
        ({"network": nn.Linear}, "network: Linear is neither.*by name, or a module of torch"),
    ],
)
def test_parts_are_given_by_name(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        as_overrides(keys)


def test_one_callback_may_be_given_alone() -> None:
    assert fit(callbacks=pl.Callback(), steps=1).module.step == 1


def test_nothing_is_predicted_before_it_is_learnt() -> None:
    run = da_framework.prepare(method="dann", source=(X, Y), target=(T, Y), network="mlp")
    for act in (lambda: run.predict(T), lambda: run.save("nowhere")):
        with pytest.raises(InputError, match="nothing is trained yet"):
            act()
    assert not Path("nowhere").exists()


def test_keys_are_words_of_the_command() -> None:
    keys = {"steps": 3, "weight": 0.5, "optimizer__lr": 0.1, "dataset": {"batch_size": {"a": 2}}}
    assert as_overrides(keys) == [
        "steps=3",
        "method.weight=0.5",
        "optimizer.lr=0.1",
        "dataset.batch_size.a=2",
    ]


def test_a_config_is_composed_within_a_program_of_hydra(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_dir

    (tmp_path / "own.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert da_framework.compose("method=dann")["method"]["_target_"].endswith("DANN")
        assert compose("own") == {"a": 1}  # the program's own configs are still there


def test_a_module_is_given_in_python_alone(da: Commands) -> None:
    ended = da.train("network=module")
    assert ended.code == 2
    assert "network=module: da_framework.fit(network=module) trains with one" in ended.err


# the page


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(examples) == 5
    first, second = (len([line for line in e.splitlines() if line.strip()]) for e in examples[:2])
    assert first <= 10
    assert second <= 12
    space: dict[str, Any] = {"__name__": "python"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for example in examples:
            exec(compile(example, "python.md", "exec"), space)
    assert set(space["run"].predict(space["x_target"])) <= {"yes", "no"}
    assert (tmp_path / "runs" / "mine" / "result.json").is_file()


OURS = ("run", "print", "import da_framework", " ", ")")
"""How those lines of the first examples begin that make no data."""
OTHERS: dict[str, str] = dict(re.findall(r'```python title="(\w+)"\n(.*?)```', PAGE, re.DOTALL))


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def first_examples() -> list[list[str]]:
    return [*map(lines_of, re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[:2])]


@pytest.mark.parametrize("library", OTHERS)
def test_other_libraries_do_the_same(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "float", float, raising=False)  # of NumPy before 1.24, for dalib
    pytest.importorskip(library)
    data = [line for example in first_examples() for line in example if not line.startswith(OURS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile("\n".join([*data, OTHERS[library]]), library, "exec"), {})


def test_lines_are_counted_as_the_page_says() -> None:
    rows = [line.split("|")[1:4] for line in PAGE.partition("## Beside")[2].splitlines()]
    told = {row[0].split()[0]: row[1:] for row in rows if len(row) == 3 and row[0].strip()}
    arrays, sets = (sum(line.startswith(OURS) for line in own) for own in first_examples())
    counts = {name: str(len(lines_of(program))) for name, program in OTHERS.items()}
    assert [own.strip() for own in told["da_framework"]] == [str(arrays), str(sets)]
    assert told["skada"][0].strip() == counts["skada"]
    assert told["pytorch-adapt"][1].strip() == counts["pytorch_adapt"]
    assert told["Transfer-Learning-Library"][1].strip() == counts["dalib"]


ROWS = re.findall(r"^\| `(\S+)` \| (.+) \|$", PAGE.partition("## Words from")[2], re.MULTILINE)
WORDS = [(typed, answer.strip("`")) for typed, answer in ROWS if answer[0] == "`"]
TRAINS = [(typed, answer) for typed, answer in ROWS if answer[0] != "`"]


@pytest.mark.parametrize("typed", a_few("words", dict(WORDS), 10))
def test_words_from_elsewhere_lead_to_ours(da: Commands, typed: str) -> None:
    answered = dict(WORDS)[typed]
    ended = da("train", typed)
    assert ended.code == 2
    assert answered in ended.err
    assert not any(da.folder.rglob("result.json"))
    # what is advised is typed, and there is such a key or part
    value = typed.partition("=")[2]
    advised = re.match(r"here it is (\S+)$", answered)
    pasted = [f"{advised[1]}={value}"] if advised else re.findall(r"^\S+=\S+ \S+=\S+$", answered)
    if typed == "model=resnet50":
        pasted = ["network=torchvision network.backbone=resnet50"]
    for line in pasted:
        ended = da("train", "--cfg", "job", *line.split())
        assert ended.code == 0, ended
        assert value in ended.out or line.startswith("hydra.")


@pytest.mark.parametrize(("typed", "answered"), TRAINS)
def test_words_from_elsewhere_are_ours(da: Commands, typed: str, answered: str) -> None:
    digits = ["dataset=digits", "dataset.target=[mnist]"] if "usps" in typed else []
    ended = da.train("steps=2", "trainer.accelerator=cpu", *digits, typed)
    assert ended.code == 0, ended
    config = da.record()["config"]
    if typed == "--seed=2":
        assert config["seed"] == 2
    elif "batch_size" in typed:
        assert set(config["dataset"]["batch_size"].values()) == {32}
    else:
        assert config["dataset"]["source"] == ["usps"]


def test_the_words_are_those_of_the_page() -> None:
    assert (len(WORDS), len(TRAINS)) == (26, 3)


ADVICE: dict[str, tuple[dict[str, Any], str]] = {
    "flat samples": ({"network": None}, "network=mlp"),
    "a method in closed form": ({"method": "tca"}, "network=identity"),
    "a target with labels": ({"method": "target_only"}, "dataset.labels_per_class=3"),
    "few samples": ({"source": (X[:2], [0, 1])}, "dataset.val=0"),
    "large numbers": ({"source": (1e30 * X.astype(float), Y)}, "dataset.scale=source"),
    "several processes": ({"trainer__devices": 2}, "trainer__devices=1"),
    "half precision": ({"trainer__precision": "16-mixed"}, "bf16-mixed"),
    "a GPU's products": ({"tf32": "all", "trainer__accelerator": "cpu"}, "tf32=none"),
}
"""What is given, and the advice in the error."""


@pytest.mark.parametrize("what", ADVICE)
def test_advice_is_pasted_and_works(what: str) -> None:
    keys, advice = ADVICE[what]
    with pytest.raises((InputError, DivergedError)) as raised:
        fit(**keys)
    assert advice in str(raised.value)
    key, _, value = (advice if "=" in advice else f"trainer.precision={advice}").partition("=")
    number = float(value) if key == "dataset.val" else int(value) if value.isdigit() else value
    pasted = {key.replace(".", "__"): number}
    assert fit(**(keys | pasted)).module.step == 12
