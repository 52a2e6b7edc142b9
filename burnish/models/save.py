"""Save a model as a plain Hugging Face directory, and prove that what was saved loads as the same model.

The folder appears whole or not at all: it is written beside, read back, compared by log-probs and greedy tokens, and
only then renamed. Weights are saved in float32 unless asked otherwise: an update at a learning rate of 1e-6 is smaller
than the spacing of bf16 numbers, so rounding the weights would undo the training that made them.

`burnish.json` beside the weights carries the template's hash; every later stage compares it with its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.errors import ModelError
from burnish.models.adapters import sample_logps
from burnish.models.attached import attached
from burnish.models.four_bits import Held, held_as
from burnish.models.load import RECORD, load_model, quiet
from burnish.models.saved_adapters import write_attached
from burnish.models.wrapped import is_wrapped
from burnish.numerics import cast_weights

if TYPE_CHECKING:
    from peft import PeftModel

SaveDtype = Literal["float32", "bfloat16"]


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    template_hash: str,
    dtype: SaveDtype = "float32",
) -> None:
    """Write `folder` so that transformers loads it without Burnish.

    Args:
        model: without adapters (merge them first); its own weights are turned into `dtype`.
        tokenizer: saved with its chat template.
        folder: replaced if it exists.
        template_hash: of the template that training used.
        dtype: of the saved weights.

    Raises:
        ModelError: an adapter is attached, or the saved model, read back, differs; nothing is left in `folder` then.
    """
    if attached(model):
        raise ModelError(
            f"cannot save {folder} as a plain model: what is attached to {type(model).__name__} cannot be merged; keep "
            "it with --adapter_only true"
        )
    with written_model(model, tokenizer, folder, template_hash=template_hash, dtype=dtype) as beside:
        found = load_model(beside, dtype=getattr(torch, dtype))
        compare_logps(sample_logps(model), sample_logps(found), folder)


def save_adapter(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    template_hash: str,
    base: str,
) -> None:
    """Write the adapter alone, in float32, with the name of the model it belongs to.

    Args:
        model: with its adapter; its own weights are turned into float32.
        tokenizer: saved with its chat template.
        folder: replaced if it exists.
        template_hash: of the template that training used.
        base: the model the adapter was put on, as `load_model` takes it.

    Raises:
        ModelError: the saved adapter, put on the base again, differs.
    """
    model = model.float()
    with written(folder) as beside:
        if is_wrapped(model):
            model.peft_config["default"].base_model_name_or_path = base
            write_files(model, tokenizer, beside, template_hash=template_hash, base_weights=held_as(model))
        else:
            write_attached(model, beside, base=base)
            _write_text(tokenizer, beside, template_hash, "full")
        plain = model.get_base_model() if is_wrapped(model) else model
        compare_logps(sample_logps(plain), sample_logps(load_model(str(beside))), folder)


@contextmanager
def written_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, *, template_hash: str, dtype: SaveDtype
) -> Iterator[str]:
    """A fresh place that holds a whole model in `dtype`, to read back and compare; it becomes `folder` at the end."""
    cast_weights(model, getattr(torch, dtype))
    with written(folder) as beside:
        write_files(model, tokenizer, beside, template_hash=template_hash)
        yield str(beside)


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A fresh place to write to; it becomes `folder` at the end, unless there was an error on the way."""
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    yield beside
    _rename(beside, folder)


def write_files(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    template_hash: str,
    base_weights: Held = "full",
) -> None:
    """Write weights, tokenizer, and the record of the template and of how the base of an adapter was held."""
    with quiet():
        model.save_pretrained(folder)
    _write_text(tokenizer, folder, template_hash, base_weights)


def _write_text(tokenizer: PreTrainedTokenizerFast, folder: Path, template_hash: str, base_weights: Held) -> None:
    with quiet():
        tokenizer.save_pretrained(folder)
    record = {"template_hash": template_hash} | ({} if base_weights == "full" else {"base_weights": base_weights})
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def compare_logps(expected: Tensor, found: Tensor, folder: Path) -> None:
    """Refuse a saved model whose log-probs are not those of the model in memory.

    Args:
        expected, found: (T, V) of the model in memory and of the one read back.
        folder: for the message.

    Raises:
        ModelError: they differ by more than 0.001 nats, or a greedy token does.
    """
    gap = float((expected - found).abs().max())
    greedy = bool((expected.argmax(-1) == found.argmax(-1)).all())
    if not (gap <= 1e-3 and greedy):
        raise ModelError(f"the model saved for {folder} loads as another one: log-probs differ by {gap:.2g} nats")


def _rename(beside: Path, folder: Path) -> None:
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        beside.rename(folder)
        shutil.rmtree(old)
    else:
        beside.rename(folder)
