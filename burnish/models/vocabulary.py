"""Find a tokenizer on its own: a folder or a tokenizer.json without a model, or the tokenizer of a model.

runs/tokenizer           a folder of burnish tokenizer, or any that holds a tokenizer.json
tokenizer.json           the file; the special tokens' roles are read from tokenizer_config.json beside it
anything else            a model, as `load_tokenizer` takes it
"""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from burnish.errors import ModelError
from burnish.models.load import load_tokenizer, quiet

FOLDER = "tokenizer"
"""Where a run's folder has its tokenizer."""

_FILE = "tokenizer.json"


def tokenizer_at(name: str) -> PreTrainedTokenizerFast:
    """The tokenizer that a name stands for.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    path = Path(name).expanduser()
    places = (path.parent,) if path.name == _FILE else (path, path / FOLDER)
    folder = next((place for place in places if (place / _FILE).is_file()), None)
    if folder is None:
        return load_tokenizer(name)
    with quiet():
        try:
            found = AutoTokenizer.from_pretrained(str(folder))
        except (OSError, ValueError, KeyError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"cannot read the tokenizer in {folder}: {first}") from error
    if not isinstance(found, PreTrainedTokenizerFast):
        raise ModelError(f"the tokenizer in {folder} has no fast version; convert it with tokenizers first")
    return found
