"""Tiny models with what stands beside their weights, moved so that it matters."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from burnish.batch import Branch, Tree, pack
from burnish.models.adapters import Adapter, add_adapter
from burnish.models.bottleneck import Bottlenecks
from burnish.models.language import LanguageModel, LayoutName
from burnish.models.prefix import PrefixTuning
from burnish.models.prompt import PromptTuning
from tests.models.tiny import tiny_model

KINDS: dict[str, Adapter] = {
    "prompt": PromptTuning(length=3),
    "prompt-random": PromptTuning(length=3, start="random"),
    "prefix": PrefixTuning(length=3),
    "prefix-network": PrefixTuning(length=3, hidden=8),
    "bottleneck": Bottlenecks(width=4),
    "bottleneck-one": Bottlenecks(width=4, after="feed_forward", function="relu"),
}

PROMPT, ANSWERS = [5, 9, 13], ([7, 8, 9, 30], [21, 2])
ROWS = [(PROMPT, ANSWERS[0]), (PROMPT, ANSWERS[1]), ([40, 3], [17, 60])]
TREES = [
    Tree(id="x", prompt=PROMPT, branches=tuple(Branch(tokens=a, weights=[1.0] * len(a)) for a in ANSWERS)),
    Tree(id="y", prompt=[40, 3], branches=(Branch(tokens=[17, 60], weights=[1.0] * 2),)),
]
BATCH = pack(TREES)
LOGP = frozenset({"logp"})


def with_adapter(kind: str, name: str = "llama", *, seed: int = 0) -> PreTrainedModel:
    """A tiny model whose adapter does what cannot be overlooked."""
    model = add_adapter(tiny_model(name), KINDS[kind], seed=seed)
    assert isinstance(model, PreTrainedModel)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def logps(model: PreTrainedModel, layout: LayoutName = "tree") -> torch.Tensor:
    """Of every token of the answers, trees in one row or a row for each answer."""
    return LanguageModel(model, layout=layout)(BATCH, LOGP)["logp"]


def row_by_row(run, rows=ROWS) -> torch.Tensor:
    """The same by `run`, which takes one row of tokens and gives its logits."""
    found = []
    for prompt, answer in rows:
        logits = run(torch.tensor([prompt + answer]))[0, len(prompt) - 1 : -1].float()
        found.append(torch.log_softmax(logits, -1).gather(1, torch.tensor(answer)[:, None])[:, 0])
    return torch.cat(found)
