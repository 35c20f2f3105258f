"""``da report``: the table that is printed, and the files that are written beside it."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from scipy import stats

from da_framework.cli.report import main
from tests.run_records import baseline_records, table_record, weighted_record, write_run


def test_the_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "one", table_record())
    main([str(tmp_path)])
    assert "| mnist → usps | `dann` | 50.0 | 60.0 | 70.0 | 1 |" in capsys.readouterr().out


def test_the_command_draws_besides_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for weight in (1, 2):
        write_run(tmp_path / str(weight), weighted_record(0.5, weight))
    picture = tmp_path / "out.png"
    main([str(tmp_path), "--over", "method.weight", "--picture", str(picture)])
    assert "| mnist → usps |" in capsys.readouterr().out
    with Image.open(picture) as image:
        assert np.asarray(image.convert("L")).min() < 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "out.png"]


@pytest.mark.parametrize("option", [["--over", "seed"], ["--picture", "x.png"]])
def test_a_picture_needs_a_key_and_a_key_a_picture(
    tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), *option])
    assert "--over KEY and --picture PNG go together" in capsys.readouterr().err


def test_a_table_is_written_as_numbers(tmp_path: Path) -> None:
    runs = [table_record(0.5 + s / 100, seed=s) for s in (1, 2, 3)]
    base = baseline_records({1: 0.4, 2: 0.4, 3: 0.4, 4: 0.4})
    for record in [*runs, *base]:
        write_run(tmp_path / f"{record['choices']['method']}{record['config']['seed']}", record)
    files = [tmp_path / name for name in ("out.csv", "out.md")]
    main([str(tmp_path), *(word for file in files for word in ("--out", str(file)))])
    (row, _) = pandas.read_csv(files[0]).to_dict("records")
    assert row["task"] == "mnist → usps"
    assert (row["method"], row["seeds"], row["missing_seeds"]) == ("dann", 3, 4)
    assert row["negative_transfer"] == "no"
    assert row["last"] == pytest.approx(52)
    half = 4.30265 / 3**0.5
    assert row["last_half_95"] == pytest.approx(half, rel=1e-4)
    assert (row["above_lower"], row["above_lower_worst"]) == pytest.approx((12, 11))
    assert (row["above_lower_half_95"], row["above_lower_n"]) == pytest.approx((half, 3), rel=1e-4)
    p = stats.ttest_rel([51, 52, 53], [40, 40, 40]).pvalue
    assert row["above_lower_p_holm"] == pytest.approx(p)
    text = files[1].read_text()
    assert "| 52.0 ± 2.5† |" in text
    assert "+12.0 ± 2.5 (worst +11.0), p = .002, n = 3" in text
    assert "95 % t-interval over seeds" in text
    assert "corrected by Holm" in text
    assert "without seeds that other rows of the task have (4)" in text
