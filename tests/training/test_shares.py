"""Shares of tensors on disk: what any number of ranks wrote is read by any number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from burnish.training import shares
from burnish.training.parallel import Ranks, Rows
from burnish.training.shares import Fitted, Shares, share_file, write_share

WEIGHT = torch.arange(21.0).reshape(7, 3)
STEP = torch.tensor(5.0)


def write_by(folder: Path, count: int) -> None:
    """WEIGHT cut as torch cuts it into `count` shares, and STEP, which every rank has."""
    pieces, first = WEIGHT.chunk(count), 0
    for index in range(count):
        rows = pieces[index] if index < len(pieces) else WEIGHT[:0]
        mine: dict[str, Tensor] = {"weight": rows.contiguous()} if len(rows) else {}
        header = {"weight": [first, len(WEIGHT)]} if len(rows) else {}
        mine |= {"step": STEP} if index == 0 else {}
        save_file(mine, share_file(folder, "policy", index, count), metadata={"rows": json.dumps(header)})
        first += len(rows)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_one_process_reads_what_several_wrote(tmp_path: Path, count: int):
    """Five ranks cut 7 rows into shares of 2 and leave the last one with none."""
    write_by(tmp_path, count)
    found = Shares(tmp_path, "policy", count)
    assert set(found.names()) == {"weight", "step"}
    assert torch.equal(found.read("weight", WEIGHT), WEIGHT)
    assert torch.equal(found.read("step", WEIGHT), STEP)


@pytest.mark.parametrize("count", [1, 3])
def test_each_rank_reads_its_rows(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch):
    write_by(tmp_path, count)
    found = []
    for first, num in ((0, 2), (2, 2), (4, 2), (6, 1), (7, 0)):
        rows = Rows(first, num, 7)
        monkeypatch.setattr(shares, "rows_of", lambda like, rows=rows: rows)
        found.append(Shares(tmp_path, "policy", count).read("weight", WEIGHT))
    assert torch.equal(torch.cat(found), WEIGHT)


def test_one_process_writes_the_same_form(tmp_path: Path):
    write_share(tmp_path, "policy", {"weight": WEIGHT, "step": STEP}, Ranks())
    found = load_file(tmp_path / "policy-00001-of-00001.safetensors")
    assert torch.equal(found["weight"], WEIGHT)
    assert torch.equal(Shares(tmp_path, "policy", 1).read("weight", WEIGHT), WEIGHT)


def test_entries_are_read_when_they_are_asked_for(tmp_path: Path):
    write_by(tmp_path, 3)
    fitted = Fitted(Shares(tmp_path, "policy", 3), {"weight": WEIGHT, "step": STEP, "gone": WEIGHT})
    assert (list(fitted), len(fitted)) == (["weight", "step", "gone"], 3)
    assert torch.equal(fitted["weight"], WEIGHT)
    assert "gone" not in fitted
    with pytest.raises(KeyError):
        fitted["gone"]


def test_missing_rows_and_other_shapes_are_refused(tmp_path: Path):
    write_by(tmp_path, 2)
    with pytest.raises(ValueError, match="weight has 7 rows there and 9 here"):
        Shares(tmp_path, "policy", 2).read("weight", torch.zeros(9, 3))
    second = share_file(tmp_path, "policy", 1, 2)
    save_file({}, second, metadata={"rows": "{}"})
    with pytest.raises(ValueError, match="weight: 4 of 7 rows are there"):
        Shares(tmp_path, "policy", 2).read("weight", WEIGHT)
    second.unlink()
    with pytest.raises(OSError, match="policy-00002-of-00002"):
        Shares(tmp_path, "policy", 2)
