"""From the sums of micro-batches to the numbers of an update: shares of the loss, metrics, the norm of the gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from burnish.errors import NonFinite, TrainingError
from burnish.metrics import Mean, Metric, values
from burnish.objectives.objective import Loss
from burnish.training.parallel import whole


def share_of_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The micro-batch's share of the loss. A term whose global weight is 0 adds nothing."""
    if set(terms) != set(weights):
        raise TrainingError(f"the loss has terms {sorted(terms)}, but weights {sorted(weights)}; they must be the same")
    return torch.stack(
        [terms[name] / weight if (weight := weights[name]) else terms[name] * 0.0 for name in terms]
    ).sum()


def metrics_of(loss: Loss, weights: Mapping[str, float]) -> dict[str, Metric]:
    """The terms as means, and the objective's own metrics."""
    terms: dict[str, Metric] = {
        f"term_{name}": Mean(float(term.detach()), weights[name]) for name, term in loss.terms.items()
    }
    return terms | dict(loss.metrics)


def numbers_of(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Reduced metrics as plain numbers, with the total loss; a single term needs no name of its own."""
    found = {name: float(value) for name, value in values(metrics).items()}
    terms = {name: found.pop(name) for name in list(found) if name.startswith("term_")}
    total = sum(value for name, value in terms.items() if not _is_empty(metrics[name]))
    named = {name.removeprefix("term_"): value for name, value in terms.items()} if len(terms) > 1 else {}
    return {"loss": total, **named, **found}


def _is_empty(metric: Metric) -> bool:
    return isinstance(metric, Mean) and metric.weight == 0


def require_finite(total: Tensor, terms: Mapping[str, Tensor], ids: Sequence[str]) -> None:
    """Stop at a loss that is NaN or infinite.

    Raises:
        NonFinite: names the terms and the examples.
    """
    if not torch.isfinite(total):
        shown = ", ".join(f"{name} = {float(term.detach())}" for name, term in terms.items())
        raise NonFinite(f"the loss is not finite before the update ({shown}); examples: {', '.join(ids[:8])}")


def whole_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Norm of all gradients together; of sharded ones the norm of the whole."""
    kinds = {type(gradient) for gradient in gradients}
    norms = [whole(get_total_norm([g for g in gradients if type(g) is kind])) for kind in kinds]
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
