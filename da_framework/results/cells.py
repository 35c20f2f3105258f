"""Cells: the runs that differ in their seed alone, and what a reader tells cells apart by."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from da_framework.config.relevance import relevant_config
from da_framework.config.run_names import relevant_overrides
from da_framework.core.errors import InputError
from da_framework.results.record import without_keys
from da_framework.results.record_schema import RunRecord

Runs = Mapping[int, RunRecord]
"""The runs of one config, by seed."""
Value = int | float | str
"""Of a config key: a number as it is, all else as text."""

PATHS = ("init_from", "teachers", "network.weights")
"""Keys that name where a run begins: what they name may be made with the same seed."""
NUMBER = re.compile(r"(?<=-)[0-9a-f]{8}(?![0-9A-Za-z])|\d+")
"""In the name of a run: the hash at its end, or a number."""
OF_TASK = ("dataset=", "dataset.", "network=", "network.")
"""How overrides begin that say what is learnt from, and by what network."""
FOLLOWS = "*"
"""Stands in a cell's config for what follows the seed."""


class Cell(NamedTuple):
    """What runs share that differ in their seed alone.

    Attributes:
        task: source and target.
        method: its name.
        rest: all that can change a number, but for the seed and the method.
        config: the same with the method's own keys.
        value: of a key that is kept out of both; ``None`` where there is no such key.
    """

    task: str
    method: str
    rest: str
    config: str
    value: Value | None


class SeedNumber(NamedTuple):
    """A number of a run's config that may follow its seed.

    Attributes:
        key: that it stands in.
        place: the how manieth it is of that key's numbers.
        text: itself.
    """

    key: str
    place: int
    text: str


class Draft(NamedTuple):
    """A run's config with its numbers that may follow the seed taken out.

    Attributes:
        record: of the run.
        config: that can change a number.
        texts: of the keys with such numbers, as they are.
        alike: for the runs of this method that are otherwise alike, and for those of any; empty
            where no number was taken out.
        value: of the key that stands apart.
    """

    record: RunRecord
    config: dict[str, Any]
    texts: Mapping[str, str]
    alike: tuple[str, ...]
    value: Value | None

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.record["config"]["seed"]

    def numbers(self) -> Iterable[SeedNumber]:
        """The numbers that were taken out."""
        for key, text in self.texts.items():
            for place, number in enumerate(NUMBER.findall(text)):
                yield SeedNumber(key, place, number)


Pairs = dict[tuple[str, str, int], set[tuple[int, str]]]
"""The seeds with their numbers, by what is alike, key and place."""


def assign_cells(records: Sequence[RunRecord], *, over: str = "") -> list[Cell]:
    """The cell of each run, by resolved configs.

    A number of a config that varies as the seed does belongs to the seed, and is no difference:
    ``split_seed`` drawn anew for every seed, or a start that is trained with the same seed. A run
    alone cannot tell: where ``split_seed`` is 1 for every seed, that of seed 1 looks as if it
    followed. So it is decided over all runs that are otherwise alike.

    Args:
        records: of the runs.
        over: the key whose value stands apart.
    """
    drafts = [draft_config(record, over) for record in records]
    pairs: Pairs = {}
    for draft in drafts:
        for number in draft.numbers():
            for alike in draft.alike:
                group = pairs.setdefault((alike, number.key, number.place), set())
                group.add((draft.seed, number.text))
    return [assign_cell(draft, pairs) for draft in drafts]


def draft_config(record: RunRecord, over: str) -> Draft:
    """A run's config, and what of it may follow the seed."""
    config = without_keys(relevant_config(record["config"]), ("seed", over))
    texts = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in leaves(config)
        if (key in PATHS or is_seed(key)) and value not in (None, [])
    }
    for key, text in texts.items():
        replace_value(config, key, NUMBER.sub("#", text))
    alike: tuple[str, ...] = ()
    if texts:
        method = record["choices"]["method"]
        shared = {name: value for name, value in config.items() if name != "method"}
        alike = (
            json.dumps([task_of(record), method, config], sort_keys=True),
            json.dumps([task_of(record), shared], sort_keys=True),
        )
    value = flatten(record["config"]).get(over) if over else None
    return Draft(record, config, texts, alike, value)


def assign_cell(draft: Draft, pairs: Pairs) -> Cell:
    """The cell of a run, given all seeds and numbers."""
    config = draft.config
    for key, text in draft.texts.items():
        numbers = [number for number in draft.numbers() if number.key == key]
        follow = [follows_seed(draft, number, pairs) for number in numbers]
        shown = iter(
            FOLLOWS if each and (any_number(numbers, follow) or is_seed(key)) else number.text
            for number, each in zip(numbers, follow, strict=True)
        )
        replace_value(config, key, NUMBER.sub(lambda _, shown=shown: next(shown), text))  # type: ignore[misc]
    return Cell(
        task_of(draft.record),
        draft.record["choices"]["method"],
        json.dumps({k: v for k, v in config.items() if k != "method"}, sort_keys=True),
        json.dumps(config, sort_keys=True),
        draft.value,
    )


def any_number(numbers: Sequence[SeedNumber], follow: Sequence[bool]) -> bool:
    """Whether a number follows the seed, and not a hash alone: that changes with everything."""
    return any(each and not is_hash(n.text) for n, each in zip(numbers, follow, strict=True))


def follows_seed(draft: Draft, number: SeedNumber, pairs: Pairs) -> bool:
    """Whether a number of a run's config varies as the seed does.

    The runs of its method decide where they have several seeds, else those of any method.
    """
    groups = (pairs[alike, number.key, number.place] for alike in draft.alike)
    group = next((group for group in groups if len({seed for seed, _ in group}) > 1), None)
    if group is not None and (is_hash(number.text) or is_seed(number.key)) and one_to_one(group):
        return True
    if is_hash(number.text) or int(number.text) != draft.seed:
        return False
    return all(seed == draft.seed for seed, text in group or () if text == number.text)


def one_to_one(pairs: set[tuple[int, str]]) -> bool:
    """Whether every seed has a number of its own."""
    seeds, texts = ({pair[i] for pair in pairs} for i in range(2))
    return len(pairs) == len(seeds) == len(texts)


def is_hash(text: str) -> bool:
    """Whether this may be the hash of a run's name, which is of eight digits."""
    return len(text) == 8


def is_seed(key: str) -> bool:
    """Whether a key is a seed beside that of the run."""
    return key.endswith("seed")


def replace_value(config: dict[str, Any], key: str, value: Value) -> None:
    """Puts a value in the place of another, in a config of our own."""
    *parents, name = key.split(".")
    for parent in parents:
        config = config[parent]
    config[name] = value


def group_by_cell(
    records: Sequence[RunRecord], *, over: str = ""
) -> dict[Cell, dict[int, RunRecord]]:
    """The runs of each cell, by seed.

    Raises:
        InputError: two of them have the same seed.
    """
    cells: dict[Cell, dict[int, RunRecord]] = {}
    for record, cell in zip(records, assign_cells(records, over=over), strict=True):
        runs = cells.setdefault(cell, {})
        seed = record["config"]["seed"]
        if seed in runs:
            raise InputError(
                f"two runs of one config with seed {seed}: {runs[seed]['command']} and "
                f"{record['command']}; report one folder at a time"
            )
        runs[seed] = record
    return cells


def task_of(record: RunRecord) -> str:
    """Source and target of a run: ``mnist → usps``; without a source ``nothing → usps``."""
    return " → ".join("+".join(names) or "nothing" for names in sides(record))


def sides(record: RunRecord) -> tuple[list[str], list[str]]:
    """The names of the source's domains, and of the target's."""
    return record["domains"]["source"], record["domains"]["target"]


def flatten(config: Mapping[str, Any]) -> dict[str, Value]:
    """The values of a config by dotted key: numbers and texts as they are, all else as JSON."""
    return {
        key: value
        if isinstance(value, int | float | str) and not isinstance(value, bool)
        else json.dumps(value)
        for key, value in leaves(config)
    }


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a config with their dotted keys."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def setting_of(record: RunRecord) -> list[str]:
    """The overrides of a run beyond method, domains and seed: what a reader tells it by."""
    return list(setting_words(record["command"]))


@cache  # of every run several times, and it takes its time
def setting_words(command: str) -> tuple[str, ...]:
    """The overrides of a command beyond method, domains and seed, in order."""
    apart = ("method=", "seed=", "dataset.source=", "dataset.target=", "dataset.pair=")
    words = relevant_overrides(shlex.split(command)[2:])
    return tuple(
        sorted(word.removeprefix("method.") for word in words if not word.startswith(apart))
    )


def common_words(records: Sequence[RunRecord]) -> list[str]:
    """What all runs have in common, as overrides: stated once, it is in no row's name."""
    facts = [stated_facts(record) for record in records]
    shared = [key for key, value in facts[0].items() if all(f.get(key) == value for f in facts)]
    words = [f"{key}={facts[0][key]}" for key in shared]
    everywhere = set[str].intersection(*(set(setting_of(record)) for record in records))
    return words + sorted(w for w in everywhere if w.partition("=")[0] not in shared)


def task_words(
    records: Sequence[RunRecord], common: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """The data and network that all runs of a task have in common, and runs of other tasks do not.

    They are the task's, so that a method has one name in all of them.
    """
    words: dict[str, set[str]] = {}
    for record in records:
        own = {word for word in setting_of(record) if word.startswith(OF_TASK)}
        task = task_of(record)
        words[task] = words[task] & own if task in words else own
    return {task: tuple(sorted(own - {*common})) for task, own in words.items()}


def stated_facts(record: RunRecord) -> dict[str, str]:
    """What a table's reader asks first: data set, network, steps, and who chose the checkpoint."""
    config, choices = record["config"], record["choices"]
    dataset = config.get("dataset", {})
    facts: dict[str, object] = {
        "dataset": choices.get("dataset"),
        "dataset.root": dataset.get("root"),
        "dataset.protocol": dataset.get("protocol"),
        "network": choices.get("network"),
        "steps": flatten(config).get("steps"),
        "validator": choices.get("validator"),
    }
    return {key: str(value) for key, value in facts.items() if value is not None}


def cell_settings(
    cells: Mapping[Cell, Runs],
    common: Sequence[str] = (),
    shared: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[Cell, tuple[str, ...]]:
    """What tells cells apart, without what is common to all of them, or to those of their task.

    Cells that their commands do not tell apart have keys added.
    """
    settings = {
        cell: tuple(
            word
            for word in shared_setting(cell, runs)
            if word not in common and word not in shared.get(cell.task, ())
        )
        for cell, runs in cells.items()
    }
    alike: dict[tuple[str, str, tuple[str, ...]], list[Cell]] = {}
    for cell, setting in settings.items():
        alike.setdefault((cell.task, cell.method, setting), []).append(cell)
    for several in alike.values():
        configs = [flatten(json.loads(cell.config)) for cell in several]
        for cell, config in zip(several, configs, strict=True):
            settings[cell] += tuple(
                f"{key}={config.get(key, '')}" for key in differing_keys(configs)
            )
    return settings


def shared_setting(cell: Cell, runs: Runs) -> list[str]:
    """The setting of a cell: what follows the seed is no value of one of its runs."""
    values = flatten(json.loads(cell.config))
    words = []
    for word in setting_of(next(iter(runs.values()))):
        key = word.partition("=")[0]
        value = values.get(key, values.get(f"method.{key}"))
        follows = isinstance(value, str) and FOLLOWS in value and (key in PATHS or is_seed(key))
        words.append(f"{key}={value}" if follows else word)
    return words


def differing_keys(configs: Sequence[Mapping[str, Value]]) -> list[str]:
    """The keys that these configs differ in."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({config.get(key) for config in configs}) > 1]


def describe_difference(cell: Cell, other: Cell) -> str:
    """What the configs of two cells differ in: ``steps: 9 and 10``."""
    configs = [flatten(json.loads(each.config)) for each in (cell, other)]
    return "; ".join(
        f"{key}: {' and '.join(str(config.get(key, 'not there')) for config in configs)}"
        for key in differing_keys(configs)
    )
