"""A ladder of small models as one recipe: every size, every number of tokens, then the law and a report.

    d1 ──► d1-1000000, d1-2000000, d1-4000000 ─┐
    d2 ──► d2-1000000, ...                     ├──► law ──► report
    d3 ──► ...                                 ┘

Each pair of size and tokens is a run of its own, because its schedule has to end with its tokens: a look at a longer
run on its way has a learning rate that has not come down yet (Hoffmann et al. 2022, section 3.1). As artefacts of one
recipe the runs are made once, a killed ladder goes on where it was, and a rung that is added costs that rung alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml

from burnish.config import dump, setting, settings
from burnish.data.tokens.files import TokenFiles
from burnish.data.tokens.layout import MANIFEST
from burnish.errors import DataError, StoreError
from burnish.evals.scaling_law import LEAST_SIZES
from burnish.models.families import Sizes
from burnish.stages.streamed import is_streamed
from burnish.stages.updates import Training
from burnish.training.optimizer import AdamW
from burnish.training.schedule import Cosine

HEADER = "# Written by burnish scaling ladder; it writes this file again, so change a copy.\n"

Depth = Annotated[int, pydantic.Field(ge=1)]
Tokens = Annotated[float, pydantic.Field(ge=1, allow_inf_nan=False)]
Budget = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]

TRAIN = Training(
    batch_size=16,
    optimizer=AdamW(learning_rate=2e-3, beta2=0.95, weight_decay=0.1),
    schedule=Cosine(warmup=10),
)
"""How the models train unless told otherwise: the recipe of docs/pretraining.md, its warmup cut for short runs."""


@settings
class Ladder:
    """What a ladder is made of."""

    tokenizer: str = setting(..., "tokenizer of all models: folder or tokenizer.json")
    data: str = setting(..., "token files or a mixture of some, made with that tokenizer")
    held_out_data: str = setting(..., "text to measure the loss on: file, folder or hub name")
    depths: tuple[Depth, ...] = setting((1, 2, 3, 4), "the dial of each model", unit="layers")
    tokens: tuple[Tokens, ...] = setting((5e5, 1e6, 2e6, 4e6), "that each model is trained on", unit="tokens")
    sizes: Sizes = setting(Sizes(), "sizes that all models share in place of their rules")
    max_tokens: int = setting(256, "in a segment, the token before it included", unit="tokens", ge=2)
    train: Training = setting(TRAIN, "how the models train")
    budgets: tuple[Budget, ...] = setting((), "to be planned for, by 6 N D", unit="operations")
    seed: int = setting(0, "of the weights and of the order of the data")

    def __post_init__(self) -> None:
        for name, values in (("depths", self.depths), ("tokens", self.tokens)):
            if len(set(values)) < max(len(values), LEAST_SIZES):
                found = ", ".join(f"{value:g}" for value in values)
                raise ValueError(f"{name} are {found}; give {LEAST_SIZES} or more, all different")
        if self.train.epochs is not None:
            raise ValueError("train.epochs is given; the tokens of each run say how long it is, leave it out")
        if twice := [steps for steps, count in Counter(map(self.steps_for, self.tokens)).items() if count > 1]:
            raise ValueError(
                f"several of the tokens come to {twice[0]} updates of {self.tokens_per_update} tokens; set them "
                "further apart, or train.batch_size lower"
            )

    @property
    def tokens_per_update(self) -> int:
        """That are predicted."""
        return self.train.batch_size * (self.max_tokens - 1)

    def steps_for(self, tokens: float) -> int:
        """Updates that come nearest to so many tokens."""
        return max(1, round(tokens / self.tokens_per_update))


def write_ladder(ladder: Ladder, out: Path) -> Path:
    """Write the recipe of a ladder beside the folder that it publishes into; returns the file.

    Raises:
        DataError: the data are no token files, or too few of them.
        StoreError: another file stands there.
    """
    _require_tokens(ladder)
    path = out.with_name(f"{out.name}.yaml")
    if path.exists() and not path.read_text(encoding="utf-8").startswith(HEADER):
        raise StoreError(f"{path} is no recipe of a ladder; choose another --out, or move the file away")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(ladder_recipe(ladder, out), sort_keys=False, allow_unicode=True)
    path.write_text(HEADER + text, encoding="utf-8")
    return path


def ladder_recipe(ladder: Ladder, out: Path) -> dict[str, Any]:
    """The recipe as plain data."""
    models = {f"d{depth}": _model(ladder, depth) for depth in ladder.depths}
    runs = dict(_runs(ladder))
    law = {
        "use": "scaling",
        "runs": {name: f"@{name}" for name in runs},
        "budgets": list(ladder.budgets),
    }
    report = {"use": "report", "runs": {"law": "@law"}, "title": "A ladder of small models"}
    return {
        "name": out.name,
        "seed": ladder.seed,
        "out": str(out),
        "stages": {**models, **runs, "law": law, "report": report},
        "publish": {"report.html": "@report/report.html", "scores.json": "@law/scores.json"},
    }


def _model(ladder: Ladder, depth: int) -> dict[str, Any]:
    sizes = {name: value for name, value in dump(ladder.sizes).items() if value is not None}
    return {"use": "new-model", "tokenizer": ladder.tokenizer, "depth": depth, "sizes": sizes}


def _runs(ladder: Ladder) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each run by name; the held-out data are looked at once, at its end."""
    for depth in ladder.depths:
        for tokens in ladder.tokens:
            steps = ladder.steps_for(tokens)
            yield (
                f"d{depth}-{round(tokens)}",
                {
                    "use": "pretrain",
                    "model": f"@d{depth}",
                    "data": ladder.data,
                    "held_out_data": ladder.held_out_data,
                    "steps": steps,
                    "text": {"max_tokens": ladder.max_tokens},
                    "train": {**dump(ladder.train), "evaluate_every": steps},
                },
            )


def _require_tokens(ladder: Ladder) -> None:
    """Fresh tokens for the longest run; the law knows nothing of repeated ones.

    Raises:
        DataError: the data are no token files, or have fewer.
    """
    folder = Path(ladder.data).expanduser()
    if not is_streamed(ladder.data):
        raise DataError(f"data is {ladder.data}, and no token files lie there; make some with burnish tokenise")
    if (folder / MANIFEST).is_file() and (there := TokenFiles(folder).num_tokens) < max(ladder.tokens):
        raise DataError(
            f"tokens is {max(ladder.tokens):,.0f} for the longest run, and {ladder.data} has {there:,}; a scaling law "
            "is about fresh tokens, so give more data or ask for fewer"
        )
