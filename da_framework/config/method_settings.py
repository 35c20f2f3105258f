"""What a method is made for, read from its class without importing it."""

from collections.abc import Iterator

from da_framework.config.definitions import class_constants
from da_framework.config.key_help import find_config, own_target

SETTINGS = {
    "baseline": "transfers nothing: what others must beat",
    "unsupervised": "a labelled source, a target without labels",
    "generalization": "labelled sources, and a target that is never seen",
    "few-labels": "a labelled source, and some labels of the target",
    "source-free": "a trained network, a target without labels, and no source",
    "fine-tuning": "a trained network, and some labels of the target",
    "teachers": "former runs to learn from",
    "partial": "a target that lacks classes of the source",
    "open-set": "a target with classes that the source lacks",
    "shallow": "closed forms, fitted to features that are there",
}
"""What there is at hand, by the name of the setting."""


def method_settings(name: str) -> list[str]:
    """The settings that ``method=NAME`` is made for, of ``SETTINGS``."""
    file = find_config(f"method/{name}")
    return list(_settings(class_constants((file and own_target(file)) or "")))


def _settings(flags: dict[str, object]) -> Iterator[str]:
    roles, optional = flags.get("roles", ()), flags.get("optional", ())
    assert isinstance(roles, tuple)
    assert isinstance(optional, tuple)
    source = "source" in roles
    labels = "target_labelled" in roles
    teachers, begins = flags.get("needs_teachers"), flags.get("needs_init_from")
    if flags.get("baseline"):
        yield "baseline"
    elif teachers:
        yield "teachers"
    elif labels:
        yield "few-labels" if source else "fine-tuning"
    elif source:
        yield "generalization" if flags.get("generalizes") else "unsupervised"
    elif begins:
        yield "source-free"
    if flags.get("setting") in ("partial", "open"):
        yield "partial" if flags["setting"] == "partial" else "open-set"
    if flags.get("closed_form"):
        yield "shallow"
