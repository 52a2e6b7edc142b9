"""Supervised fine-tuning and causal language modelling: the negative log-likelihood of the scored tokens.

    L = - sum_n w_n log p(y_n | x, y_<n)  /  sum_n w_n

The weights w_n are 1 on what the model must say and 0 on everything else, so a conversation's user turns and the
template's own tokens teach nothing; they were left out of the batch before. Dividing by the tokens of the whole global
batch makes a token count the same in a short and in a long answer, however the batch is split (lifecycle document,
sections 1.2.1 and 2.2).

`CausalLM` is the same loss over plain text; it also reports the perplexity, e to the power of the loss, and bits per
byte, which alone does not depend on the tokenizer:

    bits per byte = - sum_n log2 p(y_n | y_<n)  /  bytes of the text
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.metrics import Mean, Metric, Number, Perplexity
from burnish.objectives.objective import Loss, Objective, Outputs


@settings
class SFT(Objective):
    """Negative log-likelihood of the completions, per token."""

    kind: Literal["sft"] = setting("sft", "supervised fine-tuning")

    def check(self, items: Sequence[Tree]) -> None:
        """Every completion must have a supervised token."""
        for tree in items:
            if not tree.branches or any(branch.num_scored == 0 for branch in tree.branches):
                raise DataError(f"example '{tree.id}' has no supervised token; nothing could be learned from it")

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The summed weight of the scored tokens."""
        return {"nll": float(batch.weight_N.sum())}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed negative log-likelihood."""
        return Loss(terms={"nll": -(batch.weight_N * outputs["logp"]).sum()})


@settings
class CausalLM(Objective):
    """Negative log-likelihood of plain text, per token, with perplexity and bits per byte."""

    kind: Literal["causal_lm"] = setting("causal_lm", "causal language modelling")

    @property
    def needs(self) -> tuple[str, ...]:
        """`num_bytes`: length of each text in UTF-8."""
        return ("num_bytes",)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of scored tokens."""
        return {"nll": float(batch.weight_N.sum())}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed negative log-likelihood."""
        total = -(batch.weight_N * outputs["logp"]).sum()
        nats = float(total.detach())
        metrics: dict[str, Metric] = {
            "bits_per_byte": Mean(nats / math.log(2), float(batch.columns["num_bytes"].sum())),
            "perplexity": Perplexity(nats, float(batch.weight_N.sum())),
        }
        return Loss(terms={"nll": total}, metrics=metrics)
