"""Token files and mixtures as the data of a training stage: read segment by segment, never loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from burnish.data.mixing.draws import Domain, Draws
from burnish.data.mixing.mixture import MIXTURE, read_mixture
from burnish.data.tokens.files import TokenFiles
from burnish.data.tokens.layout import MANIFEST
from burnish.data.tokens.segments import Segments
from burnish.errors import DataError
from burnish.stages.prepare import Prepared
from burnish.text.pieces import byte_counter
from burnish.text.tokenizer import Encoder


@dataclass(frozen=True, kw_only=True)
class Streamed(Prepared):
    """Data that is read as the run goes; `trees` is empty.

    Attributes:
        segments: of each domain.
        draws: which domain comes when.
    """

    segments: Sequence[Segments]
    draws: Draws

    @property
    def one_pass(self) -> int:
        """Segments of all domains together."""
        return sum(len(segments) for segments in self.segments)


def is_streamed(data: str) -> bool:
    """Whether `data` names a folder of token files or a mixture of some."""
    folder = Path(data).expanduser()
    return (folder / MANIFEST).is_file() or (folder / MIXTURE).is_file()


def streamed(
    data: str, tokenizer: PreTrainedTokenizerFast, *, length: int, joined: bool, seed: int
) -> tuple[list[Segments], Draws, dict[str, Any]]:
    """The segments of each domain, the draws, and facts for the record.

    Args:
        data: a folder with a manifest or a mixture; token files alone are one domain without a bound.
        tokenizer: of the model.
        length: tokens that a segment predicts.
        joined: one document may see those before it in the segment.
        seed: of the draws.

    Raises:
        DataError: something is not there, has changed, or was made with another tokenizer.
    """
    folder = Path(data).expanduser()
    if (folder / MIXTURE).is_file():
        mixture = read_mixture(folder)
        files, parts = mixture.files, mixture.parts
        plans = [(name, part.weight, part.max_epochs) for name, part in parts.items()]
    else:
        files, plans = {"tokens": TokenFiles(folder)}, [("tokens", 1.0, None)]
    digest = Encoder(tokenizer).digest
    for name, one in files.items():
        if one.spelling.tokenizer != digest:
            raise DataError(
                f"the token files of '{name}' in {one.folder} were made with another tokenizer than the model's; make "
                "them anew with burnish tokenise and this model"
            )

    measure = byte_counter(tokenizer)
    segments = {name: Segments(one, length=length, joined=joined, measure=measure) for name, one in files.items()}
    domains = [
        Domain(name=name, num_segments=len(segments[name]), weight=weight, max_epochs=bound)
        for name, weight, bound in plans
    ]
    facts = {
        "domains": {
            one.name: {
                "tokens": files[one.name].num_tokens,
                "documents": files[one.name].num_documents,
                "segments": one.num_segments,
                "weight": one.weight,
                "max_epochs": one.max_epochs,
            }
            for one in domains
        }
    }
    return [segments[name] for name, _, _ in plans], Draws(domains, seed=seed), facts
