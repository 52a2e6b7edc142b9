"""`burnish evaluate-text`: how probable a language model finds documents, and what it writes by itself.

    burnish evaluate-text --model runs/base --data runs/held_out_tokens --out runs/text_scores

The data is token files of the model's tokenizer, so that models, and `burnish ngram`, are measured on the same tokens.
`burnish.evals.texts` has the figures; `documents.jsonl` holds what every document cost. With `prompts` the model goes
on from these beginnings, and `samples.jsonl` keeps the texts.

Perplexity by position needs windows as long as the longest position, and documents that reach it:

    --window 4096 --overlap 1 --min_tokens 4096
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, cast

from burnish.config import setting, settings
from burnish.data.tokens.files import TokenFiles
from burnish.errors import ConfigError, DataError
from burnish.evals.texts import Measured, Text, document_rows, measured, text_scores, windows
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_config, load_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device
from burnish.protocols import Decoding, Request
from burnish.sampling.engine import InProcessEngine
from burnish.stages.artefact import write_scores
from burnish.stages.ngram import DOCUMENTS, said, texts_of, write_rows
from burnish.stages.prepare import load_text
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText
from burnish.text.tokenizer import Encoder
from burnish.training.columns import token_rows
from burnish.training.parallel import Ranks
from burnish.training.plan import packed_cost, padded_cost, plan

SAMPLES = "samples.jsonl"


@settings
class EvaluateTextStage(Stage):
    """Measure a language model on documents."""

    verb: ClassVar[str] = "evaluate-text"

    model: str = setting(..., "model to measure", source=True)
    data: str = setting(..., "token files of its tokenizer", source=True)
    window: int | None = setting(None, "tokens seen at a time; the model's context if not given", unit="tokens", ge=2)
    overlap: int | None = setting(
        None, "of a window, seen before and not measured again; half of it if not given", unit="tokens", ge=1
    )
    min_tokens: int = setting(1, "shorter documents are left out", unit="tokens", ge=1)
    token_budget: int = setting(8192, "tokens computed together", unit="tokens", ge=1)
    precision: Precision = setting("auto", "of matrix products")
    prompts: tuple[str, ...] = setting((), "beginnings of texts that the model goes on with; '' begins one")
    decoding: Decoding = setting(Decoding(temperature=0.8, max_tokens=128), "how it goes on")
    seed: int = setting(0, "of the texts that it writes")

    def plan(self) -> Plan:
        """Find documents, check their tokens against the model's, and count."""
        texts, window = self._texts(load_text(self.model, TemplateSettings())), self._window()
        overlap = self._overlap(window)
        count = sum(len(text.tokens) for text in texts)
        line = f"{count:,} tokens of {len(texts):,} documents, {window} at a time, {overlap} of them seen before"
        return Plan(lines=(line,), facts={"tokens": count, "documents": len(texts), "window": window})

    def run(self, work: Work) -> None:
        """Measure, write, and keep documents.jsonl, samples.jsonl and scores.json."""
        text, window = load_text(self.model, TemplateSettings()), self._window()
        texts = self._texts(text)
        device = default_device()
        part = language_model(load_model(self.model))
        cast_weights(part.to(device), compute_dtype(self.precision, device))
        found = self._measured(part, texts, window)
        scores = {**text_scores(found), "window": window, "overlap": self._overlap(window)}
        work.record({"template_hash": text.hash, "layout": part.layout})
        write_rows(work.out / DOCUMENTS, document_rows(found))
        if self.prompts:
            write_rows(work.out / SAMPLES, self._written(part, text, texts[0].first))
        write_scores(work, scores)
        work.say(said(scores))

    def code(self) -> tuple[Code, ...]:
        """What cuts into windows and adds up."""
        return tuple(cast(FunctionType, function) for function in (windows, measured, text_scores))

    def _texts(self, text: ChatText) -> list[Text]:
        """The documents that are long enough.

        Raises:
            DataError: they have the tokens of another tokenizer, or fewer than two are long enough.
        """
        files = TokenFiles(Path(self.data).expanduser())
        if files.spelling.tokenizer != Encoder(text.tokenizer).digest:
            raise DataError(
                f"the token files in {self.data} were made with another tokenizer than that of {self.model}; make "
                "them anew with burnish tokenise and this model"
            )
        every = texts_of(files)
        found = [one for one in every if len(one.tokens) >= self.min_tokens]
        if len(found) < 2:
            longest = sorted((len(one.tokens) for one in every), reverse=True)[:2]
            raise DataError(
                f"{self.data}: {len(found)} of {len(every)} documents have {self.min_tokens} tokens; an interval needs "
                f"two of them. Set min_tokens to {longest[-1]} or less, or give more documents"
            )
        return found

    def _window(self) -> int:
        """Tokens seen at a time.

        Raises:
            ConfigError: not given, and the model's config names no context.
        """
        if self.window is not None:
            return self.window
        context = load_config(self.model).get_text_config(decoder=True).to_dict().get("max_position_embeddings")
        if context is None:
            raise ConfigError([f"window: the config of {self.model} names no context; set how many tokens it sees"])
        return int(context)

    def _overlap(self, window: int) -> int:
        """Of a window, what was measured before.

        Raises:
            ConfigError: nothing of a window would be left to measure.
        """
        if self.overlap is not None and self.overlap >= window:
            raise ConfigError([f"overlap is {self.overlap}, and a window has {window} tokens; set it below {window}"])
        return window // 2 if self.overlap is None else self.overlap

    def _measured(self, part: LanguageModel, texts: Sequence[Text], window: int) -> list[Measured]:
        trees = [windows(text, window=window, overlap=self._overlap(window)) for text in texts]
        cost = packed_cost if part.layout == "tree" else padded_cost
        rows = token_rows(
            part,
            "logp",
            [tree for one in trees for tree in one],
            micros=partial(plan, budget=max(self.token_budget, window), coupling="group", cost=cost),
            device=default_device(),
            ranks=Ranks(),
        )
        logps = iter([row for (row,) in rows])
        return [measured(text, own, [next(logps) for _ in own]) for text, own in zip(texts, trees, strict=True)]

    def _written(self, part: LanguageModel, text: ChatText, first: int) -> list[dict[str, Any]]:
        """What the model writes after each prompt."""
        encoder = Encoder(text.tokenizer)
        requests = []
        for place, prompt in enumerate(self.prompts):
            mark = encoder.mark_for([prompt])
            tokens = encoder.ids(encoder.marked(prompt, mark), mark=mark) if prompt else ()
            requests.append(Request(id=str(place), prompt=(first, *tokens)))
        stop = () if encoder.end is None else (encoder.end,)
        engine = InProcessEngine(part, stop_tokens=stop, policy_version="measured")
        groups = engine.sample(requests, self.decoding, seed=self.seed)
        return [
            {"prompt": prompt, "text": encoder.decode(sample.tokens), "finish": sample.finish}
            for prompt, (sample,) in zip(self.prompts, groups, strict=True)
        ]
