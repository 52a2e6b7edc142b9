"""Shared columns: read back to the bit and for the same question alone, written whole, collected when unused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from burnish.errors import StoreError
from burnish.store import collect, column_file, columns_folder, garbage, read_column, write_column
from burnish.store.columns import COLUMNS, UNUSED_DAYS

IDENTITY = {"trees": "abc", "layout": "tree", "dtype": "torch.float32"}
VALUES = [(0.1 + 0.2, -1.5), (1e-300,)]
COUNTS = [2, 1]


def test_the_file_is_named_by_every_part_of_the_question_in_any_order(tmp_path: Path):
    path = column_file(tmp_path, "reference_logp", IDENTITY)
    assert path == column_file(tmp_path, "reference_logp", dict(reversed(IDENTITY.items())))
    others = [column_file(tmp_path, "reference_logp", {**IDENTITY, name: "other"}) for name in IDENTITY]
    assert len({path, *others, column_file(tmp_path, "old_logp", IDENTITY)}) == 5


def test_floats_come_back_to_the_bit(tmp_path: Path):
    path = column_file(tmp_path / "columns", "reference_logp", IDENTITY)
    assert read_column(path, COUNTS) is None
    write_column(path, VALUES, IDENTITY)
    assert read_column(path, COUNTS) == VALUES
    assert json.loads(path.read_text())["identity"] == IDENTITY
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "damage", ["", "{", "[1]", '{"values": [[1.0]]}', '{"values": [[1.0], [1.0, 2.0]]}', '{"values": 1}']
)
def test_a_damaged_file_counts_as_absent(damage: str, tmp_path: Path):
    path = tmp_path / "column.json"
    path.write_text(damage)
    assert read_column(path, COUNTS) is None


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(tmp_path: Path):
    path = tmp_path / "column.json"
    write_column(path, VALUES, IDENTITY)
    with pytest.raises(TypeError):
        write_column(path, [[object()]], IDENTITY)  # type: ignore[list-item]
    assert read_column(path, COUNTS) == VALUES
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_names_the_remedy(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="set the variable BURNISH_COLUMNS"):
        write_column(tmp_path / "file" / "column.json", VALUES, IDENTITY)


WRITER = """
import sys
from pathlib import Path
from burnish.store import read_column, write_column
for _ in range(200):
    write_column(Path(sys.argv[1]), [[float(i)] for i in range(300)], {})
    assert read_column(Path(sys.argv[1]), [1] * 300) is not None
"""


def test_two_processes_write_one_file_at_once(tmp_path: Path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "column.json")]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["column.json"]


def test_the_folder_lies_beside_the_run_or_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BURNISH_COLUMNS", raising=False)
    assert columns_folder(tmp_path / "runs" / "one") == tmp_path / "runs" / COLUMNS
    monkeypatch.setenv("BURNISH_COLUMNS", str(tmp_path / "shared"))
    assert columns_folder(tmp_path / "runs" / "one") == tmp_path / "shared"


def test_gc_takes_columns_that_were_not_used_for_long(tmp_path: Path):
    old, used, fresh = (column_file(tmp_path / COLUMNS, name, IDENTITY) for name in ("old", "used", "fresh"))
    long_ago = time.time() - (UNUSED_DAYS + 1) * 24 * 3600
    for path in (old, used, fresh):
        write_column(path, VALUES, IDENTITY)
        os.utime(path, (long_ago, long_ago) if path != fresh else None)
    assert read_column(used, COUNTS) == VALUES, "reading marks a file as used"
    items = garbage(tmp_path, named=())
    assert [item.folder for item in items] == [old]
    assert items[0].num_bytes == old.stat().st_size
    assert collect(items) == items
    assert sorted(path for path in (old, used, fresh) if path.exists()) == sorted([used, fresh])
