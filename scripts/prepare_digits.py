"""Puts MNIST, USPS and MNIST-M where ``dataset=digits_full`` reads them."""

import argparse
import os
import sys
from pathlib import Path

from da_framework.core.errors import InputError
from da_framework.datasets.digits_files import fetch_digits, prepare_mnistm


def main(arguments: list[str] | None = None) -> int:
    """Prepares what is missing; returns the exit code."""
    given = _parser().parse_args(arguments)
    folder = Path(given.data_dir).expanduser().absolute() / "digits"
    try:
        for name in ("mnist", "usps"):
            file = folder / f"{name}.npz"
            if not file.is_file():
                print(f"{name}: downloading", flush=True)
                fetch_digits(name, folder)
            _report(file)
        if given.mnistm != "skip":
            print(f"mnistm: {given.mnistm}", flush=True)
            seed = None if given.mnistm == "original" else int(given.mnistm)
            _report(prepare_mnistm(folder, seed))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data-dir",
        default=os.environ.get("DA_DATA", "data"),
        help="the folder that holds, or will hold, digits/ (default: DA_DATA, or data)",
    )
    parser.add_argument(
        "--mnistm",
        type=_recipe,
        default="original",
        metavar="original|SEED|skip",
        help="original: the published images, by their recipe; a whole number: a fresh draw by "
        "that seed; skip: leave MNIST-M alone (default: original)",
    )
    return parser


def _recipe(text: str) -> str:
    if text not in ("original", "skip") and not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of: original, skip, or a seed (a whole number from 0)"
        )
    return text


def _report(file: Path) -> None:
    print(f"{file.stem}: {file} ({file.stat().st_size} bytes)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
