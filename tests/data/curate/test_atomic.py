"""Files are whole or not there."""

from __future__ import annotations

import pyarrow as pa
import pytest

from burnish.data.curate.atomic import (
    read_arrow,
    read_json,
    read_parquet,
    whole,
    write_arrow,
    write_json,
    write_parquet,
)
from burnish.errors import StoreError


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"a": 1})
    with whole(path) as beside:
        beside.write_text("{half")
        assert read_json(path) == {"a": 1}
    assert path.read_text() == "{half"
    assert read_json(path) is None
    with pytest.raises(UnicodeEncodeError), whole(path) as beside:
        beside.write_text("other \ud800", encoding="utf-8")
    assert path.read_text() == "{half"
    assert [one.name for one in path.parent.iterdir()] == ["a.json"]


def test_what_cannot_be_written_is_an_error_with_its_cause(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.a.json cannot be written: .*Not a directory|File exists"):
        write_json(tmp_path / "file" / "a.json", {})
    full = OSError(28, "No space left on device")
    with (
        pytest.raises(
            StoreError, match=r"a.json cannot be written: no space is left .*MB are free.*run the same command"
        ),
        whole(tmp_path / "a.json"),
    ):
        raise full
    assert read_json(tmp_path / "a.json") is None


def test_tables_come_back_and_give_the_same_bytes(tmp_path):
    table = pa.table({"a": [1, None, 3], "b": ["x", "", None]})
    for write, read, name in ((write_parquet, read_parquet, "a.parquet"), (write_arrow, read_arrow, "a.arrow")):
        write(tmp_path / name, table)
        first = (tmp_path / name).read_bytes()
        assert read(tmp_path / name).equals(table)
        write(tmp_path / name, table)
        assert (tmp_path / name).read_bytes() == first
    assert read_parquet(tmp_path / "a.parquet", ["b"]).column_names == ["b"]
