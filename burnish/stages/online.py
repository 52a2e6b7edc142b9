"""`burnish reinforce`, `rloo`, `grpo`, `ppo`, `online-dpo`: train on answers that the model samples as it learns.

    prompts ──► sample ──► grade ──► value ──► update, update, ... ──► sample again
                                                  │
                             held-out prompts ──► a look, by a grader that training never sees

What they share stands here: the reward, the rollouts, the KL from the start of the run, the looks, and which
weights are kept; `asked.py` reads the prompts. A method adds its objective and what it makes of graded answers
(`training/valuation.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Literal

from transformers import PreTrainedModel

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.errors import ConfigError
from burnish.models.adapters import adapter_off, virtual_tokens
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_model
from burnish.models.lora import LowRank
from burnish.numerics import compute_dtype, seed_from
from burnish.sampling.place import InProcess, engine_at
from burnish.stages.asked import Asked, prepare_prompts, require_room
from burnish.stages.judging import JUDGE, judge_done
from burnish.stages.looks import HELD_OUT, AnswerFiles, HeldOut, Looks
from burnish.stages.policy import PolicyStage
from burnish.stages.prepare import Prepared
from burnish.stages.rewards import Reward
from burnish.stages.sampling import completion_of
from burnish.stages.shared_sampling import SharedEngine, graded_by_first, whole_policy
from burnish.stages.stage import Plan, Work
from burnish.stages.start import Module, Start, started
from burnish.stages.updates import CHECKPOINTS, run_updates
from burnish.store import Code
from burnish.training.best_weights import BestWeights
from burnish.training.columns import token_rows
from burnish.training.parallel import put_in_place
from burnish.training.rollouts import (
    GradeAnswers,
    ReusedRollout,
    Rollout,
    Rollouts,
    Sampler,
    Valuation,
    Worth,
    version,
)
from burnish.training.trainer import Probe, Trainer
from burnish.training.valuation import TokenRows

LOOKS_JUDGE = "looks_judge"
"""The judge of the looks, beside that of the reward."""


@settings
class OnlineStage(PolicyStage):
    """The fields of every verb that samples as it learns."""

    reward: Reward = setting(Reward(), "what is rewarded")
    rollout: Rollout = setting(Rollout(), "how answers are sampled")
    reference: Literal["start"] | None = setting(
        "start", "measure the KL from the start of the run; none leaves it out and saves its pass"
    )
    looks: Looks = setting(Looks(), "how the held-out prompts are looked at")
    save_answers_every: int = setting(10, "rollouts between two whose answers are written down; 0 writes none", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollout.decoding.temperature == 0:
            raise ValueError("rollout.decoding.temperature is 0: all answers to a prompt are the same; set it above 0")
        if self.text.longer not in ("drop", "cut_prompt"):
            raise ValueError(f"text.longer is {self.text.longer}; prompts alone can be left out (drop) or cut_prompt")
        if (self.looks.keep == "best" or self.looks.patience) and not (self.held_out or self.held_out_data):
            raise ValueError("looks.keep best and looks.patience go by held-out prompts; set held_out or held_out_data")

        if (
            isinstance(self.adapter, LowRank)
            and self.adapter.base != "full"
            and self.rollout.engine.kind != "in-process"
        ):
            raise ValueError(
                f"rollout.engine.kind is {self.rollout.engine.kind}, and weights in 4 bits are not sent to other "
                "processes; set rollout.engine.kind to in-process, or adapter.base to full"
            )

    def code(self) -> tuple[Code, ...]:
        """The objective, and the graders' rules."""
        looks = self.looks.reward.code() if self.looks.reward is not None else ()
        return tuple(dict.fromkeys((*super().code(), *self.reward.code(), *looks)))

    @abstractmethod
    def valuation(self, trainer: Trainer[Tree], start: Start, reference: TokenRows | None) -> Valuation:
        """What the method makes of graded answers; `reference` gives log-probs under the start of the run."""

    def module(self, model: PreTrainedModel) -> Module:
        """The language model, whose log-probs are those at the sampling temperature."""
        return language_model(model, layout=self.train.layout, temperature=self.rollout.decoding.temperature)

    def column(self, name: str, trees: Sequence[Tree], prepared: Prepared, start: Start, work: Work) -> Sequence[Tree]:
        """Nothing is filled before the run: each rollout fills its own columns."""
        return trees

    def plan(self) -> Plan:
        """Read the prompts, find the graders, grade an empty answer, and count."""
        self._check()
        asked = self.prepared(lambda line: None)
        for reward in (self.reward, self.looks.reward):
            if reward is not None:
                reward.check(asked.prompts[0].example)
        answers = self.worth().num_prompts * self.rollout.num_samples
        lines = [f"{name}: {value}" for name, value in asked.facts.items()]
        steps, each = self.num_steps(asked), self.worth().num_updates
        lines.append(f"{steps} updates; a rollout has {answers} answers and is worth {each} of them")
        return Plan(lines=tuple(lines), facts=asked.facts)

    def prepared(self, say: Callable[[str], None]) -> Asked:
        """The prompts, as token ids.

        Raises:
            DataError: no prompt is short enough.
        """
        if self.steps is not None and self.train.epochs is not None:
            raise ConfigError([f"steps is {self.steps} and train.epochs is {self.train.epochs:g}; give one of them"])
        return prepare_prompts(
            self.model,
            self.data,
            reading=self.reading,
            template=self.template,
            truncation=self.text,
            answer_tokens=self.rollout.decoding.max_tokens,
            say=say,
            held_out=self.held_out,
            held_out_data=self.held_out_data,
            seed=self.seed,
        )

    def run(self, work: Work) -> None:
        """Train and save; what judges replied is kept until then."""
        super().run(work)
        for name in (JUDGE, LOOKS_JUDGE) if work.leads else ():
            judge_done(work, name)

    def num_steps(self, prepared: Prepared) -> int:
        """Updates of the whole run: as given, or every prompt `train.epochs` times."""
        assert isinstance(prepared, Asked)
        rollouts = max(1, round((self.train.epochs or 1.0) * len(prepared.prompts) / self.worth().num_prompts))
        return self.steps or rollouts * self.worth().num_updates

    def train_on(self, prepared: Prepared, trainer: Trainer[Tree], start: Start, work: Work) -> None:
        """The updates: sample, grade, value, update."""
        assert isinstance(prepared, Asked)
        require_room(
            prepared,
            context=int(start.plain.config.max_position_embeddings),
            cache_tokens=self.rollout.cache_tokens,
            in_front=virtual_tokens(self.adapter),
            answer_tokens=self.rollout.decoding.max_tokens,
        )
        ranks = trainer.ranks
        samplers = ranks.count if isinstance(self.rollout.engine, InProcess) else 1
        with ExitStack() as stack:
            part, refresh = self._whole_policy(start, trainer, samples=ranks.index < samplers)
            own = None
            if part is not None:
                place = engine_at(
                    self.rollout.engine,
                    part,
                    stop_tokens=prepared.text.stop_tokens,
                    policy_version=version(0),
                    cache_tokens=self.rollout.cache_tokens,
                    max_rows=self.rollout.max_rows,
                    say=work.say,
                )
                own = stack.enter_context(place)
            engine = SharedEngine(own, samplers=samplers, ranks=ranks, refresh=refresh)
            self._train_with(engine, prepared, trainer, start, work)

    def _train_with(self, engine: Sampler, prepared: Asked, trainer: Trainer[Tree], start: Start, work: Work) -> None:
        """The updates, on what `engine` samples."""
        hash_ = prepared.template_hash
        judge = graded_by_first(lambda: self.reward.answer_grader(hash_, work, JUDGE), trainer.ranks)
        reference = self.reference_rows(trainer, start)
        source = Rollouts(
            prepared.prompts,
            engine,
            answer=lambda sample: completion_of(sample, prepared.text),
            judge=judge,
            valuation=self.valuation(trainer, start, reference),
            check=self.goal().check,
            rollout=self.rollout,
            worth=self.worth(),
            seed=self.seed,
            seen=self._files(work).rollout,
        )
        probes: list[Probe[Tree]] = [Probe(every=1, look=lambda _: source.facts)]
        if prepared.looked_at:
            held_out = self._held_out(prepared, engine, judge, trainer, start, reference, work)
            if not self._files(work).has_look(0):
                work.record({"before": held_out.look(0)})
            probes.append(Probe(every=self.train.evaluate_every, look=lambda one: held_out.look(one.num_updates)))
        best = None
        if prepared.looked_at and (self.looks.keep == "best" or self.looks.patience is not None):
            masters = trainer.optimizers[self.main].masters
            folder, patience = work.out / CHECKPOINTS, self.looks.patience
            best = BestWeights(folder, HELD_OUT, masters, patience=patience, writes=work.leads)
        run_updates(trainer, source, self.train, work, verb=self.verb, probes=probes, best=best)
        work.record({"updates": trainer.num_updates, "stopped_early": source.ended or None})
        if source.ended:
            work.say(f"ended after update {trainer.num_updates}: {source.ended}")
        if best is not None and self.looks.keep == "best":
            best.put_back()
            work.record({"kept": {"update": best.step, HELD_OUT: best.value}})
            work.say(f"keeping the weights of update {best.step}, whose held-out score is {best.value:.4g}")

    def token_rows(self, output: str, part: Any, trainer: Trainer[Tree]) -> TokenRows:
        """Numbers of every token by a part, with the micro-batches of the update."""

        def rows(trees: Sequence[Tree]) -> Sequence[Sequence[Sequence[float]]]:
            return token_rows(part, output, trees, micros=trainer.plan, device=trainer.device, ranks=trainer.ranks)

        return rows

    def reference_rows(self, trainer: Trainer[Tree], start: Start) -> TokenRows | None:
        """Log-probs under the start of the run: with the adapter off, or by a second copy of the model."""
        if self.reference is None:
            return None
        if self.adapter is not None:
            rows = self.token_rows("logp", start.module, trainer)

            def without_adapter(trees: Sequence[Tree]) -> Sequence[Sequence[Sequence[float]]]:
                with adapter_off(start.model):
                    return rows(trees)

            return without_adapter
        copy = language_model(
            load_model(self.model), layout=start.module.layout, temperature=self.rollout.decoding.temperature
        )
        dtype, divided = compute_dtype(self.train.precision, trainer.device), self.train.divide
        put_in_place(copy, copy.model, device=trainer.device, dtype=dtype, ranks=trainer.ranks, divided=divided)
        return self.token_rows("logp", copy, trainer)

    def _whole_policy(
        self, start: Start, trainer: Trainer[Tree], *, samples: bool
    ) -> tuple[LanguageModel | None, Callable[[], None]]:
        """What this rank samples from, and what gives it the weights as they are now; None if it does not sample."""

        def again() -> LanguageModel:
            loaded = started(self.model, self.module, adapter=self.adapter, seed=self.seed)
            return self.sampled_from(loaded.put(trainer.device, self.train.precision, "nothing"))

        dtype = compute_dtype(self.train.precision, trainer.device)
        return whole_policy(self.sampled_from(start), again, dtype=dtype, samples=samples)

    def sampled_from(self, start: Start) -> LanguageModel:
        """What answers are sampled from."""
        assert isinstance(start.module, LanguageModel)
        return start.module

    def worth(self) -> Worth:
        """How many updates a rollout is worth."""
        reused = self.rollout if isinstance(self.rollout, ReusedRollout) else ReusedRollout()
        return Worth(batch_size=self.train.batch_size, batches=reused.batches, passes=reused.passes)

    def _held_out(
        self,
        asked: Asked,
        engine: Sampler,
        own: GradeAnswers,
        trainer: Trainer[Tree],
        start: Start,
        reference: TokenRows | None,
        work: Work,
    ) -> HeldOut:
        """What looks at the held-out prompts."""
        other, score = self.looks.reward, own
        if other is not None:
            score = graded_by_first(lambda: other.answer_grader(asked.template_hash, work, LOOKS_JUDGE), trainer.ranks)
        return HeldOut(
            prompts=asked.looked_at,
            engine=engine,
            decoding=self.rollout.decoding,
            seed=seed_from(self.seed, "look"),
            answer=lambda sample: completion_of(sample, asked.text),
            score=score,
            reward=None if other is None else own,
            policy=self.token_rows("logp", start.module, trainer),
            reference=reference,
            write=self._files(work).look,
        )

    def _files(self, work: Work) -> AnswerFiles:
        return AnswerFiles(folder=work.out, every=self.save_answers_every, writes=work.leads)
