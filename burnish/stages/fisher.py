"""`burnish fisher`: how much each weight of a language model matters to what it does on data, for `ewc`.

    burnish fisher --model runs/base --data web.jsonl --out runs/fisher
    burnish pretrain --model runs/base --data code.jsonl --ewc.fisher runs/fisher --ewc.strength 1e4 --out runs/held

The folder holds `fisher.safetensors`, a float32 number for each parameter, and `scores.json` says over how much it was
estimated. It belongs to the weights of its model: digests of these go with it, and `ewc` refuses any others. Verbs that
train other models than language models write the same file at their end, where their setting `fisher` asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from burnish.batch import Item, Tree
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
from burnish.training.fisher import Fisher, Source, diagonal_fisher, weight_digests
from burnish.training.targets import Reader

FISHER = "fisher.safetensors"
DIGESTS = "weights"
"""Under which the file's metadata say what weights it belongs to: a digest of each by its name, as JSON."""

ItemT = TypeVar("ItemT")


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
        digests = weight_digests(model.named_parameters())
        device = default_device()
        part: LanguageModel = language_model(model)
        part.to(device)
        cast_weights(model, compute_dtype(self.precision, device))
        found = diagonal_fisher(part, trees, source=self.labels, seed=self.seed, device=device)
        write_fisher(work.out, found, digests)
        scores = _figures(found, self.labels)
        write_scores(work, scores)
        work.say(
            f"estimated over {found.num_examples} examples, {found.num_targets} tokens; trace {scores['trace']:.4g}"
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
        return prepared, drawn_examples(prepared.trees, self.examples, seed=self.seed)


def _figures(found: Fisher, labels: Source) -> dict[str, Any]:
    """What people want to know of an estimate."""
    flat = torch.cat([value.flatten() for value in found.values.values()])
    largest = flat.topk(max(1, len(flat) // 100)).values
    trace = float(flat.sum(dtype=torch.float64))
    return {
        "labels": labels,
        "examples": found.num_examples,
        "targets": found.num_targets,
        "parameters": len(flat),
        "trace": trace,
        "mean": trace / len(flat),
        "share_of_largest_hundredth": float(largest.double().sum()) / trace if trace else 0.0,
    }


def drawn_examples(items: Sequence[ItemT], count: int, *, seed: int) -> list[ItemT]:
    """As many of the items, in their order; all if there are fewer."""
    order = torch.randperm(len(items), generator=generator_from(seed, "fisher examples")).tolist()
    return [items[place] for place in sorted(order[:count])]


def estimate(part: Reader, items: Sequence[Item], work: Work, *, seed: int) -> None:
    """Estimate what each weight of a trained model matters, by sampled targets in float32, and write it beside the run.

    Args:
        part: with the weights that were saved, on the CPU in float32; they are given gradients.
        items: the examples.
        work: of the run.
        seed: of the draw of targets.
    """
    digests = weight_digests(part.model.named_parameters())
    device = default_device()
    part.to(device)
    part.model.requires_grad_(True)
    found = diagonal_fisher(part, items, source="sampled", seed=seed, device=device)
    part.model.requires_grad_(False)
    write_fisher(work.out, found, digests)
    figures = _figures(found, "sampled")
    work.record({"fisher": figures})
    work.say(f"what each weight matters: {found.num_examples} examples, trace {figures['trace']:.4g}, in {FISHER}")


def write_fisher(folder: Path, found: Fisher, digests: Mapping[str, str]) -> None:
    """Write an estimate, with the digests of the weights that it belongs to."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{FISHER}.part"
    save_file(found.values, beside, metadata={DIGESTS: json.dumps(digests)})
    beside.replace(folder / FISHER)


def read_fisher(folder: str) -> tuple[Mapping[str, torch.Tensor], Mapping[str, str]]:
    """The estimate in a folder, and the digests of the weights that it belongs to, both by name.

    Raises:
        StoreError: there is none.
        ModelError: the file cannot be read.
    """
    path = Path(folder).expanduser() / FISHER
    if not path.is_file():
        raise StoreError(f"{folder} holds no {FISHER}; make one with: burnish fisher --out {folder}")
    try:
        with safe_open(path, framework="pt") as file:
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return values, dict(json.loads(file.metadata()[DIGESTS]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as an estimate of the Fisher information: {error}") from error
