"""``da export``: a finished run for other programs, checked against what it was."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from da_framework.config.plugins import require_package
from da_framework.config.schema import check_config, to_plain
from da_framework.core.errors import InputError, one_line
from da_framework.core.files import atomic_write, write_text
from da_framework.datasets.columns import complete, scale
from da_framework.datasets.inference import RUN_KEYS, UNPREPARED
from da_framework.methods.base import Method
from da_framework.networks.series import mark_end
from da_framework.training.prediction import as_target_samples
from da_framework.training.restore import TrainedModel, restore_model

log = logging.getLogger(__name__)

CLOSE = 1e-4
"""The largest difference between probabilities that is taken for rounding."""
BATCHES = (1, 5, 16)
"""Numbers of rows that an exported model is tried with."""

Format = Literal["pt2", "onnx"]


class ExportedModel(nn.Module):
    """Rows as they are stored to probabilities of classes, with the steps between.

    Of tables, whose categories and dates are numbers already: missing ones (NaN) are filled.

    Args:
        method: with its weights.
        inputs: what the run knows of a row.
    """

    fill: Tensor | None
    indicators: Tensor | None
    mean: Tensor | None
    std: Tensor | None

    def __init__(self, method: Method, inputs: Mapping[str, Any]) -> None:
        super().__init__()
        self.method = method
        self.widest = inputs["widest"][0] if inputs["widths"] else None
        fitted = inputs.get("preparation", {})
        buffers = {name: inputs.get(name) for name in ("mean", "std")}
        buffers |= {name: fitted.get(name) or None for name in ("fill", "indicators")}
        for name, values in buffers.items():
            kind = torch.int64 if name == "indicators" else torch.float64
            if values is not None:
                self.register_buffer(name, torch.tensor(values, dtype=kind))
            else:  # a buffer of None is no input of the graph, and torch 2.6 counts it as one
                setattr(self, name, None)

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities, a row of x a row."""
        if self.fill is not None:
            missing = x.isnan()
            x = torch.where(missing, self.fill, x.double())
            if self.indicators is not None:
                x = torch.cat([x, missing[:, self.indicators].double()], dim=1)
            x = x if self.mean is not None else x.float()
        if self.mean is not None and self.std is not None:
            x = ((x.double() - self.mean) / self.std).float()
        if x.dtype == torch.uint8:
            x = x.float() / 127.5 - 1
        if self.widest is not None:
            x = nn.functional.pad(x, (0, self.widest - x.shape[1]))
        logits: Tensor = self.method(x)[1]
        return logits.softmax(1).float()


def export(
    *,
    run: str,
    pick: Literal["last", "chosen"],
    out: str | None,
    formats: Annotated[list[Format], Field(min_length=1)],
    trust: Sequence[Any] = (),
) -> dict[str, Any]:
    """Writes ``model.pt2``, ``model.onnx``, and what they are into ``model.json``.

    Args:
        run: folder of a finished run.
        pick: which of its weights.
        out: folder to write to; ``None``: the run's own.
        formats: which of the files.
        trust: what the record may name beside what installed configs name: see ``find_run``.

    Returns:
        What ``model.json`` holds.

    Raises:
        InputError: there is no such run; a package is missing; or the model cannot be exported,
            or comes to something else than the run's own.
    """
    if "onnx" in formats:
        for package in ("onnx", "onnxscript", "onnxruntime"):
            try:
                require_package("formats=[onnx]", package, "onnx")
            except InputError as error:
                raise InputError(f"{error}, or formats=[pt2]") from None
    model = restore_model(run, pick=pick, trust=trust)
    network = ExportedModel(model.method, model.inputs).eval()
    folder = Path(out or run)
    folder.mkdir(parents=True, exist_ok=True)
    tried = [made_up_inputs(model, count) for count in BATCHES]
    with silence_exporters(), explain_export_errors(run):
        program = torch.export.export(
            network,
            (tried[-1],),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            strict=False,  # the default since torch 2.7
        )
    differences = {}
    for name in formats:
        file = folder / f"model.{name}"
        with atomic_write(file) as partial:
            with silence_exporters(), explain_export_errors(run):
                passed = WRITERS[name](program, partial)
                gap = max(probability_gap(passed(x), x, model) for x in tried)
            if not gap <= CLOSE:
                raise InputError(
                    f"{file} is not written: its probabilities differ from the run's own by "
                    f"{gap:.1e}, more than {CLOSE:.0e}"
                )
        differences[file.name] = gap
    record = describe_model(model, pick) | {"differences": differences}
    write_text(folder / "model.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    return record


def made_up_inputs(model: TrainedModel, count: int) -> Tensor:
    """Made-up rows of the kind and scale that the run takes."""
    inputs, draws = model.inputs, torch.Generator().manual_seed(0)
    shape = (count, *inputs["shape"])
    if inputs["dtype"] == "uint8":
        return torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8)
    if inputs["tokens"] is not None:
        backbone: Any = model.method.network.encoder.backbone
        vocabulary = backbone.model.config.vocab_size
        return torch.randint(1, vocabulary, shape, generator=draws, dtype=torch.int32)
    x = torch.randn(shape, generator=draws)
    if "mean" in inputs:
        x = x * torch.tensor(inputs["std"]) + torch.tensor(inputs["mean"])
    fitted = inputs.get("preparation", UNPREPARED)
    x = x[:, : x.shape[1] - len(fitted["indicators"])]
    if inputs.get("padded"):
        x = mark_end(x, torch.randint(1, shape[2] + 1, (count,), generator=draws))
    if fitted["fill"]:
        x[torch.rand(x.shape, generator=draws) < 0.1] = torch.nan
    return x


def probability_gap(passed: Tensor, x: Tensor, model: TrainedModel) -> float:
    """How far probabilities are from those of the run's own path, at most."""
    if model.inputs["dtype"] == "float32":
        rows = complete(x.double().numpy(), model.inputs.get("preparation", UNPREPARED))
        x = torch.as_tensor(scale(rows, model.inputs)).float()
    expected = model.method.evaluate_samples(as_target_samples(x, model)).logits.softmax(1)
    return (passed.cpu() - expected).abs().max().item()


def write_program(program: Any, file: Path) -> Callable[[Tensor], Tensor]:
    """Writes torch's own format; returns what was read back."""
    with file.open("wb") as stream:
        torch.export.save(program, stream)
    with file.open("rb") as stream:
        loaded: Callable[[Tensor], Tensor] = torch.export.load(stream).module()
    return loaded


def write_onnx(program: Any, file: Path) -> Callable[[Tensor], Tensor]:
    """Writes ONNX, weights and all in one file; returns what was read back."""
    import onnxruntime

    program_onnx: Any = torch.onnx.export(
        program,
        input_names=["x"],
        output_names=["probabilities"],
        dynamo=True,
        verbose=False,
    )
    program_onnx.save(file, external_data=False)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda x: torch.as_tensor(session.run(None, {"x": x.numpy()})[0])


WRITERS: dict[str, Callable[[Any, Path], Callable[[Tensor], Tensor]]] = {
    "pt2": write_program,
    "onnx": write_onnx,
}


@contextmanager
def explain_export_errors(run: str) -> Iterator[None]:
    """Says in a line what of a model cannot be written for other programs."""
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:  # the exporters have no type of their own in common
        reason = one_line(error, most=300)
        raise InputError(
            f"run={run} cannot be exported ({type(error).__name__}: {reason}); da predict needs no "
            "export"
        ) from None


@contextmanager
def silence_exporters() -> Iterator[None]:
    """Without the exporters' talk, which is of their own insides."""
    loggers = [
        logging.getLogger(name) for name in ("torch.export", "torch.onnx", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def describe_model(model: TrainedModel, pick: str) -> dict[str, Any]:
    """What whoever uses the files must know."""
    record, inputs = model.run.record, model.inputs
    dataset = record["config"]["dataset"]
    inside = {
        "uint8": "bytes as stored, channels first; scaled and normalised inside",
        "int32": f"numbers of words by the tokenizer {inputs['tokens']}",
    }.get(inputs["dtype"], "as stored")
    if "mean" in inputs:
        inside += "; brought to mean 0 and deviation 1 inside"
    if inputs.get("padded"):
        inside += "; NaN in all channels behind the end of a series"
    fitted = inputs.get("preparation", UNPREPARED)
    if fitted["fill"]:
        inside += "; NaN where a number is missing, which is filled inside"
    if fitted["categories"] or fitted["dates"]:
        inside += "; categories and dates as the numbers that columns and preparation say"
    return {
        "classes": model.classes,
        "input": {
            "name": "x",
            "shape": ["rows", *inputs["shape"]],
            "dtype": inputs["dtype"],
            "columns": inputs.get("features", inputs.get("columns")),
            "preparation": fitted,
            "meaning": inside,
            "read": {key: dataset[key] for key in RUN_KEYS if key in dataset},
        },
        "output": {"name": "probabilities", "shape": ["rows", len(model.classes)]},
        "command": record["command"],
        "pick": pick,
        "accuracy": {
            name: own["accuracy"] for name, own in record["target"].items() if "accuracy" in own
        },
        "versions": record["environment"]["versions"],
    }


def main(config: Any) -> None:
    """Exports and says how near it is."""
    config = to_plain(config)
    config = check_config(config, export)
    record = export(**config)
    folder = Path(config["out"] or config["run"])
    for name, value in record["differences"].items():
        print(f"{folder / name}: probabilities within {value:.1e} of the run's own")
    print(f"{folder / 'model.json'}: classes, inputs, and where the model comes from")
