"""Tables that nothing random enters equal the paper's in every digit.

Some cells are run, all of them with ``DA_EVERY_CASE=1``.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from da_framework.results.experiments import find_tables
from da_framework.results.reproduction import is_within
from da_framework.training.build import build, compose
from da_framework.training.trainer import build_trainer
from tests.selection import EVERY, a_few

DETERMINISTIC = (
    "jda_2013/office_caltech10",
    "jda_2013/digits_baselines",
    "jda_2013/digits",
    "easy_tl_2019/office_caltech10",
    "easy_tl_2019/office_caltech10_classifier",
    "jgsa_2017/office_caltech10",
    "jgsa_2017/digits",
    "jpda_2020/office_caltech10",
    "jpda_2020/office_caltech10_joint",
    "meda_2018/office_caltech10",
    "meda_2018/office_caltech10_pca",
    "meda_2018/office_caltech10_tca",
    "meda_2018/digits",
)
QUICK = ("webcam-dslr", "dslr-webcam", "mnist-usps")
"""Columns of the smallest data; the others are for CI."""
LONG = ("jgsa", "artl", "jpda")
"""Methods that take seconds there too, of which only those columns of the objects are run."""


def cells() -> Iterator[Any]:
    every = list(every_cell())
    quick = [cell.id for cell in every if not cell.marks]
    chosen = a_few("quick cells", quick, 10)
    chosen += a_few("cells", (cell.id for cell in every if cell.id not in quick), 24)
    yield from (cell for cell in every if cell.id in chosen)


def every_cell() -> Iterator[Any]:
    for table in DETERMINISTIC:
        paper = compose(f"experiments={table}")["paper"]
        for method, row in paper["rows"].items():
            for column, value in zip(paper["columns"], row, strict=True):
                long = method in LONG and (column not in QUICK or table.endswith("/digits"))
                if long and not EVERY:
                    continue
                name = f"{table}-{method}-{column}"
                marks = () if column in QUICK and method not in LONG else (pytest.mark.slow,)
                yield pytest.param(table, method, column, value, id=name, marks=marks)


@pytest.mark.parametrize(("table", "method", "column", "value"), list(cells()))
def test_a_cell_is_the_papers(table: str, method: str, column: str, value: float) -> None:
    if "office_caltech10" in table and "DA_DATA" not in os.environ:
        pytest.skip("needs office_caltech10: set DA_DATA")
    source, target = column.split("-")
    config = compose(
        f"experiments={table}", f"method={method}", f"dataset.pair=[{source},{target}]"
    )
    run = build(config)
    build_trainer(config, callbacks=[], loggers=[]).fit(run.module, datamodule=run.domains)
    accuracy = 100 * run.module.picks["last"]["target"]["accuracy"]
    assert is_within(accuracy, find_tables()[table].band(method, value))
