"""The part that a policy is measured from while it trains: a language model that is only read.

Where the data is streamed, the log-probs of a reference cannot be computed before the run. So the reference is a frozen
part beside the policy, and each micro-batch goes through both.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from burnish.batch import TreeBatch
from burnish.models.language import LanguageModel


class ReferenceModel(nn.Module):
    """A language model whose log-probs are called `reference_logp`.

    Args:
        language: the model; its weights are not to be trained.
    """

    provides = frozenset({"reference_logp"})

    def __init__(self, language: LanguageModel) -> None:
        super().__init__()
        self.language = language.requires_grad_(False)

    def forward(
        self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Log-probs of the scored tokens, (N,) float32, if they are asked for."""
        if "reference_logp" not in reads:
            return {}
        return {"reference_logp": self.language(batch, frozenset({"logp"}))["logp"]}
