"""`burnish new-model`: a model with its first weights, from one dial and a tokenizer.

    burnish new-model --family llama --depth 6 --tokenizer runs/tokenizer --out runs/new
    burnish pretrain --model runs/new --data corpus.txt --out runs/base

`burnish.models.families` states how the sizes follow from the depth, `burnish.models.initial` how weights start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import FunctionType
from typing import Any, ClassVar, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.config import dump, setting, settings
from burnish.errors import ConfigError
from burnish.models.bidirectional import save_bidirectional
from burnish.models.card import new_model_card
from burnish.models.families import UNTOUCHED, Balance, FamilyName, Shape, Sizes, config_of, shape_of
from burnish.models.gate import MODEL_TYPE
from burnish.models.initial import KINDS, Initial, new_model
from burnish.models.parameters import by_part, counted
from burnish.models.save import SaveDtype, save_model
from burnish.models.vocabulary import tokenizer_at
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText


@settings
class NewModelStage(Stage):
    """Make an untrained model."""

    verb: ClassVar[str] = "new-model"

    tokenizer: str = setting(..., "folder or tokenizer.json, or a model whose tokenizer is used", source=True)
    family: FamilyName = setting(
        "llama", "llama decodes, bert fills masks, t5 encodes and decodes, moe decodes with a mixture of experts"
    )
    depth: int = setting(6, "the dial: layers, from which the other sizes follow", unit="layers", ge=1)
    sizes: Sizes = setting(Sizes(), "sizes given by name in place of their rules")
    balance: Balance = setting(UNTOUCHED, "what keeps the experts evenly busy in training (moe)")
    initial: Initial = setting("xavier", "how matrices start; family does what transformers does")
    zero_residual: bool = setting(True, "start the matrices that write into the residual stream at 0")
    seed: int = setting(0, "of the weights")
    save_dtype: SaveDtype = setting("float32", "of the saved weights")
    template: TemplateSettings = setting(TemplateSettings(), "the chat template that later stages will use, if any")

    def plan(self) -> Plan:
        """Count the parameters of the model that would be made."""
        shape, text = self._shape(), self._text()
        with torch.device("meta"):
            config = config_of(shape, text.tokenizer, self.balance)
            model = KINDS[self.family].from_config(config, dtype=torch.float32)
        parts = by_part(model)
        lines = (*_lines(shape, parts), *_active(model))
        return Plan(lines=lines, facts={"shape": dataclasses.asdict(shape), "parameters": parts})

    def run(self, work: Work) -> None:
        """Make the model, save it, read it back and compare."""
        shape, text = self._shape(), self._text()
        model = new_model(
            shape,
            text.tokenizer,
            initial=self.initial,
            zero_residual=self.zero_residual,
            balance=self.balance,
            seed=self.seed,
        )
        parts = by_part(model)
        _save(model, text, work, dtype=self.save_dtype)
        card = new_model_card(self.verb, dump(self), dataclasses.asdict(shape), parts)
        (work.out / "model" / "README.md").write_text(card, encoding="utf-8")
        work.record({"template_hash": text.hash, "shape": dataclasses.asdict(shape), "parameters": parts})
        for line in (*_lines(shape, parts), *_active(model)):
            work.say(line)

    def code(self) -> tuple[Code, ...]:
        """What decides sizes and weights."""
        return tuple(cast(FunctionType, function) for function in (shape_of, config_of, new_model))

    def _shape(self) -> Shape:
        shape = shape_of(self.family, self.depth, self.sizes)
        if self.family != "moe" and self.balance != UNTOUCHED:
            raise ConfigError([f"balance is for experts, and {self.family} has none; leave it out, or take family moe"])
        return shape

    def _text(self) -> ChatText:
        return ChatText(tokenizer_at(self.tokenizer), self.template)


def _save(model: PreTrainedModel, text: ChatText, work: Work, *, dtype: SaveDtype) -> None:
    tokenizer: PreTrainedTokenizerFast = text.tokenizer
    save = save_model if model.config.model_type in ("llama", MODEL_TYPE) else save_bidirectional
    save(model, tokenizer, work.out / "model", template_hash=text.hash, dtype=dtype)


def _lines(shape: Shape, parts: Mapping[str, int]) -> list[str]:
    """The sizes and the account of parameters, for people."""
    values: dict[str, Any] = dataclasses.asdict(shape)
    named = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items() if value is not None)
    total = sum(parts.values())
    rows = [f"{name.replace('_', ' '):<14}{count:>16,}{count / total:>8.1%}" for name, count in parts.items()]
    return [named, *rows, f"{'all':<14}{total:>16,}"]


def _active(model: PreTrainedModel) -> list[str]:
    """What a token goes through, of a model with experts."""
    if model.config.model_type != MODEL_TYPE:
        return []
    found = counted(model)
    rows = {"in experts": found.experts, "active": found.active}
    return [f"{name:<14}{count:>16,}{count / found.total:>8.1%}" for name, count in rows.items()]
