"""TRL's side of GRPO: its own trainer, sampling by transformers' `generate` under the trainer's autocast.

`min_new_tokens` keeps every answer at the one length. The reward is the share of digits, as on our side. TRL's faster
`use_transformers_continuous_batching` is not tried: it turns the weights that are trained to bf16 for good, which is
another precision. vLLM does not run beside the trainer on this kind of machine; on a GPU it would be another engine on
both sides.
"""

from __future__ import annotations

import time
from typing import Any

import trl  # type: ignore[import-not-found]  # in the peer's environment alone
from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from benchmarks.case import Case, Request
from benchmarks.peer.training import Watch, arguments, model_for
from benchmarks.works import WORKS


class GivenGRPO(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, timed while it samples; where a gradient is to be compared, the answers are given."""

    sampling_seconds = 0.0
    given: Case | None = None

    def _generate_single_turn(self, prompt_ids: Any, *others: Any, **more: Any) -> Any:
        if self.given is not None:
            (row,) = self.given.rows
            if any(list(ids) != row.prompt for ids in prompt_ids):
                raise SystemExit("TRL makes other tokens of the prompt than Burnish does")
            return [list(answer) for answer in row.answers], None
        clock = time.perf_counter()
        found = super()._generate_single_turn(prompt_ids, *others, **more)
        self.sampling_seconds += time.perf_counter() - clock
        return found


def digits(completions: list[Any], **_: Any) -> list[float]:
    """The reward of each answer: its share of digits."""
    texts = [completion[0]["content"] for completion in completions]
    return [sum(letter.isdigit() for letter in text) / max(len(text), 1) for text in texts]


def result(request: Request) -> dict[str, Any]:
    """What is timed, or what must agree."""
    case = request.case
    trainer = trainer_for(request, case)
    watch = Watch(request)
    trainer.add_callback(watch)
    if request.mode == "agree":
        trainer.given = case
    trainer.train()
    mean = sum(case.rewards) / len(case.rewards)
    return {
        "rows": request.updates * WORKS["grpo"].batch,
        "seconds": watch.seconds,
        "sampling_seconds": trainer.sampling_seconds,
        "update_seconds": watch.times(),
        "loss": watch.losses[0],
        "numbers": [reward - mean for reward in case.rewards],
        "versions": {"trl": trl.__version__},
    }


def trainer_for(request: Request, case: Case) -> GivenGRPO:
    """TRL's trainer on the one prompt of the case, as often as there are updates."""
    work, (row,) = WORKS["grpo"], case.rows
    tokenizer = AutoTokenizer.from_pretrained(request.model)
    reward = digits if request.mode == "measure" else given_rewards(case)
    told = arguments(request, work.batch)
    told.pop("max_length")
    told.pop("train_sampling_strategy")
    args = GRPOConfig(
        **told,
        num_generations=work.batch,
        max_completion_length=work.length,
        generation_kwargs={"min_new_tokens": work.length},
        temperature=1.0,
        beta=0.0,
        loss_type="dapo",
        scale_rewards="none",
        shuffle_dataset=False,
    )
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": row.text}]}] * request.updates)
    return GivenGRPO(model_for(request), reward, args, data, processing_class=tokenizer)


def given_rewards(case: Case) -> Any:
    """A reward function that gives the rewards of the case, in the order of its answers."""

    def rewards(completions: list[Any], **_: Any) -> list[float]:
        return list(case.rewards)

    return rewards
