"""The mixture file: named domains of token files with their weights and bounds; `mixture.json` in a folder.

    {"domains": {
       "web":  {"tokens": "../web-tokens",  "weight": 0.7, "max_epochs": 4, "num_tokens": 81234567, "digest": "…"},
       "wiki": {"tokens": "../wiki-tokens", "weight": 0.3, "max_epochs": 2, "num_tokens": 1234567,  "digest": "…"}}}

Whatever decides the weights (sizes, a person, a small model's losses) writes this file, and pretraining reads it.
`tokens` is a folder of token files, seen from the mixture's folder; `digest` is that of its manifest, so a mixture
does not go on with other tokens than it was made for.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.data.curate.atomic import read_json, write_json
from burnish.data.tokens.files import TokenFiles
from burnish.data.tokens.layout import manifest_digest
from burnish.errors import DataError, shown

MIXTURE = "mixture.json"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A domain of a mixture.

    Attributes:
        tokens: folder of its token files, seen from the mixture's.
        weight: its share, above 0.
        max_epochs: how often it may be gone through, None for no bound.
        num_tokens: that it has.
        digest: of the manifest of its token files.
    """

    tokens: str
    weight: float
    max_epochs: float | None
    num_tokens: int
    digest: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"weight is {self.weight}; expected a number above 0, or leave the domain out")
        if self.max_epochs is not None and not self.max_epochs > 0:
            raise ValueError(f"max_epochs is {self.max_epochs}; expected a number above 0, or null for no bound")


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture that was read.

    Attributes:
        parts: by name.
        files: the token files of each.
    """

    parts: Mapping[str, Part]
    files: Mapping[str, TokenFiles]


def write_mixture(
    folder: Path, tokens: Mapping[str, str], weights: Mapping[str, float], max_epochs: Mapping[str, float | None]
) -> None:
    """Write the mixture file.

    Args:
        folder: it is written into.
        tokens: folder of token files by domain.
        weights, max_epochs: of each domain.

    Raises:
        DataError: a domain has no token files.
    """
    parts = {
        name: dataclasses.asdict(
            Part(
                tokens=os.path.relpath(Path(path).expanduser().resolve(), folder.resolve()),
                weight=weights[name],
                max_epochs=max_epochs[name],
                num_tokens=TokenFiles(Path(path).expanduser()).num_tokens,
                digest=manifest_digest(Path(path).expanduser()),
            )
        )
        for name, path in tokens.items()
    }
    write_json(folder / MIXTURE, {"domains": parts})


def read_mixture(folder: Path) -> Mixture:
    """The mixture in a folder.

    Raises:
        DataError: there is none, something in it is wrong, or its tokens have changed or speak different tokenizers.
    """
    parts = _parts(folder / MIXTURE)
    files: dict[str, TokenFiles] = {}
    for name, part in parts.items():
        place = folder / part.tokens
        files[name] = TokenFiles(place)
        if manifest_digest(place) != part.digest:
            raise DataError(
                f"{folder / MIXTURE}: the token files of '{name}' in {place} are not those that the mixture was made "
                "for; make it anew with burnish mix"
            )
    check_one_spelling(files)
    return Mixture(parts=parts, files=files)


def check_one_spelling(files: Mapping[str, TokenFiles]) -> None:
    """Refuse domains whose token ids do not mean the same.

    Raises:
        DataError: names two that differ.
    """
    first, *others = files
    for name in others:
        if files[name].spelling != files[first].spelling:
            raise DataError(f"the domains '{first}' and '{name}' were made with different tokenizers; use one for all")


def _parts(path: Path) -> dict[str, Part]:
    found = read_json(path)
    domains = found.get("domains") if found is not None else None
    if not isinstance(domains, dict) or not domains:
        raise DataError(f"{path} is no mixture: found {shown(domains)}; expected an object 'domains' with some")
    try:
        return {name: Part(**values) for name, values in domains.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
