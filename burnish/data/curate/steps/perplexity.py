"""`perplexity`: drop what reads unlike a trusted sample, by a language model (Wenzek et al. 2020, CCNet, section 3.4).

    perplexity = exp(-ln p(text) / bytes of the text)

It is per byte, so that models with different tokens can be compared; a uniform guess has 256. Which model:

    {kind: n-grams, trusted: wiki.jsonl}      trained by the run itself (burnish.data.curate.kneser_ney)
    {kind: own, code: "file.py:function"}     any `LikelihoodModel` that the function returns

Limits are absolute numbers. A percentile, as CCNet cuts by, would need all documents before the first is decided, and
would keep another share of the same text beside other documents. The run says the percentiles on trusted texts that
were held out; the report draws the distribution of the corpus, and `what-if` counts what another limit would change.
A low limit finds what is too easy, such as one line repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np

from burnish.config import imported_code, setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.examples import drawn, examples_in, files_of
from burnish.data.curate.kneser_ney import MAX_ORDER, NGrams, trained
from burnish.data.curate.step import Corpus, Decider, Decisions, RowStep, Rule, by_rules
from burnish.errors import DataError
from burnish.store import Code

MODEL = "model.npz"
_MIN_HELD_OUT = 5
_PERCENTILES = (5, 25, 50, 75, 95)


class LikelihoodModel(Protocol):
    """A language model as this step needs it."""

    def log_likelihoods(self, texts: Sequence[str]) -> np.ndarray:
        """Natural logarithm of the probability of each text, (n,); of a text the same beside any others."""


@settings
class NGramModel:
    """An n-gram model that the run trains."""

    kind: Literal["n-grams"] = "n-grams"
    trusted: str = setting(..., "texts that read as the corpus should: a file, or a folder with files", source=True)
    order: int = setting(6, "length of an n-gram", unit="bytes", ge=1, le=MAX_ORDER)
    max_bytes: int = setting(10_000_000, "of trusted text; of more some is drawn", unit="bytes", ge=1)


@settings
class OwnModel:
    """A model that a function gives."""

    kind: Literal["own"] = "own"
    code: str = setting(..., "file.py:function or package.module:function, called with `weights`")
    weights: str | None = setting(None, "what the function reads: a file or a folder", source=True)


@settings
class Perplexity(RowStep):
    """Drop documents that a language model finds too surprising, or not surprising at all."""

    source: ClassVar[str] = "Wenzek et al. 2020, arXiv 1911.00359, 3.4"

    kind: Literal["perplexity"] = "perplexity"
    model: NGramModel | OwnModel = setting(..., "the language model")
    max_perplexity: float = setting(..., "per byte; of more a document is dropped", ge=1)
    min_perplexity: float = setting(1.0, "per byte; of less a document is dropped (1 drops none)", ge=1)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Beyond either limit."""
        return ("surprising", "predictable")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Both limits."""
        return (
            Rule(reason="surprising", measure="perplexity", at_most=self.max_perplexity),
            Rule(reason="predictable", measure="perplexity", at_least=self.min_perplexity),
        )

    def check(self) -> None:
        """Refuse a model that could not be made.

        Raises:
            DataError: the trusted sample is not there.
            ConfigError: the function is not there.
        """
        if isinstance(self.model, NGramModel):
            files_of(self.model.trusted)
        else:
            imported_code(self.model.code)

    def prepare(self, folder: Path, corpus: Corpus) -> None:
        """Train the n-grams, and say what perplexity trusted texts have.

        Raises:
            DataError: the trusted sample has no text.
        """
        if isinstance(self.model, OwnModel):
            return
        examples = drawn(examples_in(self.model.trusted), max_bytes=self.model.max_bytes)
        if not examples:
            raise DataError(f"{self.model.trusted} has no text to train on; name one that has for model.trusted")
        held = [example.text for example in examples if example.is_held_out]
        if len(held) < _MIN_HELD_OUT or len(held) == len(examples):
            held = []
        texts = [example.text for example in examples if not held or not example.is_held_out]
        model = trained(texts, self.model.order)
        model.save(folder / MODEL)
        size = sum(len(text.encode()) for text in texts) / 1e6
        corpus.say(f"perplexity: {model.order}-grams of {len(texts):,} trusted texts ({size:,.1f} MB)")
        if held:
            corpus.say(_held_out_line(perplexities(model, held)))

    def decider(self, folder: Path) -> Decider:
        """Load the model once."""
        model: LikelihoodModel = NGrams.load(folder / MODEL) if isinstance(self.model, NGramModel) else _own(self.model)
        return lambda documents: self.decided(documents, model)

    def decide(self, documents: Documents) -> Decisions:
        """Decide by a model that needs no training.

        Raises:
            DataError: the model has to be trained; `decider` of a run holds it.
        """
        if isinstance(self.model, NGramModel):
            raise DataError("perplexity: the n-grams are trained by the run; use decider(folder) after prepare(folder)")
        return self.decided(documents, _own(self.model))

    def decided(self, documents: Documents, model: LikelihoodModel) -> Decisions:
        """Keep what is between the limits.

        Args:
            documents: to decide about.
            model: gives likelihoods.
        """
        return by_rules(self, {"perplexity": perplexities(model, documents.texts)}, len(documents))

    def code(self) -> tuple[Code, ...]:
        """The model, and what draws the texts it is trained on."""
        if isinstance(self.model, OwnModel):
            return (imported_code(self.model.code),)
        return (NGrams, cast(FunctionType, trained), cast(FunctionType, drawn), cast(FunctionType, perplexities))


def perplexities(model: LikelihoodModel, texts: Sequence[str]) -> np.ndarray:
    """Perplexity per byte of each text, (n,) float64; NaN for an empty one."""
    sizes = np.array([len(text.encode()) for text in texts], dtype=float)
    likelihoods = np.asarray(model.log_likelihoods(texts), dtype=float)
    return np.exp(-likelihoods / np.where(sizes > 0, sizes, np.nan))


def _own(model: OwnModel) -> LikelihoodModel:
    """The model that the user's function gives."""
    make = cast(Any, imported_code(model.code))
    return cast(LikelihoodModel, make(model.weights))


def _held_out_line(found: np.ndarray) -> str:
    cuts = np.percentile(found, _PERCENTILES)
    shares = ", ".join(f"{value:.2f} at {share}%" for share, value in zip(_PERCENTILES, cuts.tolist(), strict=True))
    return f"perplexity per byte of {len(found):,} trusted texts that were held out: {shares}"
