"""Our side of GRPO: the source of rollouts and the trainer that `burnish grpo` uses.

One prompt, 8 answers of one length (no token ends an answer), rewards that cost nothing, advantages that are not
divided by their spread, no KL: the defaults of TRL 1.16 but for that division, whose formulas differ. What is timed is
whole updates, sampling included. The gradient that must agree is that of given answers with given rewards.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.case import Request
from benchmarks.flops import wait
from benchmarks.ours.training import RATE, save_gradient, started_model, tree_of
from benchmarks.works import WORKS
from burnish.batch import Tree
from burnish.example import Example, user
from burnish.models.language import LanguageModel
from burnish.models.load import load_tokenizer
from burnish.objectives.grpo import GRPO
from burnish.protocols import Answer, Decoding, Grade
from burnish.sampling.advantages import group_advantages
from burnish.sampling.engine import InProcessEngine
from burnish.sampling.kl_control import FixedKL, KLController
from burnish.stages.sampling import completion_of
from burnish.stages.start import Start
from burnish.stages.updates import Training
from burnish.text.template import ChatText
from burnish.training.optimizer import AdamW
from burnish.training.rollouts import Prompt, Rollout, Rollouts, Worth
from burnish.training.trainer import Trainer
from burnish.training.valuation import GroupBaseline, Measured, PolicyValuation


def result(request: Request) -> dict[str, Any]:
    """What is timed, or what must agree."""
    start = started_model(request)
    clip_norm = 1.0 if request.mode == "measure" else 0.0
    trainer: Trainer[Tree] = Trainer(
        {"main": start.part},
        GRPO(),
        Training(optimizer=AdamW(learning_rate=RATE), clip_norm=clip_norm),
        steps=request.updates,
        cost=start.cost,
        device=torch.device(request.device),
    )
    return measured(request, start, trainer) if request.mode == "measure" else agreed(request, trainer)


def measured(request: Request, start: Start, trainer: Trainer[Tree]) -> dict[str, Any]:
    """Answers per second over all updates."""
    source = rollouts(request, start)
    clock = time.perf_counter()
    updates: list[float] = []
    for _ in range(request.updates):
        batch = source.next({})
        assert batch is not None
        updates.append(trainer.step(batch)["seconds"])
    wait(trainer.device)
    seconds = time.perf_counter() - clock
    return {
        "rows": request.updates * WORKS["grpo"].batch,
        "seconds": seconds,
        "sampling_seconds": seconds - sum(updates),
        "update_seconds": updates,
        "layout": start.module.layout,
    }


def rollouts(request: Request, start: Start) -> Rollouts:
    """Answers to the one prompt of the case, sampled from the weights as they are."""
    work, (row,) = WORKS["grpo"], request.case.rows
    text = ChatText(load_tokenizer(request.model))
    assert isinstance(start.module, LanguageModel)
    engine = InProcessEngine(start.module, stop_tokens=(), policy_version="start")
    asked = Prompt(example=Example(id="prompt", prompt=(user(row.text),)), tokens=tuple(row.prompt))

    def judge(answers: Sequence[Answer]) -> list[Grade]:
        return [Grade(score=digits(completion.text)) for _, completion in answers]

    def unread(trees: Sequence[Tree]) -> list[list[list[float]]]:
        raise AssertionError("a rollout that is worth one update needs no pass for its log-probs")

    return Rollouts(
        [asked],
        engine,
        answer=lambda sample: completion_of(sample, text),
        judge=judge,
        valuation=PolicyValuation(
            Measured(policy=unread), GroupBaseline(baseline="mean_only"), KLController(FixedKL(weight=0.0)), updates=1
        ),
        check=GRPO().check,
        rollout=Rollout(num_samples=work.batch, decoding=Decoding(max_tokens=work.length)),
        worth=Worth(batch_size=1),
        seed=0,
    )


def digits(text: str) -> float:
    """The reward: the share of digits in an answer. `peer/grpo.py` has the same."""
    return sum(letter.isdigit() for letter in text) / max(len(text), 1)


def agreed(request: Request, trainer: Trainer[Tree]) -> dict[str, Any]:
    """The loss and the gradient of given answers with given rewards, in float32."""
    case = request.case
    tree = tree_of(0, case.rows[0])
    values = group_advantages(case.rewards, "mean_only")
    branches = tuple(
        replace(branch, token_columns={"advantage": [value] * len(branch.tokens)})
        for branch, value in zip(tree.branches, values, strict=True)
    )
    trainer.forward_backward([replace(tree, branches=branches)])
    save_gradient(request, trainer.optimizers["main"])
    return {"loss": trainer.optimizer_step()["loss"], "numbers": values}
