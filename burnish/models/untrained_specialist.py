"""What a specialist is trained from, by its config alone, as `load_specialist` would make it: for plans."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.errors import ModelError
from burnish.models.load import load_config
from burnish.models.specialist import Kind, made_specialist, name_classes, side_of
from burnish.models.untrained import Untrained, text_config


def untrained_specialist(
    kind: Kind, name: str, *, classes: Sequence[str], tokenizer: PreTrainedTokenizerFast
) -> Untrained:
    """A specialist that is still to be loaded.

    Args:
        kind, name, classes, tokenizer: as for `load_specialist`.

    Raises:
        ModelError: the config cannot be read, or it is an encoder-decoder's: what a specialist computes of that depends
            on where its texts end.
    """
    config = load_config(name)
    side = side_of(config, name=name)
    if side == "encoder_decoder":
        raise ModelError(
            f"'{name}' is an encoder-decoder, and what a specialist of it costs is not foretold; start from an encoder "
            "such as BERT, or check the run alone: burnish VERB ... --dry-run"
        )
    bare = any(one.endswith("ForMaskedLM") for one in config.architectures or ())  # it brings no pooler
    name_classes(config, classes)
    token, text = tokenizer.pad_token_id, text_config(config)
    if token is not None:
        text.vocab_size = max(int(text.vocab_size), token + 1)
    config.pad_token_id = token
    return Untrained(
        config=config,
        make=partial(made_specialist, kind),
        head=partial(_head, fresh_pooler=bare),
        pooled=kind == "classify" and side == "encoder",
    )


def _head(model: PreTrainedModel, *, fresh_pooler: bool) -> list[str]:
    """Names of the parameters that train whole beside an adapter: behind the body, or not in the start's files."""
    body = f"{model.base_model_prefix}."
    names = [name for name, _ in model.named_parameters()]
    return [name for name in names if not name.startswith(body) or (fresh_pooler and ".pooler." in name)]
