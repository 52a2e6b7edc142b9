"""The tensors of one part on disk: each rank's share in a safetensors file of its own, read by any number of ranks.

    policy-00001-of-00002.safetensors    the first rows of every divided tensor, and every tensor that ranks hold whole
    policy-00002-of-00002.safetensors    the other rows

The header of a file says for every divided tensor at which row its share begins and how many rows there are in all. One
process writes one file, in the same form. Nothing is gathered, and nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from burnish.training.parallel import Ranks, Rows, held, rows_of

_HEADER = "rows"


def share_file(folder: Path, part: str, index: int, count: int) -> Path:
    """The file of one rank."""
    return folder / f"{part}-{index + 1:05d}-of-{count:05d}.safetensors"


def write_share(folder: Path, part: str, tensors: Mapping[str, Tensor], ranks: Ranks) -> None:
    """Write what this rank holds of the tensors of a part; of those that every rank holds, rank 0 alone writes."""
    mine, header = {}, {}
    for name, tensor in tensors.items():
        rows = rows_of(tensor)
        if rows is not None:
            header[name] = [rows.first, rows.num_all]
        if rows.num_held if rows is not None else ranks.leads:
            mine[name] = held(tensor).cpu().contiguous()
    path = share_file(folder, part, ranks.index, ranks.count)
    save_file(mine, path, metadata={_HEADER: json.dumps(header)})


class Shares:
    """What `count` ranks wrote of a part.

    Raises:
        OSError, SafetensorError, KeyError, ValueError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, part: str, count: int) -> None:
        self._pieces: dict[str, list[tuple[int, Any]]] = {}
        self._totals: dict[str, int] = {}
        for index in range(count):
            file: Any = safe_open(share_file(folder, part, index, count), framework="pt")
            header = json.loads(file.metadata()[_HEADER])
            for name in file.keys():  # noqa: SIM118
                shape = file.get_slice(name).get_shape()
                first, total = header.get(name, (0, shape[0] if shape else None))
                self._pieces.setdefault(name, []).append((first, file))
                if total is not None:
                    self._totals[name] = total

    def names(self) -> list[str]:
        """Of all tensors."""
        return list(self._pieces)

    def read(self, name: str, like: Tensor) -> Tensor:
        """The rows that this rank needs, for a tensor that is divided as `like` is; a scalar as it is.

        Raises:
            ValueError: rows are missing, or `like` has another number of them.
        """
        if name not in self._totals:
            scalar: Tensor = self._pieces[name][0][1].get_tensor(name)
            return scalar
        wanted = rows_of(like) or Rows(0, like.shape[0], like.shape[0])
        if wanted.num_all != self._totals[name]:
            raise ValueError(f"{name} has {self._totals[name]} rows there and {wanted.num_all} here")
        pieces = [_rows(file.get_slice(name), first, wanted) for first, file in self._pieces[name]]
        rows = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        if len(rows) != wanted.num_held:
            raise ValueError(f"{name}: {len(rows)} of {wanted.num_held} rows are there")
        return rows


class Fitted(Mapping[str, Tensor]):
    """The entries of `shares` for tensors that are divided as those of `like` are; each is read when it is asked for,
    so that they are never all in memory.

    Raises:
        ValueError: from `Shares.read`.
    """

    def __init__(self, shares: Shares, like: Mapping[str, Tensor]) -> None:
        self._shares = shares
        self._like = like

    def __getitem__(self, name: str) -> Tensor:
        return self._shares.read(name, self._like[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._like)

    def __len__(self) -> int:
        return len(self._like)


def _rows(piece: Any, first: int, wanted: Rows) -> Tensor:
    """Those of the wanted rows that a piece holds, which begins at row `first`."""
    size = piece.get_shape()[0]
    start, stop = (min(max(row - first, 0), size) for row in (wanted.first, wanted.first + wanted.num_held))
    rows: Tensor = piece[start:stop]
    return rows
