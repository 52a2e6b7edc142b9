"""What both sides are given: one model, and the rows as token ids, in one order.

    .cache/benchmarks/cpu/model/     the model, float32, as transformers loads it
    .cache/benchmarks/cpu/sft.json   the case of a work

Both sides read the same tokens, so neither chat templates nor tokenizers can make a difference, and the time of
tokenising is on neither side (`load` and `resume` begin at the text). `cases.py` writes them. Within a global batch the
rows stand in the order of their length, so that a peer which cuts it into micro-batches pads least.

Imports nothing but the standard library: both sides read it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Side = Literal["ours", "peer"]
Mode = Literal["measure", "agree"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One prompt with its answers as token ids; of a pair the chosen one stands first.

    Attributes:
        text: the prompt as a user's message, for a peer that takes text alone.
    """

    prompt: list[int]
    answers: list[list[int]]
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The data of a work.

    Attributes:
        rows: in the order in which they are trained on.
        agree: which of them are compared in float32: the shortest.
        head: of the reward model, D numbers.
        rewards: of given answers.
    """

    rows: list[Row]
    agree: list[int]
    head: list[float]
    rewards: list[float]

    @property
    def compared(self) -> list[Row]:
        """The rows of `agree`."""
        return [self.rows[index] for index in self.agree]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Case:
        """What `write` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row(**row) for row in fields.pop("rows")]
        return cls(rows=rows, **fields)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one fresh process is asked to do; it reads this from a file and writes its result beside it.

    Attributes:
        work: name in `works.WORKS`.
        mode: measure in bf16, or compute what must agree in float32.
        folder: of the cases and the model.
        out: an empty folder for what the process writes.
        device: cpu or cuda.
        updates: how many are timed.
        settings: of the peer, from its tuning; ours has none.
    """

    work: str
    mode: Mode
    folder: str
    out: str
    device: str
    updates: int
    settings: dict[str, Any]

    @property
    def case(self) -> Case:
        """The rows."""
        return Case.read(Path(self.folder) / f"{self.work}.json")

    @property
    def model(self) -> str:
        """The folder of the model."""
        return str(Path(self.folder) / "model")

    @property
    def bf16(self) -> bool:
        """Whether products are computed in bf16; what must agree is computed in float32."""
        return self.mode == "measure"

    def write(self) -> Path:
        """Into `out`; returns the file."""
        path = Path(self.out) / "request.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Request:
        """What `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def result_file(out: Path) -> Path:
    """Where a process leaves its result."""
    return out / "result.json"


def gradient_file(out: str) -> Path:
    """Where a process leaves the gradient that must agree, one float32 tensor per parameter."""
    return Path(out) / "gradient.safetensors"
