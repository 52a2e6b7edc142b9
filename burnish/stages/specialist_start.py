"""What a specialist's training starts from, and what becomes of it: rows as items, a model with its head, its weights.

    rows ──► Labels ─┐
    model ─► SpecialistStart ──► training (specialist.py) ──► the float32 masters put back, an adapter merged

The counterpart of start.py for models that are no language models: an adapter goes beside the head, which trains whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.batch import Item
from burnish.models.adapters import with_whole_weights
from burnish.models.lora import Dora, Lora, add_lora
from burnish.models.specialist import compare_logits, probe_logits
from burnish.models.wrapped import is_wrapped
from burnish.stages.start import own_memory
from burnish.text.template import ChatText
from burnish.training.optimizer import put
from burnish.training.part import trainable_parameters
from burnish.training.trainer import Trainer

if TYPE_CHECKING:
    from peft import PeftModel

RowT = TypeVar("RowT")
ItemT = TypeVar("ItemT", bound=Item)

PART = "model"
"""The one part that a specialist's trainer has."""


@dataclass(frozen=True, kw_only=True)
class Labels(Generic[RowT, ItemT]):
    """Data as a specialist's trainer takes it.

    Attributes:
        tokenizer: to save with the model.
        template_hash: of its chat text.
        classes: by number; empty where there are none.
        train, held_out: items to train on and to look at.
        held_out_rows: rows to predict at the end.
        facts: counts for the record.
    """

    tokenizer: PreTrainedTokenizerFast
    template_hash: str
    classes: tuple[str, ...]
    train: Sequence[ItemT]
    held_out: Sequence[ItemT]
    held_out_rows: Sequence[RowT]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SpecialistStart:
    """A model with its head, ready to be trained.

    Attributes:
        plain: the transformers model.
        model: the same, wrapped if it has an adapter.
        part: what is trained over it.
        exact: float32 values of the trainable parameters, from before the model was rounded.
    """

    plain: PreTrainedModel
    model: PreTrainedModel | PeftModel
    part: nn.Module
    exact: Mapping[str, Tensor]


def specialist_start(
    plain: PreTrainedModel, head: Sequence[str], part: nn.Module, *, adapter: Lora | Dora | None, seed: int
) -> SpecialistStart:
    """A model on the CPU in float32, with what is trained marked: all of it, or an adapter and the head.

    Args:
        plain: the start model.
        head: names of the parameters of its head, none if nothing but the adapter is to train.
        part: what is trained over it.
        adapter: to put beside the head; None trains all weights.
        seed: of the adapter's first values.
    """
    named = dict(plain.named_parameters())
    heads = [named[name] for name in head]
    if adapter is None:
        model: PreTrainedModel | PeftModel = own_memory(plain).requires_grad_(True)
    else:
        layers = {name.rpartition(".")[0] for name in head}
        model = add_lora(plain, _beside_head(adapter, plain, layers), seed=seed, beside=layers)
        for parameter in heads:
            parameter.requires_grad_(True)
    exact = {name: value.detach() for name, value in trainable_parameters(part).items()}
    return SpecialistStart(plain=plain, model=model, part=part, exact=exact)


def learned_specialist(
    start: SpecialistStart, trainer: Trainer[ItemT], again: Callable[[], SpecialistStart]
) -> SpecialistStart | None:
    """The start model with the float32 masters, an adapter merged; None on ranks that do not lead.

    Args:
        start: was trained.
        trainer: holds the masters.
        again: makes the start once more: beside an adapter, the weights that do not train were rounded.

    Raises:
        ModelError: with its adapter merged, the model gives other logits.
    """
    if not trainer.ranks.leads:
        return None
    if is_wrapped(start.model):
        start = again()
    else:
        start.part.float()
    put(trainer.optimizers[PART].masters.items(), start.part)
    start.part.requires_grad_(False).eval()
    return replace(start, plain=_merged(start.model)) if is_wrapped(start.model) else start


def chat_hash(tokenizer: PreTrainedTokenizerFast) -> str:
    """The hash of a tokenizer's chat text, which is saved with every model."""
    return ChatText(tokenizer).hash


def _beside_head(lora: Lora | Dora, model: PreTrainedModel, head: Collection[str]) -> Lora | Dora:
    """The adapter's targets: those given, or every linear layer that is not the head's, which trains whole."""
    if lora.targets or not head:
        return lora
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name not in head]
    return replace(lora, targets=tuple(layers))


def _merged(model: PeftModel) -> PreTrainedModel:
    """The model with its adapter folded into the weights, in float32.

    Raises:
        ModelError: the merged model gives other logits.
    """
    model = model.float().eval()
    before = probe_logits(model.get_base_model())
    plain: PreTrainedModel = with_whole_weights(model).merge_and_unload(safe_merge=True)
    compare_logits(before, probe_logits(plain), "the merged adapter")
    return plain.requires_grad_(False)
