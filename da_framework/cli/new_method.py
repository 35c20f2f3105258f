"""``da new-method``: the three files of a method that works, to begin with."""

import keyword
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from string import Template

from da_framework.cli.arguments import ArgumentParser
from da_framework.config import plugins
from da_framework.core.errors import InputError
from da_framework.core.files import write_text
from da_framework.core.quoting import OTHERWISE_READ

METHOD = Template(r'''"""$summary."""

from collections.abc import Mapping
from typing import ClassVar, Unpack

from da_framework.core.batch import Outputs, Task, Term
from da_framework.core.types import NonNegative
from da_framework.methods.base import Method, MethodKeys
from da_framework.networks.network import Network


class $kind(Method):
    r"""Features whose two domains have the same mean.

    .. math::
        \min_{f,\, c} \; L_y(c \circ f) + w \lVert \overline{f(S)} - \overline{f(T)} \rVert^2

    An example to begin with. Here stands what the method is, with its paper: authors, title, venue,
    year, equation, link.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        weight: w of the distance among the terms.
    """

    aligns: ClassVar = True

    def __init__(
        self, network: Network, task: Task, *, weight: NonNegative, **base: Unpack[MethodKeys]
    ) -> None:
        super().__init__(network, task, **base)
        self.weight = weight

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        gap = source.features.mean(0) - target.features.mean(0)
        return {"distance": Term(gap.square().sum(), self.weight)}
''')

CONFIG = Template("""_target_: $package.methods.$name.$kind
_partial_: true
weight: 0.1  # w of the distance among the terms
""")

TEST = Template("""import pytest
import torch

from da_framework.training.build import build, compose
from da_framework.training.method_check import check_method


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_term_is_the_squared_distance_of_the_means(weight: float) -> None:
    run = build(compose("method=$name", f"method.weight={weight}", name="check"))
    method = run.module.method
    outputs = method.outputs(run.domains.batch(0))
    source, target = outputs["source"].features, outputs["target"].features
    term = method.terms(outputs["source"], outputs["target"])["distance"]
    expected = sum((s - t) ** 2 for s, t in zip(source.mean(0), target.mean(0), strict=True))
    torch.testing.assert_close(term.value, expected)
    assert term.weight == weight


def test_it_passes_the_self_check() -> None:
    torch.set_num_threads(1)
    findings = check_method(compose("method=$name", name="check"))
    assert not [finding for finding in findings if finding.passed is False]
""")

PROJECT = Template("""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$project"
version = "0.1.0"
description = "Methods for da_framework."
requires-python = ">=3.11"
dependencies = ["da_framework"]

[project.optional-dependencies]
dev = ["pytest"]

# what installs the package's configs beside da_framework's own
[project.entry-points."da_framework.conf"]
$package = "$package.conf"

[tool.hatch.build.targets.wheel]
packages = ["$package"]

[tool.pytest.ini_options]
testpaths = ["tests"]
""")

README = Template("""# $project

Methods for da_framework, found by its commands once this package is installed:

```bash
pip install -e '.[dev]'
python -m pytest              # its tests
da list method                # $name is among them
da check method=$name         # the self-check
da train -m method=control,$name seed=1,2,3
```

A further method: `da new-method NAME --package .` from this folder. Data sets, networks,
validators and experiments are brought the same way: code anywhere in the package, and a YAML that
names it in `$package/conf/dataset/`, `network/`, `validator/` or `experiments/`.
""")


def new_method(name: str, package: Path | None) -> list[Path]:
    """Writes the files of a method; all of them or none.

    Args:
        name: as in ``method=name``.
        package: folder of a package of its own, made if it is not there; ``None``: the folder one
            is in, or the checkout of da_framework that this folder is in.

    Returns:
        The files that were written.

    Raises:
        InputError: the name cannot be used, or a file is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(
            f"{name!r} cannot be the name of a method: lower-case letters, digits and underscores"
        )
    if {name, class_name(name)} & {*keyword.kwlist} or OTHERWISE_READ.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a method: it has a meaning of its own: {name}_method"
        )
    if (plugins.conf_dir() / "method" / f"{name}.yaml").exists():
        raise InputError(f"method={name} is there already: {plugins.conf_dir() / 'method'}")
    checkout = plugins.conf_dir().parent
    apart = package is not None or not Path.cwd().is_relative_to(checkout.resolve())
    if apart:
        root = Path() if package is None else package
        module = re.sub(r"[^a-z0-9_]", "_", root.resolve().name.lower())
        if not module.isidentifier() or keyword.iskeyword(module) or module == "da_framework":
            raise InputError(
                f"{root.resolve()}: {module!r} cannot be the name of a package: "
                f"da new-method {name} --package my_da makes one"
            )
        if not (root / "pyproject.toml").exists() and is_taken(module):
            raise InputError(
                f"{root.resolve()}: a package of the name {module} would hide that which is "
                f"installed: da new-method {name} --package my_da makes one"
            )
    else:
        root, module = checkout, "da_framework"
    files = file_contents(name, root, module, apart=apart)
    if there := [path for path in files if path.exists()]:
        raise InputError(f"{there[0]} is there already")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return list(files)


def class_name(name: str) -> str:
    """The name of a method's class."""
    return "".join(part.capitalize() for part in name.split("_"))


def is_taken(module: str) -> bool:
    """Whether Python itself, or a package that is installed, has a module of this name."""
    return module in sys.stdlib_module_names or module in packages_distributions()


def file_contents(name: str, root: Path, module: str, *, apart: bool) -> dict[Path, str]:
    """The text of every file to be written."""
    values = {
        "name": name,
        "kind": class_name(name),
        "summary": "Alignment of the two domains' mean features",
        "package": module,
        "project": module.replace("_", "-"),
    }
    conf = root / module / "conf" if apart else root / "conf"
    tests = root / "tests" if apart else root / "tests" / "methods"
    files = {
        root / module / "methods" / f"{name}.py": METHOD,
        conf / "method" / f"{name}.yaml": CONFIG,
        tests / f"test_{name}.py": TEST,
    }
    if apart and not (root / "pyproject.toml").exists():
        empty = Template("")
        inits = {
            root / module / folder / "__init__.py": empty for folder in ("", "methods", "conf")
        }
        files |= {root / "pyproject.toml": PROJECT, **inits}
        if not (root / "README.md").exists():
            files[root / "README.md"] = README
    elif apart and f"{module}.conf" not in (root / "pyproject.toml").read_text("utf-8"):
        raise InputError(
            f"{root / 'pyproject.toml'} names no entry point {module}.conf: add",
            '[project.entry-points."da_framework.conf"]',
            f'{module} = "{module}.conf"',
        )
    return {path: template.substitute(values) for path, template in files.items()}


def main(arguments: list[str]) -> None:
    """``da new-method NAME [--package FOLDER]``: files to begin a method with."""
    parser = ArgumentParser(
        prog="da new-method",
        description=main.__doc__,
        epilog="example: da new-method foo --package ../my_da",
    )
    parser.add_argument("name", help="as in method=NAME")
    parser.add_argument(
        "--package",
        type=Path,
        help="a package of its own, made if it is not there; without: the folder you are in",
    )
    parsed = parser.parse_args(arguments)
    files = new_method(parsed.name, parsed.package)
    for path in files:
        print(path)
    if "da_framework" not in files[0].parts:
        print(f"next: pip install -e '{parsed.package or '.'}[dev]'")
    print(f"next: da check method={parsed.name}")
