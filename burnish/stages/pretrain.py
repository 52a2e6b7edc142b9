"""`burnish pretrain`: go on training a base model on plain text, read at once or streamed from token files."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.data.mixing.draws import Draws
from burnish.data.read import Reading
from burnish.errors import ConfigError
from burnish.objectives.objective import Objective
from burnish.objectives.sft import CausalLM
from burnish.stages.likelihood import LikelihoodStage
from burnish.stages.prepare import Prepared, load_text, prepare
from burnish.stages.streamed import Streamed, is_streamed, streamed
from burnish.text.truncate import Truncation
from burnish.training.mixed import Mixed
from burnish.training.source import Source


@settings
class PretrainStage(LikelihoodStage):
    """Train on text outside of any chat template; reports bits per byte."""

    verb: ClassVar[str] = "pretrain"

    text: Truncation = setting(Truncation(longer="windows"), "what happens to long documents")
    concatenate: bool = setting(False, "of token files: a document may see those before it in its segment")

    def goal(self) -> Objective:
        """Causal language modelling."""
        return CausalLM()

    def prepared(self, say: Callable[[str], None]) -> Prepared:
        """Text as trees; of token files and mixtures only what is held out, the rest is read as the run goes.

        Raises:
            BurnishError: the run could not succeed on it.
        """
        self._check_streaming()
        if not is_streamed(self.data):
            return super().prepared(say)
        held = self._held_out(say)
        length = self.text.max_tokens - 1  # and the token that a segment begins with
        segments, draws, facts = streamed(
            self.data, held.tokenizer, length=length, joined=self.concatenate, seed=self.seed
        )
        found = Streamed(
            tokenizer=held.tokenizer,
            template_hash=held.template_hash,
            trees=(),
            held_out=held.trees,
            facts={**facts, "held_out": len(held.trees)},
            segments=segments,
            draws=self.drawn(draws),
        )
        self.goal().check(found.held_out)
        self.num_steps(found)
        return found

    def drawn(self, draws: Draws) -> Draws:
        """How the domains of a stream are drawn; as the mixture says."""
        return draws

    def num_steps(self, prepared: Prepared) -> int:
        """Updates of the whole run; without steps and epochs one pass, or less where the bounds end it.

        Raises:
            ConfigError: more are asked for than the mixture has.
        """
        if not isinstance(prepared, Streamed):
            return super().num_steps(prepared)
        steps, epochs, size = self.steps, self.train.epochs, self.train.batch_size
        asked = steps or math.ceil((epochs or 1.0) * prepared.one_pass / size)
        most = asked if prepared.draws.count is None else math.ceil(prepared.draws.count / size)
        if asked > most and (steps or epochs):
            name = f"steps is {steps}" if steps else f"train.epochs is {epochs:g}, which is {asked} updates"
            raise ConfigError([f"{name}; the bounds of the mixture end it after {most}: ask for less, or raise them"])
        return min(asked, most)

    def source(self, prepared: Prepared) -> Source[Tree]:
        """Segments by the mixture, or the texts in a new order every pass."""
        if not isinstance(prepared, Streamed):
            return super().source(prepared)
        return self.mixed(prepared)

    def mixed(self, prepared: Streamed) -> Mixed:
        """Segments as the domains are drawn."""
        return Mixed(prepared.segments, prepared.draws, batch_size=self.train.batch_size, seed=self.seed)

    def _held_out(self, say: Callable[[str], None]) -> Prepared:
        """The held-out data as `trees`, none if there is none, with the tokenizer."""
        if self.held_out_data is None:
            text = load_text(self.model, self.template)
            return Prepared(tokenizer=text.tokenizer, template_hash=text.hash, trees=(), held_out=(), facts={})
        return prepare(
            self.model,
            self.held_out_data,
            reading=self.reading,
            template=self.template,
            truncation=self.text,
            say=say,
        )

    def _check_streaming(self) -> None:
        """Refuse settings that nothing would obey.

        Raises:
            ConfigError: lists them.
        """
        mistakes = []
        if not is_streamed(self.data):
            if self.concatenate:
                mistakes.append(f"concatenate is for token files, and {self.data} has none; see burnish tokenise")
        else:
            if self.steps is not None and self.train.epochs is not None:
                mistakes.append(f"steps is {self.steps} and train.epochs is {self.train.epochs:g}; give one of them")
            if self.held_out:
                mistakes.append("held_out takes examples out of text; for token files give held_out_data")
            if self.text.longer != "windows":
                mistakes.append(f"text.longer is '{self.text.longer}'; token files come in segments, leave it out")
            if self.reading != Reading() and self.held_out_data is None:
                mistakes.append("reading is for text; token files are read as they are, leave it out")
        if mistakes:
            raise ConfigError(mistakes)
