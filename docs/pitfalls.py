"""What to look out for with a method, by what it declares of itself and what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

TRAITS = {
    "aligns": "It brings the features of two domains together. Where classes have other shares in "
    "the target, or some are missing there, samples of different classes may be laid on one "
    "another.",
    "compares_sources": "It needs several sources, and these must differ in what the target will "
    "differ in.",
    "generalizes": "No sample of the target is seen, so that it is chosen by held-out source: a "
    "high score there does not say that the target is met.",
    "closed_form": "It is fitted to all samples at once, so that time and memory grow with their "
    "number, and it does not change the features that it is given.",
    "needs_teachers": "What the teachers do wrong is learnt as well.",
    "needs_batch_norm": "It does nothing in a network without batch norm.",
    "perturbs_inputs": "Its inputs must be numbers that can be added to: no token ids.",
}
"""By what is true of a method's class."""
SETTINGS = {
    "partial": "A class of the source that is wrongly held to be absent is hardly predicted again.",
    "open": "Where the source does have all classes, whatever it calls unknown is an error.",
}
LABELS = "With few labels, more steps fit these few samples alone: compare *chosen* with *last*."
BEGINNING = (
    "It cannot mend all that it begins with: a class that the first run never predicts on the "
    "target is hardly found again."
)
VIEWS = "A view (`dataset.strong`) that changes what a sample is teaches errors: a turned 6 is a 9."
UNKNOWN = (
    "Without labels of the target nothing shows whether it does harm: train `source_only` beside "
    "it, and let [`da audit`](../guides/audit.md) ask for a few labels."
)


def pitfalls(flags: Mapping[str, object], gains: Mapping[str, Any]) -> str:
    """A list in Markdown; nothing for what transfers nothing.

    Args:
        flags: what the method's class declares.
        gains: what was recorded of it, by task.
    """
    if flags.get("baseline"):
        return ""
    return "\n".join(["## Pitfalls", "", *(f"- {text}" for text in find_pitfalls(flags, gains))])


def find_pitfalls(flags: Mapping[str, object], gains: Mapping[str, Any]) -> Iterator[str]:
    """Each of them, what was measured first."""
    harm = [
        f"{title} ({gains[task]['gain']:+.1f} ± {gains[task]['half_interval']:.1f} points)"
        for task, title in (("two_moons", "two moons"), ("digits", "MNIST → USPS"))
        if gains.get(task) and gains[task]["gain"] + gains[task]["half_interval"] < 0
    ]
    if harm:
        yield f"It was worse than what does not adapt on {' and '.join(harm)}."
    roles = flags.get("roles", ())
    assert isinstance(roles, tuple)
    yield from (text for trait, text in TRAITS.items() if flags.get(trait))
    yield from (text for setting, text in SETTINGS.items() if flags.get("setting") == setting)
    if "target_labelled" in roles:
        yield LABELS
    if flags.get("needs_init_from") and "target" in roles:
        yield BEGINNING
    if "target_strong" in roles:
        yield VIEWS
    if "target" in roles:
        yield UNKNOWN
