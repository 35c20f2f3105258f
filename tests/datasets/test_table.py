"""Tables as they come: columns, missing values, categories, dates, spellings and files."""

import gzip
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from da_framework.core.errors import InputError
from da_framework.datasets.custom import match_spellings
from da_framework.datasets.table import Table
from da_framework.datasets.table_files import TableFormat, read_table
from tests.datasets.roles import TRANSDUCTIVE, own_keys

KEYS = own_keys("table")
ROLES: dict[str, Any] = {**TRANSDUCTIVE, "source": ["s"], "target": ["t"]}


def frame(rows: int = 12, seed: int = 0, **columns: Any) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    x = {"a": draws.normal(size=rows), "b": draws.normal(size=rows)}
    return pd.DataFrame({**x, "label": ["yes", "no"] * (rows // 2)} | columns)


def table(root: Path, **keys: Any) -> Table:
    return Table(root=str(root), **{**KEYS, **ROLES, **keys})


def files(root: Path, s: pd.DataFrame, t: pd.DataFrame) -> Path:
    for name, rows in (("s", s), ("t", t)):
        rows.to_csv(root / f"{name}.csv", index=False)
    return root


def one_file(root: Path, s: pd.DataFrame, t: pd.DataFrame) -> Path:
    pd.concat([s.assign(domain="s"), t.assign(domain="t")]).to_csv(root / "f.csv", index=False)
    return root / "f.csv"


# columns over files


def test_columns_are_matched_by_name_whatever_their_order(tmp_path: Path) -> None:
    s, t = frame(), frame(seed=1)
    files(tmp_path, s, t)
    expected = table(tmp_path)["t"].x
    for order in (["b", "a", "label"], ["label", "b", "a"]):
        files(tmp_path, s, t[order])
        data = table(tmp_path)
        np.testing.assert_array_equal(data["t"].x, expected)
        assert data.inputs("t")["columns"] == ["a", "b"]


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"a": "u", "b": "v"}, r"t\.csv: .*lacks a, b and also has u, v; give the same"),
        ({"a": "u"}, r"t\.csv: .*lacks a and also has u; .*'dataset\.drop=\[a,u\]' leaves them"),
    ],
)
def test_other_columns_are_named_by_file(
    tmp_path: Path, rename: dict[str, str], message: str
) -> None:
    files(tmp_path, frame(), frame().rename(columns=rename))
    with pytest.raises(InputError, match=message):
        table(tmp_path)
    assert table(tmp_path, columns="own").inputs("t")["columns"] == ["u", rename.get("b", "b")]


def test_shared_columns_are_those_that_every_domain_has(tmp_path: Path) -> None:
    files(tmp_path, frame(c=1.5), frame(d=2.5))
    data = table(tmp_path, columns="shared")
    assert data["s"].x.shape == data["t"].x.shape == (12, 2)


@pytest.mark.parametrize("key", ["drop", "categories", "dates"])
def test_a_column_that_is_not_there_leads_to_the_nearest(tmp_path: Path, key: str) -> None:
    root = one_file(tmp_path, frame(patient=1), frame(patient=2))
    with pytest.raises(InputError, match=f"dataset.{key}: .*'patiemt'; did you mean patient"):
        table(root, **{key: ["patiemt"]})
    assert table(root, drop=["patient"])["s"].x.shape == (12, 2)


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1])
def test_a_constant_column_keeps_its_scale(tmp_path: Path, value: float) -> None:
    root = one_file(tmp_path, frame(c=value), frame(c=value + 1))
    data = table(root)
    np.testing.assert_array_equal(data["s"].x[:, 2], 0)
    np.testing.assert_allclose(data["t"].x[:, 2], 1, rtol=1e-6)


@pytest.mark.parametrize("scale", ["source", "domain", "none"])
def test_the_scale_is_of_the_source_or_of_each_domain_or_none(tmp_path: Path, scale: str) -> None:
    s, t = frame(), frame(seed=1) if scale == "none" else frame(seed=1, a=np.arange(12.0) * 5)
    x = table(files(tmp_path, s, t), scale=scale)["t"].x
    plain = t[["a", "b"]].to_numpy()
    fitted = {"source": s[["a", "b"]].to_numpy(), "domain": plain}.get(scale)
    if fitted is not None:
        plain = (plain - fitted.mean(0)) / fitted.std(0)
    np.testing.assert_array_equal(x, plain.astype(np.float32))  # bit by bit, as it always was


# missing values


@pytest.mark.parametrize("cell", ["", "?", "NA"])
def test_a_missing_value_is_named_by_file_line_column_and_count(tmp_path: Path, cell: str) -> None:
    s = frame().astype({"b": object})
    s.loc[[5, 8], "b"] = cell
    root = one_file(tmp_path, s, frame())
    with pytest.raises(InputError, match=r"column b, .*f\.csv, line 7 and 1 more; dataset.missing"):
        table(root)["s"]
    broken = [call(False).broken for call in table(root).inspections("s")]
    assert [number for number, why in enumerate(broken) if why] == [5, 8]
    assert broken[5] == "missing or infinite: column b"


def test_lines_are_counted_over_blank_ones_and_cells_of_several_lines(tmp_path: Path) -> None:
    text = 'a,note,label\n1,"x\ny",yes\n\n2,z,no\n,z,no\n'
    (tmp_path / "s.csv").write_text(text)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=r"s\.csv, line 6"):
        table(tmp_path, drop=["note"])["s"]
    assert table(tmp_path, drop=["note"], missing="mean")["s"].y.tolist() == [1, 0, 0]


@pytest.mark.parametrize("missing", ["mean", "median", "indicator"])
def test_missing_values_are_filled_by_the_source(tmp_path: Path, missing: str) -> None:
    s, t = frame(), frame(seed=1)
    s.loc[0, "a"], t.loc[3, "a"] = np.nan, np.nan
    data = table(files(tmp_path, s, t), missing=missing, scale="none")
    fill = s["a"].median() if missing == "median" else s["a"].mean()
    for name, row in (("s", 0), ("t", 3)):
        assert data[name].x[row, 0] == np.float32(fill)
        if missing == "indicator":
            assert data[name].x[:, 2].tolist() == [float(i == row) for i in range(12)]
    assert json.loads(json.dumps(data.inputs("t"))) == data.inputs("t")  # plain: for the record


def test_an_infinite_value_is_named_too(tmp_path: Path) -> None:
    s = frame()
    s.loc[2, "a"] = np.inf
    for missing in ("error", "mean"):
        with pytest.raises(InputError, match=r"values are infinite: column a, .*line 4"):
            table(files(tmp_path, s, frame()), missing=missing)["s"]


# what is no number


def test_the_advice_for_texts_and_dates_can_be_followed_at_once(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    more = {
        "colour": ["red", "dark blue", "green"] * 4,
        "day": pd.date_range("2020-01-01", periods=12).strftime("%Y-%m-%d"),
        "who": [f"person {number}" for number in range(12)],
        "w": [*draws.normal(size=11).round(3).astype(str), "-"],
        "size": 1.0,
    }
    root = files(tmp_path, frame(**more), frame(**more))
    with pytest.raises(InputError) as error:
        table(root, drop=["size"])["s"]
    for way in (
        "'dataset.drop=[size,who]'",
        "'dataset.categories=[colour]'",
        "'dataset.dates=[day]'",
        "w is numbers but for 1 values",
        "dataset.missing_values=['\"'\"''\"'\"',-]'",
    ):
        assert way in str(error.value) or "missing_values" in way
    keys: dict[str, Any] = {"missing_values": ["", "-"], "missing": "mean"}
    data = table(root, drop=["size", "who"], categories=["colour"], dates=["day"], **keys)
    assert data["s"].x.shape == (12, 2 + 3 + 1 + 1)
    assert data.inputs("s")["features"][2:5] == ["colour=dark blue", "colour=green", "colour=red"]


def test_numbers_written_otherwise_are_no_dates(tmp_path: Path) -> None:
    t = frame(a=["1,5", "2,25", "3"] * 4)
    files(tmp_path, frame(), t)
    with pytest.raises(InputError, match=r"a is numbers with commas; .*'dataset\.decimal="):
        table(tmp_path)["t"]
    files(tmp_path, t, t)
    read = table(tmp_path, decimal=",", scale="none", missing="mean")
    np.testing.assert_allclose(read["t"].x[:3, 0], [1.5, 2.25, 3])
    files(tmp_path, frame(), frame(a=["1.234,5", "2.345,6", "1.234,5"] * 4))
    with pytest.raises(InputError, match="a is texts, 2 different ones"):
        table(tmp_path)["t"]


@pytest.mark.parametrize("encoding", ["one_hot", "ordinal"])
def test_categories_are_the_source_s_and_others_are_counted(
    tmp_path: Path, encoding: str, caplog: Any
) -> None:
    s, t = frame(c=["x", "y"] * 6), frame(c=["y", "z"] * 6)
    keys: dict[str, Any] = {"categories": ["c"], "category_encoding": encoding, "scale": "none"}
    data = table(files(tmp_path, s, t), **keys)
    rows = data["t"].x[:2, 2:].tolist()
    assert rows == ([[0, 1], [0, 0]] if encoding == "one_hot" else [[1], [-1]])
    assert "6 values of c are not among the source's" in caplog.text


def test_dates_are_days_whatever_their_form(tmp_path: Path) -> None:
    s = frame(d=["1970-01-02", "1970-01-03 12:00"] * 6)
    x = table(files(tmp_path, s, frame(d=["3 Jan 1970"] * 12)), dates=["d"], scale="none")
    assert x["s"].x[:2, 2].tolist() == [1, 2.5]
    assert x["t"].x[0, 2] == 2
    s.loc[4, "d"] = "some day"
    with pytest.raises(InputError, match=r"d is no date in .*line 6: 'some day'"):
        table(files(tmp_path, s, s), dates=["d"])["s"]


def test_booleans_are_numbers_and_may_be_missing(tmp_path: Path) -> None:
    s = frame(flag=[True, False] * 6).astype({"flag": object})
    s.loc[3, "flag"] = None
    x = table(files(tmp_path, s, frame(flag=True)), missing="mean", scale="none")["s"].x
    assert x[:3, 2].tolist() == [1, 0, 1]


def test_a_column_that_numbers_the_rows_is_pointed_out(tmp_path: Path, caplog: Any) -> None:
    rows = frame().assign(id=np.arange(12))
    table(files(tmp_path, rows, rows))["s"]
    assert "the column id numbers the rows, which is no feature: 'dataset.drop=[id]'" in caplog.text


# labels and domains


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan", "N/A"])
def test_a_class_or_a_domain_may_be_called_anything(tmp_path: Path, name: str) -> None:
    s = frame(label=[name, "yes"] * 6)
    root = one_file(tmp_path, s, s)
    data = table(root)
    assert set(data.classes) == {name, "yes"}
    text = root.read_text().replace(",t\n", f",{name}\n")
    root.write_text(text)
    assert table(root, target=[name])[name].y.tolist() == data["s"].y.tolist()


@pytest.mark.parametrize(
    ("before", "after"),
    [([0, 1], [0.0, 1.0]), ([0, 1], [False, True]), ([1.0, 2.0], ["1", "2"])],
)
def test_numbers_in_different_files_are_one_class(
    tmp_path: Path, before: list[Any], after: list[Any]
) -> None:
    for s, t in ((before, after), (after, before)):
        data = table(files(tmp_path, frame(label=s * 6), frame(label=t * 6)))
        assert len(data.classes) == 2
        assert data["s"].y.tolist() == data["t"].y.tolist() == [0, 1] * 6


def test_spellings_within_a_file_stay_different_classes() -> None:
    spelled = {"s": {"1", "01"}, "t": {"1.0", "2"}, "u": {"2.0"}}
    assert match_spellings(spelled) == {
        "s": {"1": "1", "01": "01"},
        "t": {"1.0": "1.0", "2": "2"},
        "u": {"2.0": "2"},
    }


@pytest.mark.parametrize("cell", ["", None])
def test_a_row_without_a_domain_is_named(tmp_path: Path, cell: Any) -> None:
    rows = frame(domain=["s", "t"] * 6)
    rows.loc[3, "domain"] = cell
    rows.to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(InputError, match=r"1 rows have no domain in the column domain.*line 5"):
        table(tmp_path / "f.csv")


def test_a_target_may_lack_labels_and_a_source_may_not(tmp_path: Path) -> None:
    s, t = frame(), frame(seed=1)
    for bare in (t.drop(columns="label"), t.assign(label=""), t.assign(label=np.nan)):
        data = table(files(tmp_path, s, bare))
        assert data["t"].y.tolist() == [-1] * 12
        assert data.classes == ("no", "yes")
        np.testing.assert_array_equal(data.task_labels(data["t"].y), -1)
        assert len(data.split_roles().train["target"][0].rows) == 12
    s.loc[3, "label"] = ""
    with pytest.raises(InputError, match=r"the source s has 1 samples without .*line 5"):
        table(files(tmp_path, s, t))
    with pytest.raises(InputError, match=r"dataset.label=lable: .*did you mean label"):
        table(files(tmp_path, frame(), t), label="lable")


def test_minus_one_is_no_label_unless_the_source_has_it(tmp_path: Path) -> None:
    t = frame(label=[-1, 1] * 6)
    data = table(files(tmp_path, frame(label=[0, 1] * 6), t))
    assert data["t"].y.tolist() == [-1, 1] * 6
    data = table(files(tmp_path, frame(label=[-1, 1] * 6), t))
    assert data["t"].y.tolist() == [0, 1] * 6


def test_minus_one_in_a_source_is_said_to_be_a_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, frame(label=[-1, 1] * 6), frame(label=[1, -1] * 6))
    assert table(tmp_path).classes == ("-1", "1")  # the two classes of much other software
    assert not caplog.records
    for labels in ([0, 1, -1] * 4, ["0.0", "1.0", "-1.0"] * 4, ["yes", "no", "-1"] * 4):
        caplog.clear()
        files(tmp_path, frame(label=labels), frame(label=[-1] * 12))
        assert len(table(tmp_path).classes) == 3
        (said,) = caplog.messages
        assert "the source s has the label -1 4 times, first in" in said
        assert "s.csv, line 4" in said


def test_labels_that_are_no_classes_are_asked_about(tmp_path: Path) -> None:
    s = frame(rows=120)
    with pytest.raises(InputError, match=r"120 different values in 120 .*a number to predict"):
        table(files(tmp_path, s.assign(label=s.a), s))
    names = s.assign(label=[f"n{number}" for number in range(120)])
    with pytest.raises(InputError, match="do they say which class"):
        table(files(tmp_path, names, s))


def test_a_pair_stands_for_source_and_target(tmp_path: Path) -> None:
    root = files(tmp_path, frame(), frame())
    data = table(root, source=None, target=None, pair=["t", "s"])
    assert (data.source, data.target) == (("t",), ("s",))
    with pytest.raises(InputError, match=r"must be given; the domains are s, t: .*source=\[s\]"):
        table(root, source=None)


# files


def write_csv(rows: pd.DataFrame, root: Path) -> None:
    rows.to_csv(root.with_suffix(".csv"), index=False)


def write_tsv(rows: pd.DataFrame, root: Path) -> None:
    rows.to_csv(root.with_suffix(".tsv"), sep="\t", index=False)


def write_semicolons(rows: pd.DataFrame, root: Path) -> None:
    rows.to_csv(root.with_suffix(".csv"), sep=";", decimal=",", index=False, encoding="cp1252")


def write_utf16(rows: pd.DataFrame, root: Path) -> None:
    rows.to_csv(root.with_suffix(".csv"), sep="\t", index=False, encoding="utf-16")


def write_packed(rows: pd.DataFrame, root: Path) -> None:
    text = rows.to_csv(index=False, sep="|")
    root.with_suffix(".csv.gz").write_bytes(gzip.compress(("\ufeff" + text).encode()))


def write_json(rows: pd.DataFrame, root: Path) -> None:
    rows.to_json(root.with_suffix(".json"), orient="records", double_precision=15)


def write_json_lines(rows: pd.DataFrame, root: Path) -> None:
    rows.to_json(root.with_suffix(".jsonl"), orient="records", lines=True, double_precision=15)


def write_parquet(rows: pd.DataFrame, root: Path) -> None:
    rows.to_parquet(root.with_suffix(".parquet"))


def write_excel(rows: pd.DataFrame, root: Path) -> None:
    pytest.importorskip("openpyxl")
    rows.to_excel(root.with_suffix(".xlsx"), index=False)


@pytest.mark.parametrize(
    "write",
    [
        write_tsv,
        write_semicolons,
        write_utf16,
        write_packed,
        write_json,
        write_json_lines,
        write_parquet,
        write_excel,
    ],
)
def test_every_file_is_read_as_it_is_written(
    tmp_path: Path, write: Callable[[pd.DataFrame, Path], None]
) -> None:
    rows = frame(label=["größer", "kleiner"] * 6).rename(columns={"a": "Höhe"})
    for name in "st":
        write(rows, tmp_path / name)
    data = table(tmp_path, scale="none")
    assert data.classes == ("größer", "kleiner")
    np.testing.assert_allclose(data["s"].x, rows[["Höhe", "b"]].to_numpy(np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    "write", [write_csv, write_tsv, write_json, write_json_lines, write_parquet, write_excel]
)
def test_every_file_may_be_packed(
    tmp_path: Path, write: Callable[[pd.DataFrame, Path], None]
) -> None:
    rows = frame()
    for name in "st":
        write(rows, tmp_path / name)
    for file in [*tmp_path.iterdir()]:
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    x = table(tmp_path, scale="none")["s"].x
    np.testing.assert_allclose(x, rows[["a", "b"]].to_numpy(np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    ("write", "package"), [(write_excel, "openpyxl"), (write_parquet, "pyarrow")]
)
def test_what_is_not_installed_is_one_line(
    tmp_path: Path,
    write: Callable[[pd.DataFrame, Path], None],
    package: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in "st":
        write(frame(), tmp_path / name)
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"openpyxl": "excel", "pyarrow": "parquet"}[package]
    install = rf"files need {package}: pip install 'da_framework\[{extra}\]'"
    with pytest.raises(InputError, match=install):
        table(tmp_path)


def test_what_is_given_of_a_file_is_heeded(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes("a b;c label\n1,5 2 é\n".encode("cp1252"))
    written = TableFormat(separator=" ", encoding="cp1252", decimal=",")
    rows = read_table(tmp_path / "s.csv", written)
    assert rows.to_dict("records") == [{"a": 1.5, "b;c": 2, "label": "é"}]


def test_a_domain_may_be_a_folder_of_files(tmp_path: Path) -> None:
    whole = frame(label=[0, 1] * 6)
    for name in "st":
        (tmp_path / name).mkdir()
        whole[:6].to_csv(tmp_path / name / "1.csv", index=False)
        whole[6:][["b", "label", "a"]].astype({"label": float}).to_csv(
            tmp_path / name / "2.csv", index=False
        )
    (tmp_path / "__MACOSX").mkdir()
    whole.to_csv(tmp_path / "__MACOSX" / "s.csv", index=False)
    data = table(tmp_path, scale="none")
    np.testing.assert_allclose(data["t"].x, whole[["a", "b"]].to_numpy(np.float32), rtol=1e-6)
    assert data.names == ("s", "t")
    assert data["s"].y.tolist() == [0, 1] * 6
    whole.rename(columns={"b": "c"}).to_csv(tmp_path / "t" / "2.csv", index=False)
    with pytest.raises(InputError, match=r"t.2\.csv: its columns are not those of .*1\.csv: b, c"):
        table(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\0\1\2", b"a,label\n1,2,3,4\n", b"a,a\n1,2\n", b'"a', b"label\nyes\n"]
)
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    for name in "st":
        (tmp_path / f"{name}.csv").write_bytes(content)
    with pytest.raises(InputError) as error:
        table(tmp_path)["s"]
    assert "\n" not in str(error.value)
    assert "s.csv" in str(error.value)


THREE: dict[str, Any] = {"min_size": 3, "max_size": 3}
CELLS = st.one_of(
    st.sampled_from(["", "1", "-2.5", "1e400", "nan", "True", "?", "x", "2020-01-01", "1,5"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=4),
)


@pytest.mark.parametrize(
    "write", [write_csv, write_tsv, write_json, write_json_lines, write_parquet, write_excel]
)
@settings(max_examples=30, deadline=None)
@given(
    cells=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6),
    head=st.lists(st.sampled_from(["a", "label", "domain", "", "é", "c"]), **THREE),
    keys=st.fixed_dictionaries(
        {},
        optional={
            "missing": st.sampled_from(["error", "mean", "median", "indicator"]),
            "categories": st.sampled_from([["a"], ["é", "c"]]),
            "category_encoding": st.sampled_from(["one_hot", "ordinal"]),
            "dates": st.sampled_from([["c"], ["a"]]),
            "drop": st.sampled_from([["é"], [""]]),
            "columns": st.sampled_from(["own", "shared"]),
            "scale": st.sampled_from(["domain", "none"]),
            "decimal": st.just(","),
            "missing_values": st.just(["x"]),
        },
    ),
)
def test_any_table_is_read_or_refused_in_words(
    tmp_path_factory: Any,
    write: Callable[[pd.DataFrame, Path], None],
    cells: list[tuple[str, ...]],
    head: list[str],
    keys: dict[str, Any],
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    if len(set(head)) < len(head) and write not in (write_csv, write_tsv):
        return  # which cannot be written
    for name in "st":
        write(pd.DataFrame(cells, columns=head), root / name)
    check_read_or_refused(root, **keys)


def check_read_or_refused(root: Path, **keys: Any) -> None:
    try:
        data = table(root, **keys)
        x = data["s"].x
        target = data["t"].x
    except InputError:
        return
    assert np.isfinite(x).all()
    assert np.isfinite(target).all()
    assert len(x) == len(data["s"].y)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
OBJECT = st.dictionaries(st.sampled_from(["a", "b", "label", ""]), JSON, max_size=4)


@settings(max_examples=100, deadline=None)
@given(records=st.one_of(JSON, st.lists(OBJECT, max_size=4)), ending=st.sampled_from(["l", ""]))
def test_any_json_is_read_or_refused_in_words(
    tmp_path_factory: Any, records: Any, ending: str
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    lines = records if ending and isinstance(records, list) else [records]
    for name in "st":
        text = "\n".join(json.dumps(line) for line in lines)
        (root / f"{name}.json{ending}").write_text(text, encoding="utf-8")
    check_read_or_refused(root, missing="mean")


ODD_COLUMNS = ["it's, [a b]", "k=v #${a}", "größe", "null"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_COLUMNS)
def test_the_advice_for_columns_of_odd_names_can_be_pasted(da: Any, name: str) -> None:
    keys = ("dataset=table", "network=mlp", "dataset.source=s", "logger=[]", "callback=[]")
    words = ("train", *keys, "steps=1", "hydra.run.dir=run")
    (da.folder / "d").mkdir()
    for change in (
        {name: ["red", "dark blue"] * 12},
        {name: [f"person {number}" for number in range(24)]},
        {name: pd.date_range("2020-01-01", periods=24).strftime("%Y-%m-%d")},
        {name: [*np.arange(23.0).astype(str), f"{name}?"]},
    ):
        files(da.folder / "d", frame(24, **change), frame(24, seed=1, **change))
        ended = da(*words, "dataset.root=d")
        assert ended.code == 2
        pasted = [word for word in split_advice(ended.err) if word.startswith("dataset.")]
        more = [] if "missing_values" not in ended.err else ["dataset.missing=mean"]
        assert pasted, ended.err
        ended = da(*words, "dataset.root=d", *pasted, *more)
        assert ended.code == 0, ended.err


def split_advice(line: str) -> list[str]:
    """The words of a command that a message ends in, as a shell reads them."""
    return shlex.split(line.partition("to read it so: ")[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's, [a b]", "k=v #${a}", "1"])
def test_the_advice_for_domains_and_columns_that_differ_can_be_pasted(da: Any, name: str) -> None:
    keys = ("dataset=table", "dataset.root=d", "network=mlp", "steps=1")
    words = ("train", *keys, "logger=[]", "callback=[]", "hydra.run.dir=run")
    (da.folder / "d").mkdir()
    root = files(da.folder / "d", frame(24), frame(24).assign(**{name: 1.5}))
    (root / "s.csv").rename(root / f"{name}.csv")
    ended = da(*words)
    assert ended.code == 2
    (source,) = shlex.split(ended.err.rsplit(": ", 1)[1])
    ended = da(*words, source)
    assert ended.code == 2
    assert "its columns are not those of" in ended.err
    (drop,) = shlex.split(ended.err.split("; or ", 1)[1].split(" leaves them out")[0])
    ended = da(*words, source, drop)
    assert ended.code == 0, ended.err


# without a source


def test_a_target_is_prepared_as_the_run_that_is_gone_on_from_says(tmp_path: Path) -> None:
    s = frame(a=np.arange(12.0), c=["x", "y", "x"] * 4).assign(b=lambda f: f.b * 9 + 5)
    t = frame(seed=1, c=["y", "z", "y"] * 4)
    t.loc[3, "b"] = None
    files(tmp_path, s, t)
    keys: dict[str, Any] = {"categories": ["c"], "missing": "mean"}
    first = table(tmp_path, **keys)
    files(tmp_path, s, t[["c", "b", "label", "a"]])  # in another order
    for scale in ("source", "domain", "none"):
        first = table(tmp_path, **keys, scale=scale)
        data = table(tmp_path, **keys, source=[])
        data.continue_from(first.inputs("t"))
        np.testing.assert_array_equal(data["t"].x, first["t"].x)
        assert data.inputs("t") == first.inputs("t")
        again = table(tmp_path, **keys, source=[])
        again.continue_from(data.inputs("t"))  # as where a finished run is brought back
        np.testing.assert_array_equal(again["t"].x, first["t"].x)
    own = table(tmp_path, **keys, source=[], scale="domain")
    own.continue_from(first.inputs("t"))
    np.testing.assert_allclose(own["t"].x[:, 1].std(), 1, rtol=1e-5)


def test_a_target_without_those_columns_is_refused(tmp_path: Path) -> None:
    files(tmp_path, frame(), frame())
    former = table(tmp_path).inputs("t")
    files(tmp_path, frame(), frame().rename(columns={"b": "v"}))
    data = table(tmp_path, source=[])
    data.continue_from(former)
    with pytest.raises(InputError, match="not those of the run begun with: it lacks b and also"):
        data.load("t")


def test_a_target_that_is_scaled_by_itself_is_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, frame(), frame())
    table(tmp_path).continue_from({})
    assert not caplog.records
    table(tmp_path, source=[]).continue_from({})
    assert "targets are scaled by their own rows" in caplog.text
