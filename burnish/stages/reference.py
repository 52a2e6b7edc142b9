"""Reference log-probs of a preference run: computed in one pass before training, and shared by runs.

    key = content of the reference model, trees, template, precision, layout, budget, machine, versions, source text

The key holds everything that decides the last bit, so what is read is what would be computed. Nothing of the objective
is in it: the second run of a sweep over beta does no reference pass.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from burnish import __version__
from burnish.batch import Tree, TreeBatch
from burnish.errors import ModelError
from burnish.models.adapters import adapter_off
from burnish.models.attention import TreeLayout
from burnish.models.flex import FlexLayout, attention_for
from burnish.models.four_bits import Held, held_as
from burnish.models.language import LanguageModel, language_model
from burnish.models.logprobs import Head
from burnish.numerics import Precision, compute_dtype, default_device
from burnish.stages.prepare import Prepared, load_text
from burnish.stages.stage import Work
from burnish.stages.start import Start, started
from burnish.stages.updates import Training
from burnish.store import column_file, columns_folder, content_key, read_column, source_keys, write_column
from burnish.text.rendering import TemplateSettings
from burnish.training.columns import completion_logps, trees_digest
from burnish.training.parallel import Ranks

COLUMN = "reference_logp"


def reference_logps(
    trees: Sequence[Tree], start: Start, other: str | None, train: Training, *, template_hash: str, work: Work
) -> Sequence[Sequence[float]]:
    """Summed log-prob of each completion under the reference, nats; read if some run has computed them.

    Args:
        trees: the data.
        start: the model that the run starts from.
        other: another model that is the reference; None for the start.
        train: precision, layout and token budget.
        template_hash: of the template that made the trees.
        work: hears where they come from; its folder has the shared columns beside it.
    """
    source = start.source if other is None else other
    held = held_as(start.model) if other is None else "full"
    identity = _identity(source, held, trees, train, template_hash)
    path = column_file(columns_folder(work.out), COLUMN, identity)
    work.record({"reference": {"model": source, "key": identity["model"], "column": path.name}})
    ranks = Ranks()
    found: Sequence[Sequence[float]] | None = ranks.told(
        read_column(path, [len(tree.branches) for tree in trees]) if work.leads else None
    )
    if found is not None:
        work.say(f"reference log-probs of {len(trees)} examples read from the cache ({path})")
        return found
    work.say(f"computing reference log-probs of {len(trees)} examples with {source}")
    clock = time.monotonic()
    if other is None:
        with adapter_off(start.model):
            values = _computed(trees, start, train, ranks)
    else:  # with whatever stands beside its weights
        values = _computed(trees, _loaded(other, train), train, ranks)
    if work.leads:
        write_column(path, values, identity)
    work.say(f"reference log-probs of {len(trees)} examples computed in {time.monotonic() - clock:.1f} s")
    return values


def check_reference(reference: str, prepared: Prepared, template: TemplateSettings, *, model: str) -> None:
    """Refuse a reference that reads the same text as other tokens.

    Raises:
        ModelError: its tokenizer or template is not the policy's.
    """
    if load_text(reference, template).hash != prepared.template_hash:
        raise ModelError(
            f"the reference {reference} and the model {model} have different tokenizers or chat templates, so their "
            "log-probs are not of the same tokens; name a reference with the model's own, or leave --reference out"
        )


def _computed(trees: Sequence[Tree], reference: Start, train: Training, ranks: Ranks) -> list[tuple[float, ...]]:
    device = next(reference.module.parameters()).device
    budget, cost = train.token_budget, reference.cost
    return completion_logps(reference.module, trees, budget=budget, cost=cost, device=device, ranks=ranks)


def _loaded(source: str, train: Training) -> Start:
    reference = started(source, lambda model: language_model(model, layout=train.layout), adapter=None, seed=0)
    return reference.put(default_device(), train.precision, train.divide)


def _identity(source: str, held: Held, trees: Sequence[Tree], train: Training, template_hash: str) -> Mapping[str, Any]:
    return {
        "model": content_key(source),
        "weights": held,
        "trees": trees_digest(trees),
        "template": template_hash,
        "layout": train.layout,
        "attention": attention_for(default_device())[0],
        "token_budget": train.token_budget,
        **_numerics(train.precision),
        "versions": {"burnish": __version__, "torch": torch.__version__, "transformers": transformers.__version__},
        "code": source_keys((LanguageModel, TreeLayout, FlexLayout, Head, TreeBatch)),
    }


def _numerics(precision: Precision) -> dict[str, Any]:
    """What decides the last bits besides settings and versions."""
    device = default_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    dtype = compute_dtype(precision, device)
    return {"dtype": str(dtype), "device": f"{device.type} {name}", "threads": torch.get_num_threads()}
