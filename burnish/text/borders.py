"""The tokenizer of a specialist: what stands around a text, so that transformers' pipelines read what training read.

    encoder            CLS text SEP        CLS text SEP second text SEP        (types 0 and 1)
    encoder-decoder    text END
    causal             as the tokenizer has it, with a padding token that is no other token

A tokenizer that brings borders keeps them. One that has none, as those that `burnish tokenizer` trains, gets them: its
begin and end tokens serve as CLS and SEP where it has no such tokens.
"""

from __future__ import annotations

import copy
from typing import Literal

from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from burnish.errors import ModelError
from burnish.text.tokenizer import PADDING

Side = Literal["encoder", "encoder_decoder", "causal"]
"""What kind of model reads the text."""


def bordered(
    tokenizer: PreTrainedTokenizerFast, side: Side, *, max_tokens: int, types: bool
) -> PreTrainedTokenizerFast:
    """A copy of `tokenizer` that puts borders around texts, pads on the right and cuts at `max_tokens`.

    Args:
        tokenizer: not changed.
        side: of the model.
        max_tokens: longest row, borders included.
        types: whether the model tells the two texts of a pair by types.

    Raises:
        ModelError: it has no end token to make a border of.
    """
    copied = copy.deepcopy(tokenizer)
    if side == "causal":
        _separate_padding(copied)
    elif not copied.num_special_tokens_to_add(pair=False):
        _add_borders(copied, side)
    copied.padding_side = copied.truncation_side = "right"
    copied.model_max_length = max_tokens
    names = ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"]
    copied.model_input_names = copied.init_kwargs["model_input_names"] = names
    return copied


def _separate_padding(tokenizer: PreTrainedTokenizerFast) -> None:
    """transformers' causal classifiers read the last token that is no padding, so no text may end with it."""
    if tokenizer.pad_token is None or tokenizer.pad_token in (tokenizer.eos_token, tokenizer.bos_token):
        tokenizer.add_special_tokens({"pad_token": PADDING})


def _add_borders(tokenizer: PreTrainedTokenizerFast, side: Side) -> None:
    end = tokenizer.sep_token or tokenizer.eos_token
    if end is None:
        raise ModelError("the tokenizer has no end token to end texts with; set eos_token in its tokenizer_config.json")
    begin = tokenizer.cls_token or tokenizer.bos_token or end
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in dict.fromkeys((begin, end))]
    front = "" if side == "encoder_decoder" else f"{begin} "
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{front}$A {end}", pair=f"{front}$A {end} $B:1 {end}:1", special_tokens=ids
    )
    if side == "encoder":
        tokenizer.cls_token, tokenizer.sep_token = begin, end
