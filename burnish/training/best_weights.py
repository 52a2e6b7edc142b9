"""The best weights of a run by a held-out figure, kept beside the checkpoints; and when such a run is over.

During RL the reward that is trained on goes on rising after the answers have stopped getting better (Gao et al. 2023),
so which update's weights are kept, and when to stop, goes by a figure that training never sees.

    checkpoints/best-00000040.safetensors     float32 masters of one part after update 40

Everything else is read from `metrics.jsonl`, whose lines belong to the checkpoint that a run goes on from: so nothing
of this needs to be in the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from burnish.errors import StoreError
from burnish.training.parallel import put_whole, wholes


class BestWeights:
    """Watches one metric.

    Args:
        folder: of the checkpoints.
        metric: higher is better.
        masters: the float32 weights that are kept.
        patience: looks without a new best before the run ends; None never ends it.
        writes: whether this rank writes the files; all ranks must call `look` and `put_back`.

    Attributes:
        step: the update with the best figure, 0 before the first look.
        value: the best figure.
    """

    def __init__(
        self,
        folder: Path,
        metric: str,
        masters: Mapping[str, nn.Parameter],
        *,
        patience: int | None,
        writes: bool = True,
    ) -> None:
        self.folder = folder
        self.metric = metric
        self.masters = masters
        self.patience = patience
        self.writes = writes
        self.step, self.value, self.behind = 0, float("-inf"), 0

    def restore(self, metrics: Path) -> None:
        """Go on after the looks that `metrics.jsonl` holds."""
        if metrics.is_file():
            for line in metrics.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                if row.get(self.metric) is not None:
                    self._hear(int(row["step"]), float(row[self.metric]))

    def look(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Hear the metrics of an update; True if the run is over."""
        if self.metric not in metrics:
            return False
        if self._hear(step, metrics[self.metric]):
            found = {name: value.cpu().contiguous() for name, value in wholes(self.masters) if self.writes}
            if self.writes:
                self._save(found, step)
        return self.over

    @property
    def over(self) -> bool:
        """Whether the run has waited long enough for a better one."""
        return self.patience is not None and self.behind >= self.patience

    def tidy(self) -> None:
        """Remove what is not the best; call it when a checkpoint has been written, never before."""
        for path in self.folder.glob("best-*.safetensors") if self.writes else ():
            if path != self._file(self.step):
                path.unlink()

    def put_back(self) -> None:
        """Give the masters the values of the best update.

        Raises:
            StoreError: there was no look, or its file is gone.
        """
        if not self._file(self.step).is_file():
            raise StoreError(f"the weights of update {self.step} are not in {self.folder}; start over with --overwrite")
        for name, value in load_file(self._file(self.step)).items():
            put_whole(value, self.masters[name])

    def _hear(self, step: int, value: float) -> bool:
        """Whether this is a new best."""
        better = value > self.value
        self.step, self.value = (step, value) if better else (self.step, self.value)
        self.behind = 0 if better else self.behind + 1
        return better

    def _save(self, weights: dict[str, Tensor], step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / ".best.part"
        save_file(weights, beside)
        beside.rename(self._file(step))

    def _file(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}.safetensors"
