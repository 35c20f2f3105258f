"""``da stream``: a finished run's model meets a target that passes once, and learns from it."""

import csv
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from rich.table import Table
from torch import Tensor, nn

from da_framework.cli.evaluate import count_trained_on
from da_framework.config.run_names import slug
from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.config.source_code import import_closure
from da_framework.core.batch import UNLABELLED, as_input
from da_framework.core.damage import explain_damage
from da_framework.core.errors import InputError
from da_framework.core.files import atomic_write, file_sha256, run_lock
from da_framework.core.rounding import format_percent, format_signed
from da_framework.core.seeding import mix
from da_framework.core.terminal import open_console
from da_framework.core.text import csv_row, printable
from da_framework.core.types import ConfigNode, Count, External, Index, Irrelevant, NonNegative
from da_framework.datasets.arrival import SEVERITIES, Arrival, Order, arrange
from da_framework.datasets.corruptions import (
    CORRUPTIONS,
    check_corruptions,
    corrupt_images,
    find_range,
)
from da_framework.datasets.datamodule import Domains
from da_framework.datasets.splits import sample_places
from da_framework.methods.base import Method
from da_framework.results.figure_process import draw_or_warn
from da_framework.results.folder import RunFolder
from da_framework.results.record import environment
from da_framework.results.stream_figure import draw_stream
from da_framework.results.stream_record import (
    RESULT,
    SourceFigures,
    StreamRecord,
    read_stream,
    stages_of,
    write_stream,
)
from da_framework.stream_methods.base import StreamMethod
from da_framework.training.build import Run
from da_framework.training.memory import (
    describe_device,
    gpu_memory,
    peak_memory,
    reset_peak_memory,
)
from da_framework.training.restore import RECORD, FinishedRun, find_run, load_weights, rebuild
from da_framework.training.stream_guard import Guard, Limits
from da_framework.training.streaming import (
    Keeper,
    Passed,
    Reset,
    accuracy_over_time,
    pass_stream,
    predict_batches,
)
from da_framework.training.warm_start import former_samples

log = logging.getLogger(__name__)

ALL = "all"
"""In the place of the corruptions' names: all of them."""
POINTS = 50
"""Of accuracy over time."""
SOURCE_SAMPLES = 2000
"""Inputs of the source that a method is given which needs some."""
NOT_NAMED = ("run", "pick", "out", "again", "checkpoint_every", "data_dir", "trust")
"""Keys that change nothing that the run's weights and data do not tell."""


def stream(
    *,
    run: str,
    pick: Literal["last", "chosen"],
    stream_method: ConfigNode,
    batch_size: Count,
    order: Order,
    strength: NonNegative,
    corruption: list[str] | str,
    severity: Annotated[int, Field(ge=1, le=SEVERITIES)],
    samples: Count | None,
    reset: Reset,
    guard: bool,
    collapse: Limits,
    seed: Index,
    out: Annotated[str | None, Irrelevant(), External(off=None)],
    checkpoint_every: Annotated[Count, Irrelevant()],
    again: Annotated[bool, Irrelevant()],
    data_dir: str | None,
    dataset: dict[str, Any],
    trust: Sequence[Any] = (),
) -> tuple[StreamRecord, Path]:
    """Passes the target through a run's model once.

    Args:
        run: folder of a finished run.
        pick: which of its weights.
        stream_method: config of what predicts and learns.
        batch_size: samples that arrive together, at most.
        order: how they arrive.
        strength: of the Dirichlet distribution of ``order=class``.
        corruption: of the images, by name.
        severity: of it.
        samples: how many arrive at most; ``None``: all.
        reset: when the method forgets.
        guard: whether to notice collapse.
        collapse: what is taken for it.
        seed: of what is drawn.
        out: folder for the results.
        checkpoint_every: batches between two checkpoints.
        again: whether to compute anew what is there.
        data_dir: where the data is now; ``None``: where every command looks for data.
        dataset: keys of the data set to change.
        trust: what the record may name beside what installed configs name: see ``find_run``.

    Returns:
        The record, and the folder that holds it.

    Raises:
        InputError: there is no such run, its record names code of unknown origin, or the method,
            the order or the corruption needs what is not there.
    """
    keys = dict(locals())
    names = list(CORRUPTIONS) if corruption == ALL else corruption
    names = [names] if isinstance(names, str) else list(names)
    dataset = {key: value for key, value in dataset.items() if (key, value) != ("root", None)}
    keys |= {"dataset": dataset, "corruption": names}
    finished = find_run(run, pick=pick, data_dir=data_dir, dataset=dataset, trust=trust)
    check_config({"dataset": finished.config["dataset"]}, lambda dataset: None)
    built = rebuild(finished, dataset)
    domains = built.domains
    check_corruptions(names)
    if domains.task.widths and len(domains.dataset.target) > 1:
        raise InputError(
            "the targets have columns of their own, and a stream does not say which domain a "
            f"sample is of: +dataset.target=[{domains.dataset.target[0]}]"
        )
    arrival = arrange(
        *(domains.test.domain.numpy(), domains.oracle.numpy()),
        order=order,
        strength=float(strength),
        corruptions=len(names),
        severity=severity,
        seed=seed,
        samples=samples,
    )
    data = {name: domains.dataset.fingerprint(name) for name in domains.dataset.domains}
    key = stream_key(finished, keys, data)
    title = [Path(run).name, method_name(stream_method), order]
    folder = Path(out) if out else Path("streams") / slug(title, hashed=[key])
    if RunFolder(folder).key_file.exists() or RunFolder(folder).result.exists():
        raise InputError(f"out={folder} is the folder of a run: name another folder")
    with run_lock(folder, key="out"):
        if not again and (record := read_stream(folder)) is not None:
            if record["key"] == key:
                log.info("%s is there already: again=true computes it anew", folder / RESULT)
                return record, folder
            raise InputError(
                f"out={folder}: there is the result of another stream ({record['method']}, "
                f"order={record['order']}): name another folder"
            )
        warn_of_training_samples(finished, built)
        load_weights(built.module, finished.weights)
        keeper = Keeper(folder / "stream.ckpt", key, checkpoint_every)
        record = run_stream(finished, built, arrival, keys, names, keeper)
        write_stream(folder, record)
        keeper.file.unlink(missing_ok=True)
    return record, folder


def run_stream(
    finished: FinishedRun,
    built: Run,
    arrival: Arrival,
    keys: Mapping[str, Any],
    names: Sequence[str],
    keeper: Keeper,
) -> StreamRecord:
    """Passes the target, writes predictions and figure, and gives the record.

    Args:
        finished: the run.
        built: its data and its method, with weights.
        arrival: the order.
        keys: of the command.
        names: of the corruptions.
        keeper: what the stream goes on from.
    """
    domains, model = built.domains, deployed(built.module.method)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = describe_device(device)
    size, seed = int(keys["batch_size"]), int(keys["seed"])
    model.to(device).eval()
    held_out = held_out_source(domains, seed)
    before = (
        None
        if held_out is None
        else source_accuracy(lambda x: source_predictions(model, x), held_out, size, seed, device)
    )
    guard = Guard(model, keys["collapse"]) if keys["guard"] else None
    method = make_stream_method(keys["stream_method"], model, domains, seed).to(device)
    reset_peak_memory()
    held = memory_now(device)
    passed = pass_stream(
        method,
        reader(domains, arrival, names, seed, device),
        arrival,
        batch_size=size,
        seed=seed,
        reset=keys["reset"],
        guard=guard,
        keeper=keeper,
    )
    memory = max(0.0, memory_now(device) - held)
    source: SourceFigures | None = None
    if held_out is not None and before is not None:
        after = source_accuracy(method.predict, held_out, size, seed, device)
        source = {
            "samples": len(held_out[1]),
            "before": before,
            "after": after,
            "forgetting": before - after,
        }
    labels = domains.oracle[torch.as_tensor(arrival.rows)].tolist()
    correct = {
        place: label == predicted
        for place, (label, predicted) in enumerate(zip(labels, passed.predicted, strict=True))
        if label != UNLABELLED
    }
    count = len(arrival.rows)
    tail = [hit for place, hit in correct.items() if place >= count - max(1, count // 10)]
    curve = accuracy_over_time(correct, count, points=POINTS)
    folder = keeper.file.parent
    write_predictions(folder, built, arrival, names, passed)
    name = method_name(keys["stream_method"])
    if correct:
        draw_or_warn(
            *(draw_stream, folder / "stream.png", [p for p in curve if p["accuracy"] is not None]),
            *([note["sample"] for note in passed.resets],),
            title=f"{name}: {format_percent(sum(correct.values()) / len(correct))}",
        )
    named = {key: value for key, value in keys.items() if key not in NOT_NAMED}
    return {
        "key": keeper.key,
        "run": str(keys["run"]),
        "pick": keys["pick"],
        "method": name,
        "config": json.loads(json.dumps(named, default=str)),
        "domains": list(domains.dataset.target),
        "classes": class_names(built.module.method),
        "order": keys["order"],
        "corruption": list(names),
        "severity": int(keys["severity"]) if names else 0,
        "batch_size": size,
        "seed": seed,
        "samples": count,
        "labelled": len(correct),
        "accuracy": sum(correct.values()) / len(correct) if correct else None,
        "end": sum(tail) / len(tail) if tail else None,
        "curve": curve,  # type: ignore[typeddict-item]
        "stages": stages_of(name_stages(arrival, domains, names), arrival.stage.tolist(), correct),
        "source": source,
        "mean_entropy": max(0.0, sum(passed.entropy) / count),
        "resets": passed.resets,
        "guarded": bool(keys["guard"]),
        "seconds": passed.seconds,
        "seconds_per_sample": passed.seconds / count,
        "memory_mib": memory,
        "memory_per_sample_mib": memory / min(size, count),
        "environment": {**environment(), **facts},  # type: ignore[typeddict-item]
        "data": {name: domains.dataset.fingerprint(name) for name in domains.dataset.domains},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def stream_key(finished: FinishedRun, keys: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """What recognises a finished stream: weights, keys that can change a number, code and data."""
    module = str(keys["stream_method"]["_target_"]).rpartition(".")[0]
    digest = hashlib.sha256()
    for name, path in sorted(import_closure({__name__, module}).items()):
        digest.update(f"{name}\n".encode())
        digest.update(path.read_bytes())
    relevant = {key: value for key, value in keys.items() if key not in NOT_NAMED}
    weights = file_sha256(finished.weights)
    text = json.dumps(
        [relevant, finished.record.get("key"), weights, dict(data), digest.hexdigest()],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def method_name(node: Mapping[str, Any]) -> str:
    """The name of a stream method: its module's."""
    return str(node["_target_"]).split(".")[-2]


def class_names(model: Method) -> list[str]:
    """Names of what can be predicted."""
    return [*model.task.classes, *(["unknown"] if model.setting == "open" else [])]


class Deployed(nn.Module):
    """The network that predicts, alone, where a method has it beside the one that it trains.

    Args:
        method: a run's.
    """

    forward = Method.forward

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.network, self.task, self.setting = method.predictor, method.task, method.setting


def deployed(method: Method) -> nn.Module:
    """What a stream method is given of a run's: all of it, or the network that predicts."""
    other = type(method).predictor is not Method.predictor
    return Deployed(method) if other else method


def make_stream_method(node: Any, model: Any, domains: Domains, seed: int) -> StreamMethod:
    """The stream method of a config, around a model, with what it needs of the source.

    Raises:
        InputError: the model, or the data, does not have what it needs.
    """
    make = instantiate(node)
    kind = getattr(make, "func", None)  # none where it is no partial
    if not (isinstance(kind, type) and issubclass(kind, StreamMethod)):
        raise InputError(
            f"stream_method: {node['_target_']} is no stream method; it derives from StreamMethod, "
            "and its config has _partial_: true"
        )
    if kind.needs_linear_head:
        linear = len(model.network.head) == 1 and isinstance(model.network.head[0], torch.nn.Linear)
        if not linear or type(model).forward is not Method.forward:
            raise InputError(
                f"stream_method={method_name(node)} works on a linear head of the network's own, "
                "and the run's method predicts otherwise, or network.head has hidden layers"
            )
    method: StreamMethod = make(model)
    if method.needs_source:
        pool = domains.train.get("source") or domains.validation.get("source")
        if pool is None:
            raise InputError(
                f"stream_method={method_name(node)} looks at inputs of the source before the "
                "stream, and there are none: +dataset.source=[mnist]"
            )
        rows = torch.randperm(
            len(pool.y), generator=torch.Generator().manual_seed(mix(seed, "source"))
        )[:SOURCE_SAMPLES]
        device = next(model.parameters()).device
        method.to(device).prepare(pool.x[rows].to(device))
    return method


def reader(
    domains: Domains, arrival: Arrival, names: Sequence[str], seed: int, device: torch.device
) -> Callable[[slice], Tensor]:
    """What gives the inputs of a batch, corrupted as the stream says.

    Raises:
        InputError: there is a corruption, and the inputs are no images.
    """
    black, white = pixel_range(domains) if names else (0, 255)

    def read(batch: slice) -> Tensor:
        rows = arrival.rows[batch]
        x = domains.test.x[torch.as_tensor(rows)]
        if names:
            changed = corrupt_images(
                x.numpy(),
                [names[number] for number in arrival.corruption[batch]],
                arrival.severity[batch].tolist(),
                [mix(seed, "corruption", row) for row in rows.tolist()],
                black=black,
                white=white,
            )
            x = torch.as_tensor(changed)
        return x.to(device)

    return read


def pixel_range(domains: Domains) -> tuple[float | int, float | int]:
    """Black and white of the target's images."""
    x = domains.test.x
    name = str(x.dtype).removeprefix("torch.")
    if name == "uint8":
        return find_range(x.shape[1:], name, 0, 255)
    return find_range(x.shape[1:], name, float(x[:].min()), float(x[:].max()))


@torch.no_grad()
def source_predictions(model: nn.Module, x: Tensor) -> Tensor:
    """Probabilities of the source model."""
    probabilities: Tensor = model(as_input(x))[1].softmax(1)
    return probabilities


def held_out_source(domains: Domains, seed: int) -> tuple[Tensor, Tensor] | None:
    """Inputs and labels of the held-out source, in an order of chance; none where there is none."""
    held = domains.validation.get("source")
    if held is None or not len(held.y):
        return None
    order = torch.randperm(
        len(held.y), generator=torch.Generator().manual_seed(mix(seed, "held out"))
    )
    return held.x[order], held.y[order]


def source_accuracy(
    predict: Callable[[Tensor], Tensor],
    held_out: tuple[Tensor, Tensor],
    size: int,
    seed: int,
    device: torch.device,
) -> float:
    """Accuracy on the held-out source."""
    x, y = held_out
    labels = predict_batches(lambda b: predict(b.to(device)), x, batch_size=size, seed=seed)
    return (labels == y.cpu()).double().mean().item()


def memory_now(device: torch.device) -> float:
    """The most memory that was held since it was last reset, in MiB: a GPU's, or the process's."""
    return gpu_memory(device).get("peak_gpu_memory_mib", peak_memory())


def warn_of_training_samples(finished: FinishedRun, built: Run) -> None:
    """Says where samples of the stream were trained on, or are not what the run knew."""
    with explain_damage(finished.result, RECORD):
        trained = instantiate(finished.config["dataset"])
    trained.continue_from(former_samples(finished.record))
    data = built.domains.dataset
    if count := count_trained_on(trained, data):
        log.warning("warning: %d of these rows were trained on: the accuracy is flattered", count)


def name_stages(
    arrival: Arrival, domains: Domains, names: Sequence[str]
) -> dict[int, tuple[str, str | None]]:
    """Domain and corruption of each stage; several domains that arrive mixed have one name."""
    stages = {}
    for stage in np.unique(arrival.stage).tolist():
        there = arrival.stage == stage
        mixed = [domains.task.domains[n] for n in np.unique(arrival.domain[there]).tolist()]
        corruption = int(arrival.corruption[there][0])
        stages[stage] = (", ".join(mixed), names[corruption] if names else None)
    return stages


def write_predictions(
    folder: Path, built: Run, arrival: Arrival, names: Sequence[str], passed: Passed
) -> None:
    """Writes each sample's prediction as a row of a CSV file, in the order of arrival."""
    dataset, classes = built.domains.dataset, class_names(built.module.method)
    places = sample_places(dataset.split_roles().test)
    with (
        atomic_write(folder / "predictions.csv") as partial,
        partial.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        head = ["sample", "domain", "corruption", "severity", "class", "probability", "entropy"]
        writer.writerow(head)
        for place, row in enumerate(arrival.rows.tolist()):
            domain, position = places[row]
            corruption = names[arrival.corruption[place]] if names else ""
            figures = (passed.confidence[place], passed.entropy[place])
            writer.writerow(
                csv_row(
                    [
                        *(dataset.sample_name(domain, position), domain),
                        *(corruption, int(arrival.severity[place])),
                        *(classes[passed.predicted[place]], *(f"{f:.6f}" for f in figures)),
                    ]
                )
            )


def main(config: Any) -> float | None:
    """Passes the target and prints; returns the accuracy, if labels are known."""
    config = to_plain(config)
    config = check_config(config, stream)
    record, folder = stream(**config)
    open_console().print(stream_table(record))
    for note in record["resets"][:5]:
        print(f"after {note['sample']} samples: reset ({printable(note['reason'])})")
    if len(record["resets"]) > 5:
        print(f"and {len(record['resets']) - 5} more resets: {RESULT} has all")
    print(folder)
    return record["accuracy"]


def stream_table(record: StreamRecord) -> Table:
    """Figures of a stream."""
    size = f"{record['samples']} samples in batches of {record['batch_size']}"
    table = Table(title=printable(f"{record['run']}: {record['method']}, {size}"))
    table.add_column("of the stream")
    for title in ("samples", "accuracy"):
        table.add_column(title, justify="right")

    def share(value: float | None) -> str:
        return "no labels" if value is None else format_percent(value)

    table.add_row("all of it", str(record["samples"]), share(record["accuracy"]))
    table.add_row("its last tenth", "", share(record["end"]))
    if len(record["stages"]) > 1:
        for stage in record["stages"]:
            name = stage["corruption"] or stage["domain"]
            table.add_row(printable(name), str(stage["samples"]), share(stage["accuracy"]))
    if (source := record["source"]) is not None:
        table.add_row("source before", str(source["samples"]), share(source["before"]))
        lost = format_signed(-100 * source["forgetting"])
        table.add_row("source after", "", f"{share(source['after'])} ({lost})")
    milliseconds = 1000 * record["seconds_per_sample"]
    table.add_row("resets", "", str(len(record["resets"])))
    table.add_row("milliseconds a sample", "", f"{milliseconds:.3g}")
    table.add_row("MiB of memory a sample", "", f"{record['memory_per_sample_mib']:.3g}")
    return table
