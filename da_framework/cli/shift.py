"""``da shift``: whether source and target differ, and how, before anything is trained."""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field
from rich.table import Table
from torch import Tensor

from da_framework.config.schema import check_config, instantiate, to_plain
from da_framework.core.batch import Outputs, Samples, as_input
from da_framework.core.errors import InputError, MissingRoleError, listed
from da_framework.core.files import write_text
from da_framework.core.quoting import override
from da_framework.core.rounding import format_fixed, format_p, format_percent
from da_framework.core.terminal import open_console
from da_framework.core.text import printable
from da_framework.core.types import ConfigNode, Count
from da_framework.datasets.datamodule import Domains
from da_framework.metrics.shift import FEWEST, DomainTests, Shift, examine_shift
from da_framework.networks.network import Network, rows_per_pass

MOST_COLUMNS = 20_000
"""Of features that are tested."""
SHOWN = 10
"""Classes that are printed; the file has all."""


def find_shift(
    *,
    dataset: ConfigNode,
    network: ConfigNode,
    data_dir: str | None,
    rows: Annotated[int, Field(ge=FEWEST)],
    level: Annotated[float, Field(gt=0, lt=1)],
    permutations: Count,
    draws: Count,
    seed: int,
    out: str | None,
) -> dict[str, Any]:
    """Tests source against target, estimates the target's class shares, and tests what remains.

    No label of the target has any effect.

    Args:
        dataset: config of the data set.
        network: config of what makes the features.
        data_dir: where data is.
        rows: samples of each side, at most.
        level: share of equal domains that are called different.
        permutations: of the test by MMD.
        draws: of the intervals of class shares.
        seed: of what is drawn.
        out: a file to write what is returned to, as JSON.

    Returns:
        The figures of both tests, of the class shares and of what remains.

    Raises:
        InputError: there are too few samples or too few permutations, or samples are no features.
    """
    if level * (permutations + 1) < 2:
        raise InputError(
            f"level={level} cannot be reached with permutations={permutations}: "
            f"permutations={round(2 / level)}"
        )
    data = instantiate(dataset)
    try:
        domains = Domains(data, ["source", "target"], seed=seed)
    except MissingRoleError as error:
        last = data.target or data.names[-1:]
        first = [name for name in data.names if name not in last][:1]
        sides = [override("dataset.source", first), override("dataset.target", last)]
        raise InputError(
            f"a shift is of a source and a target, and there is no {error.role}: {' '.join(sides)}"
        ) from None
    source, target = draw_samples(domains, rows, seed)
    check_samples(domains, source, target)
    model = build_network(network, domains, seed)
    x, t = (make_features(model, samples) for samples in (source, target))
    if x.shape[1] > MOST_COLUMNS:
        raise InputError(
            f"a sample has {x.shape[1]} numbers, at most {MOST_COLUMNS} are tested: "
            "network=timm network.pretrained=true network.bottleneck=[] makes features of images, "
            "dataset.size=32 smaller ones"
        )
    half = len(x) // 2
    classifier = fit_classifier(x[:half], source.y[:half], len(domains.task.classes))
    held, seen = (
        Outputs(*samples, features, classifier(features))
        for samples, features in ((source.at(slice(half, None)), x[half:]), (target, t))
    )
    shift = examine_shift(held, seen, permutations=permutations, draws=draws, seed=seed)
    found = {
        "source": list(domains.dataset.source),
        "target": list(domains.dataset.target),
        "columns": x.shape[1],
        "level": level,
        "classes": list(domains.task.classes),
        "classifier_accuracy": (held.logits.argmax(1) == held.y).double().mean().item(),
        **as_figures(shift, level),
    }
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_text(Path(out), json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return found


def draw_samples(domains: Domains, rows: int, seed: int) -> tuple[Samples, Samples]:
    """Samples of either side: of the source twice as many, of which half fit a classifier."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for role, number in (("source", 2 * rows), ("target", rows)):
        samples = domains.train[role]
        order = torch.randperm(len(samples.y), generator=generator)[:number]
        drawn.append(samples.at(order))
    return drawn[0], drawn[1]


def check_samples(domains: Domains, source: Samples, target: Samples) -> None:
    """Refuses what cannot be tested.

    Raises:
        InputError: with what to do.
    """
    if domains.task.widths:
        raise InputError(
            f"the domains have columns of their own ({domains.task.columns}), which cannot be "
            "compared: dataset.columns=shared"
        )
    if len(source.y) < 2 * FEWEST or len(target.y) < FEWEST:
        raise InputError(
            f"a test needs {2 * FEWEST} source and {FEWEST} target samples, but there are "
            f"{len(source.y)} and {len(target.y)}"
        )


def build_network(node: Any, domains: Domains, seed: int) -> Network:
    """What makes the features, drawn from the seed where it has no weights of its own."""
    task = domains.task
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: Network = instantiate(node)(task.shape, len(task.classes), task.widths)
    return network.eval()


def make_features(network: Network, samples: Samples) -> Float[Tensor, "rows d"]:
    """Features of samples, flat; a network without a backbone leaves inputs as they are.

    Raises:
        InputError: words are no features, or some are not finite.
    """
    size = rows_per_pass(network, samples.x.shape, 512)
    if samples.x.dtype == torch.int32 and not any(True for _ in network.encoder.parameters()):
        raise InputError("numbers of words are no features: network=text makes some of them")
    chunks = [samples.at(slice(i, i + size)) for i in range(0, len(samples.y), size)]
    with torch.no_grad():
        passes = [network.encoder(as_input(c.x), c.domain).flatten(1) for c in chunks]
    features = torch.cat(passes)
    if not features.isfinite().all():
        raise InputError("the features of some samples are not finite: da data check")
    return features.float()


def fit_classifier(x: Float[Tensor, "n d"], y: Tensor, k: int) -> Any:
    """Logits of a logistic regression that is fitted to source samples; of k classes.

    A class that it has not seen is never predicted.
    """
    from sklearn.linear_model import LogisticRegression

    centre, scale = x.mean(0), x.std().clamp_min(1e-12)
    present = torch.unique(y)

    def standardised(features: Tensor) -> Any:
        return ((features - centre) / scale).double().numpy()

    model = LogisticRegression(max_iter=200, C=0.1)
    if len(present) > 1:
        model.fit(standardised(x), y.numpy())

    def classify(features: Float[Tensor, "rows d"]) -> Float[Tensor, "rows k"]:
        logits = torch.full((len(features), k), -30.0, dtype=torch.float64)
        if len(present) == 1:
            logits[:, present] = 0.0
            return logits
        # proportional to the odds, with two classes as with more
        logits[:, present] = torch.as_tensor(model.predict_log_proba(standardised(features)))
        return logits.clamp_min(-30.0)

    return classify


def as_figures(shift: Shift, level: float) -> dict[str, Any]:
    """What was found, for the file."""

    def tests(those: DomainTests) -> dict[str, Any]:
        return {
            "rows": list(those.rows),
            "told_apart": those.classifier.statistic,
            "classifier_p": those.classifier.p,
            "squared_mmd": those.mmd.statistic,
            "mmd_p": those.mmd.p,
            "differ": those.differ(level),
        }

    interval = zip(shift.shares.low.tolist(), shift.shares.high.tolist(), strict=True)
    return {
        "tests": tests(shift.tests),
        "source_shares": shift.source_shares.tolist(),
        "mlls": shift.shares.shares.tolist(),
        "mlls_interval": list(map(list, interval)),
        "bbse": shift.bbse.tolist(),
        "remaining": None if shift.remaining is None else tests(shift.remaining),
    }


def describe(found: dict[str, Any], *, level: bool = True) -> str:
    """What follows, in a sentence.

    Args:
        found: the figures.
        level: whether that of the tests is said, where nothing is seen.
    """
    remaining = found["remaining"]
    if not found["tests"]["differ"]:
        return "no shift is seen" + (f" at the level {found['level']}" if level else "")
    if remaining is None:
        return "a shift is seen; the source has too few samples of some classes to say what remains"
    if remaining["differ"]:
        return (
            "a shift is seen, and remains where the source is drawn in the estimated class shares: "
            "it is not of class shares alone, and these estimates are then not to be relied on"
        )
    return "a shift is seen, and none where the source is drawn in the estimated class shares"


def main(config: Any) -> None:
    """Tests and prints."""
    config = to_plain(config)
    config = check_config(config, find_shift)
    found = find_shift(**config)
    console = open_console()
    console.print(tests_table(found))
    console.print(shares_table(found))
    console.print(describe(found), soft_wrap=True)


def tests_table(found: dict[str, Any]) -> Table:
    """Both tests, of all samples and of what class shares do not explain."""
    sides = " → ".join(listed(found[side]) for side in ("source", "target"))
    table = Table(title=printable(f"{sides}: {found['columns']} numbers a sample"))
    for title in ("source drawn", "samples", "told apart", "p", "squared MMD", "p"):
        table.add_column(title, justify="left" if title == "source drawn" else "right")
    for key, title in (("tests", "as it is"), ("remaining", "in target's shares")):
        if (tests := found[key]) is None:
            continue
        table.add_row(
            *(title, " + ".join(map(str, tests["rows"]))),
            *(format_percent(tests["told_apart"]), format_p(tests["classifier_p"])),
            *(format_fixed(tests["squared_mmd"], 4), format_p(tests["mmd_p"])),
        )
    return table


def shares_table(found: dict[str, Any]) -> Table:
    """Class shares of the source, and estimated of the target; the most changed first."""
    source, mlls = found["source_shares"], found["mlls"]
    order = sorted(range(len(source)), key=lambda label: -abs(mlls[label] - source[label]))
    title = f"the {SHOWN} most changed class shares" if len(order) > SHOWN else "class shares"
    accuracy = format_percent(found["classifier_accuracy"])
    table = Table(title=f"{title}, by a classifier with {accuracy} on the source")
    for title in ("class", "source", "target (MLLS)", "95 % interval", "target (BBSE)"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for label in order[:SHOWN]:
        low, high = map(format_percent, found["mlls_interval"][label])
        table.add_row(
            *(printable(found["classes"][label]), format_percent(source[label])),
            *(format_percent(mlls[label]), f"{low} to {high}"),
            format_percent(found["bbse"][label]),
        )
    return table
