"""Class shares of a target as a command shows them."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from da_framework.core.rounding import format_percent
from da_framework.core.terminal import open_console
from da_framework.core.text import printable

SHOWN = 10
"""Classes that are printed, those whose share has changed most."""


def print_shares(title: str, done: dict[str, Any], classes: Sequence[str]) -> None:
    """Prints how probabilities were changed, and the class shares of the target.

    Args:
        title: what they are of.
        done: as ``Recalibration.record`` has it.
        classes: names.
    """
    console = open_console()
    words = [
        f"calibrated by {done['calibration']}" if done["calibration"] else "not calibrated",
        f"corrected for label shift by {done['label_shift_correction']}"
        if done["label_shift_correction"]
        else "not corrected for label shift",
        f"{done['held_out_source_samples']} held-out source samples",
    ]
    console.print(printable(f"{title}: {'; '.join(words)}"), soft_wrap=True)
    if "target_shares" not in done:
        return
    source, target = done["source_shares"], done["target_shares"]
    order = sorted(range(len(classes)), key=lambda label: -abs(target[label] - source[label]))
    most = f"the {SHOWN} most changed class shares" if len(order) > SHOWN else "class shares"
    table = Table(title=most)
    for head in ("class", "source", "target, estimated"):
        table.add_column(head, justify="left" if head == "class" else "right")
    for label in order[:SHOWN]:
        shares = (format_percent(side[label]) for side in (source, target))
        table.add_row(printable(classes[label]), *shares)
    console.print(table)
