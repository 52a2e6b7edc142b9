"""`burnish mix`: name domains of token files and say how much of each pretraining draws.

burnish mix --data web=runs/web-tokens wiki=runs/wiki-tokens --temperature 3 --out runs/mix
burnish pretrain --model runs/base/model --data runs/mix --out runs/pretrain
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Annotated, ClassVar, cast

import pydantic

from burnish.config import setting, settings
from burnish.data.mixing.mixture import check_one_spelling, write_mixture
from burnish.data.mixing.weights import normalised, tempered
from burnish.data.tokens.files import TokenFiles
from burnish.stages.curate import Paths
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code

Weight = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


@settings
class MixStage(Stage):
    """Write a mixture of domains."""

    verb: ClassVar[str] = "mix"

    data: Paths = setting(..., "folders of token files, by domain", source=True)
    weights: Mapping[str, Weight] | None = setting(None, "of each domain, in place of weights by size")
    temperature: float = setting(1.0, "weights are sizes to the power of 1/temperature; 1 is in proportion", ge=1)
    cap: int | None = setting(None, "a larger domain counts as one of this size", unit="tokens", ge=1)
    max_epochs: float = setting(4.0, "passes over a domain at most; repeating more helps little (2305.16264)", gt=0)
    bounds: Mapping[str, Weight] | None = setting(None, "the same for single domains, such as {wiki: 2}")

    def __post_init__(self) -> None:
        if self.weights is not None and (self.temperature != 1 or self.cap is not None):
            raise ValueError("weights are given; leave out temperature and cap, which make weights from sizes")
        if self.weights is not None and self.weights.keys() != self.data.keys():
            raise ValueError(f"weights are for {', '.join(self.weights)}; expected one for each of {self._names()}")
        if unknown := [name for name in self.bounds or {} if name not in self.data]:
            raise ValueError(f"bounds: there is no domain {', '.join(unknown)}; domains are {self._names()}")

    def plan(self) -> Plan:
        """Open the token files and show the weights."""
        files, weights = self._files(), self._weights()
        lines = tuple(f"{name}: {files[name].num_tokens:,} tokens, weight {weights[name]:.4f}" for name in files)
        return Plan(lines=lines, facts={"weights": weights})

    def run(self, work: Work) -> None:
        """Write `mixture.json`."""
        plan, weights = self.plan(), self._weights()
        bounds = {name: (self.bounds or {}).get(name, self.max_epochs) for name in self.data}
        write_mixture(work.out, self.data, weights, bounds)
        work.record({"weights": weights})
        for line in plan.lines:
            work.say(line)

    def code(self) -> tuple[Code, ...]:
        """What makes weights of sizes, and writes them."""
        return tuple(cast(FunctionType, function) for function in (tempered, write_mixture))

    def _names(self) -> str:
        return ", ".join(self.data)

    def _files(self) -> dict[str, TokenFiles]:
        files = {name: TokenFiles(Path(path).expanduser()) for name, path in self.data.items()}
        check_one_spelling(files)
        return files

    def _weights(self) -> dict[str, float]:
        if self.weights is not None:
            return normalised({name: self.weights[name] for name in self.data})
        sizes = {name: files.num_tokens for name, files in self._files().items()}
        return tempered(sizes, temperature=self.temperature, cap=self.cap)
