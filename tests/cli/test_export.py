"""A finished run for other programs: checked files, or a line that says why not."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from da_framework.cli import export as exports
from da_framework.config import plugins
from da_framework.training.restore import restore_model
from tests.shared_runs import of_method, plain


def written(name: str = "run") -> dict[str, Any]:
    actual: dict[str, Any] = json.loads(Path(name, "model.json").read_text())
    return actual


def by_onnx(x: Any) -> torch.Tensor:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession("run/model.onnx", providers=["CPUExecutionProvider"])
    return torch.as_tensor(session.run(["probabilities"], {"x": x.numpy()})[0])


@pytest.mark.filterwarnings("ignore")
def test_both_files_are_the_run_with_its_preprocessing_inside(da: Any) -> None:
    pytest.importorskip("onnxruntime")
    draws = np.random.default_rng(0)
    for name in ("a", "b"):
        pixels = draws.integers(0, 256, (40, 1, 8, 8), np.uint8)
        np.savez(f"{name}.npz", x=pixels, y=np.where(np.arange(40) % 2, "cat", "dog"))
    keys = ("dataset=arrays", "dataset.root=.", "dataset.source=[a]", "network=convnet")
    assert da.train(*keys, "network.bottleneck=[4]", "method=control", "steps=3").code == 0
    ended = da("export", "run=run")
    assert (ended.code, ended.err) == (0, "")
    assert "run/model.onnx: probabilities within" in ended.out
    actual = written()
    assert actual["classes"] == ["cat", "dog"]
    assert actual["input"]["shape"] == ["rows", 1, 8, 8]
    assert actual["input"]["dtype"] == "uint8"
    assert actual["accuracy"]["last"] == da.record()["target"]["last"]["accuracy"]
    assert max(actual["differences"].values()) < 1e-5
    x = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8)
    model = restore_model("run", pick="last")
    with torch.no_grad():
        expected = model.method(x.float() / 127.5 - 1)[1].softmax(1)
    program = torch.export.load("run/model.pt2").module()
    torch.testing.assert_close(program(x), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(by_onnx(x), expected, atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["nearest_neighbor", "tca", "uan", "adabn", "progressive"])
def test_methods_of_every_kind(da: Any, method: str) -> None:
    if method == "progressive":
        plain(da)
        Path("run").rename("teacher")
        keys = ("teachers=[teacher]", "dataset.labels_per_class=3", "steps=3")
        assert da.train("method=progressive", *keys).code == 0
    else:
        of_method(da, method)
    trust = "trust=[teacher]"
    if method == "progressive":
        refused = da("export", "run=run", "formats=[pt2]")
        assert refused.err.endswith(f"da export run=run 'formats=[pt2]' '{trust}'\n")
    ended = da("export", "run=run", "out=there", "formats=[pt2]", trust)
    assert (ended.code, ended.err) == (0, ""), ended
    assert written("there")["differences"]["model.pt2"] < 1e-5
    assert not Path("run/model.json").exists()


@pytest.mark.filterwarnings("ignore")
def test_tables_are_scaled_inside(da: Any) -> None:
    lines = [f"{100 + row % 2 * 30 + row % 7},{row % 2},{'ab'[row // 30]}" for row in range(60)]
    Path("all.csv").write_text("\n".join(["height,label,domain", *lines]))
    keys = ("dataset=table", "dataset.root=all.csv", "dataset.source=[a]", "method=control")
    assert da.train(*keys).code == 0
    assert da("export", "run=run", "formats=[pt2]").code == 0
    assert written()["input"]["columns"] == ["height"]
    program = torch.export.load("run/model.pt2").module()
    assert program(torch.tensor([[100.0], [133.0]])).argmax(1).tolist() == [0, 1]


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_differs_is_not_written(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain(da)
    monkeypatch.setitem(
        exports.WRITERS, "pt2", lambda program, file: lambda x: program.module()(x) + 2e-4
    )
    ended = da("export", "run=run", "formats=[pt2]")
    assert ended.code == 2
    assert "run/model.pt2 is not written: its probabilities differ" in ended.err
    assert not [*Path("run").glob("*model.*")]


def test_what_is_missing_is_one_line(da: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert da("export").err.startswith("run: must be given")
    assert da("export", "run=nowhere", "formats=[pt2]").err.startswith("run=nowhere: there is no")
    assert "formats.0" in da("export", "run=run", "formats=[tflite]").err

    def absent(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(plugins, "distribution", absent)
    ended = da("export", "run=nowhere")
    assert ended.code == 2
    assert ended.err.rstrip() == (
        "formats=[onnx] needs onnx: pip install 'da_framework[onnx]', or formats=[pt2]"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "network", ["torchvision network.backbone=resnet18", "timm network.backbone=resnet18", "text"]
)
def test_networks_of_other_libraries(da: Any, network: str) -> None:
    draws = np.random.default_rng(0)
    if network == "text":
        lines = [
            f"{'good' if row % 2 else 'bad'} book,{row % 2},{'ab'[row // 30]}" for row in range(60)
        ]
        Path("all.csv").write_text("\n".join(["text,label,domain", *lines]))
        data = ("dataset=text", "dataset.root=all.csv", "dataset.length=6", "feature_cache=null")
    else:
        for name in ("a", "b"):
            x = draws.integers(0, 256, (20, 3, 16, 16), np.uint8)
            np.savez(f"{name}.npz", x=x, y=np.arange(20) % 2)
        data = ("dataset=arrays", "dataset.root=.", "network.size=32", "dataset.val=0.2")
    keys = (*data, "dataset.source=[a]", "method=control", "steps=1")
    assert da.train(*keys, *f"network={network}".split()).code == 0
    ended = da("export", "run=run")
    assert (ended.code, ended.err) == (0, ""), ended
    assert max(written()["differences"].values()) < 1e-4
