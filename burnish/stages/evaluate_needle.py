"""`burnish evaluate-needle`: does a model find a fact again, however long the text and wherever in it the fact stands?

    burnish evaluate-needle --model runs/base --lengths 256 512 1024 --out runs/needle
    burnish evaluate-needle --model runs/base --lengths 2048 4096 --beyond_context --out runs/beyond

`burnish.synth.haystack` makes the texts, `burnish.evals.needle` the figures. A text is as many whole sentences as fit
the length, the needle at its depth among them, and the question. All answers hang on one text, which is computed once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import FunctionType
from typing import ClassVar, cast

from burnish.batch import Branch, Tree
from burnish.config import setting, settings
from burnish.errors import ConfigError
from burnish.evals.needle import Search, needle_scores
from burnish.models.language import language_model
from burnish.models.load import load_config, load_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device
from burnish.stages.artefact import write_scores
from burnish.stages.ngram import write_rows
from burnish.stages.prepare import load_text
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.synth.haystack import MOST_ANSWERS, haystack, needle
from burnish.text.rendering import TemplateSettings
from burnish.text.tokenizer import Encoder
from burnish.training.columns import completion_logps
from burnish.training.plan import packed_cost, padded_cost

SEARCHES = "searches.jsonl"


@settings
class EvaluateNeedleStage(Stage):
    """Hide facts in made-up texts and ask for them."""

    verb: ClassVar[str] = "evaluate-needle"

    model: str = setting(..., "model to measure", source=True)
    lengths: tuple[int, ...] = setting((256, 512, 1024), "of the texts", unit="tokens", min_length=1)
    depths: tuple[float, ...] = setting(
        (0.0, 0.25, 0.5, 0.75, 1.0), "where in a text the needle stands; 0 is its beginning", min_length=1
    )
    repeats: int = setting(8, "texts for each length and depth", ge=1)
    answers: int = setting(8, "words to choose among", ge=2, le=MOST_ANSWERS)
    beyond_context: bool = setting(
        False, "allow texts that are longer than the model's context, to see what it does there"
    )
    precision: Precision = setting("auto", "of matrix products")
    seed: int = setting(0, "of the texts")

    def plan(self) -> Plan:
        """Count, and see that needles fit the texts, and texts the model's context.

        Raises:
            ConfigError: lists what does not.
        """
        if wrong := [f"depths: {one:g} is not between 0 and 1" for one in self.depths if not 0 <= one <= 1]:
            raise ConfigError(wrong)
        encoder = Encoder(load_text(self.model, TemplateSettings()).tokenizer)
        for length in self.lengths:
            for number in range(self.repeats):
                self._hidden(encoder, length, number)
        self._check_context()
        count = len(self.lengths) * len(self.depths) * self.repeats
        tokens = sum(self.lengths) * len(self.depths) * self.repeats
        return Plan(lines=(f"{count} texts of {tokens:,} tokens",), facts={"texts": count, "tokens": tokens})

    def run(self, work: Work) -> None:
        """Ask, and write searches.jsonl and scores.json."""
        self.plan()
        text = load_text(self.model, TemplateSettings())
        encoder, device = Encoder(text.tokenizer), default_device()
        part = language_model(load_model(self.model))
        cast_weights(part.to(device), compute_dtype(self.precision, device))
        cost = packed_cost if part.layout == "tree" else padded_cost
        found: list[Search] = []
        for length in self.lengths:
            places = [(depth, number) for depth in self.depths for number in range(self.repeats)]
            trees = [self._tree(encoder, length, depth, number) for depth, number in places]
            budget = max(cost([tree]) for tree in trees)
            rows = completion_logps(part, trees, budget=budget, cost=cost, device=device)
            for (depth, _), row in zip(places, rows, strict=True):
                found.append(Search(length=length, depth=depth, logps=row))
            work.say(f"{length} tokens: {sum(one.found for one in found if one.length == length)} of {len(places)}")
        write_rows(work.out / SEARCHES, [{**asdict(one), "found": one.found} for one in found])
        write_scores(work, needle_scores(found))
        work.record({"template_hash": text.hash, "layout": part.layout})

    def code(self) -> tuple[Code, ...]:
        """What makes the texts and counts."""
        return tuple(cast(FunctionType, function) for function in (haystack, needle, needle_scores))

    def _check_context(self) -> None:
        """See that the model has a position for every token.

        Raises:
            ConfigError: a text is longer than the context, and that is not asked for, or is impossible.
        """
        config = load_config(self.model).get_text_config(decoder=True).to_dict()
        context, longest = config.get("max_position_embeddings"), max(self.lengths)
        if context is None or longest <= int(context):
            return
        over = f"lengths: {longest} tokens are over the {context} of {self.model}"
        if not self.beyond_context:
            raise ConfigError(
                [
                    f"{over}; give less, make a model with a longer context by burnish lengthen, or set "
                    "beyond_context to see what this one does there"
                ]
            )
        if not config.get("rope_parameters"):
            raise ConfigError([f"{over}, and it has no rotary positions that would go on; give less"])

    def _tree(self, encoder: Encoder, length: int, depth: float, number: int) -> Tree:
        """A text with its question as the prompt, and the answers as its completions."""
        hidden = self._hidden(encoder, length, number)
        room, sentences = hidden.room, list[tuple[int, ...]]()
        for sentence in haystack(self.seed, length, number):
            tokens = encoder.ids(sentence)
            if len(tokens) > room:
                break
            sentences.append(tokens)
            room -= len(tokens)
        place = round(depth * len(sentences))
        parts = [hidden.begin, *sentences[:place], hidden.fact, *sentences[place:], hidden.question]
        branches = tuple(Branch(tokens=answer, weights=[1.0] * len(answer)) for answer in hidden.answers)
        return Tree(id=f"{length}/{depth:g}/{number}", prompt=[t for part in parts for t in part], branches=branches)

    def _hidden(self, encoder: Encoder, length: int, number: int) -> _Hidden:
        """The needle of a text as tokens, the same for every depth.

        Raises:
            ConfigError: it alone is longer than the text may be.
        """
        found = needle(self.seed, length, number, answers=self.answers)
        first = encoder.end if encoder.begin is None else encoder.begin
        begin = () if first is None else (first,)
        fact, question = encoder.ids(found.sentence), encoder.ids(found.question)
        answers = tuple(encoder.ids(answer) for answer in found.answers)
        needed = len(begin) + len(fact) + len(question) + max(map(len, answers))
        if needed > length:
            raise ConfigError([f"lengths: a needle takes {needed} tokens of this tokenizer, and {length} are given"])
        return _Hidden(begin=begin, fact=fact, question=question, answers=answers, room=length - needed)


@dataclass(frozen=True, kw_only=True)
class _Hidden:
    """A needle as tokens; `room` is left for sentences beside it."""

    begin: tuple[int, ...]
    fact: tuple[int, ...]
    question: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    room: int
