"""Our side of SFT, DPO and the reward model: the trainer that the verbs use, on the given rows, with its defaults.

What is timed is the work of the run: the reference pass of DPO and the updates, each on one global batch. Loading and
making the trees is not; `load` times that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.case import Request, Row, gradient_file
from benchmarks.flops import product_rate, step_flops, wait
from benchmarks.works import WORKS
from burnish.batch import Branch, Tree
from burnish.models.language import language_model
from burnish.models.score import ScoreModel, score_model
from burnish.numerics import cast_weights
from burnish.objectives.dpo import DPO
from burnish.objectives.objective import Objective
from burnish.objectives.reward import BradleyTerry
from burnish.objectives.sft import SFT
from burnish.stages.start import Module, Start, started
from burnish.stages.updates import Training
from burnish.training.columns import completion_logps, completion_scores, with_column
from burnish.training.optimizer import AdamW, MasterOptimizer
from burnish.training.trainer import Trainer

OBJECTIVES: Mapping[str, Callable[[], Objective]] = {"sft": SFT, "dpo": DPO, "reward": BradleyTerry}

RATE = 1e-6
"""Learning rate on both sides, as TRL's DPO has it; small, so that no update makes the next one another work."""


def result(request: Request) -> dict[str, Any]:
    """What is timed, or what must agree."""
    start = started_model(request)
    return measured(request, start) if request.mode == "measure" else agreed(request, start)


def started_model(request: Request) -> Start:
    """The model of the case as a run starts from it, in one process; for the reward model with the case's head."""
    start = started(request.model, module_for(request), adapter=None, seed=0)
    start.module.to(request.device)
    cast_weights(start.plain, torch.bfloat16 if request.bf16 else torch.float32)
    return start


def module_for(request: Request) -> Callable[[PreTrainedModel], Module]:
    """What is trained over the model."""
    if request.work != "reward":
        return language_model
    head = torch.tensor([request.case.head])

    def with_head(model: PreTrainedModel) -> ScoreModel:
        module = score_model(model)
        with torch.no_grad():
            module.head.weight.copy_(head)
        return module

    return with_head


def tree_of(index: int, row: Row) -> Tree:
    """A row of the case; answers of a pair have their rank."""
    branches = tuple(
        Branch(tokens=answer, weights=[1.0] * len(answer), columns={"rank": float(rank)})
        for rank, answer in enumerate(row.answers)
    )
    return Tree(id=str(index), prompt=row.prompt, branches=branches)


def trainer_for(request: Request, start: Start, *, clip_norm: float = 1.0) -> Trainer[Tree]:
    """The trainer as a stage makes it, with the optimiser's numbers that both sides have."""
    updates = Training(optimizer=AdamW(learning_rate=RATE), clip_norm=clip_norm)
    return Trainer(
        {"main": start.part},
        OBJECTIVES[request.work](),
        updates,
        steps=request.updates,
        cost=start.cost,
        device=torch.device(request.device),
    )


def measured(request: Request, start: Start) -> dict[str, Any]:
    """Rows per second over all updates, the reference pass included."""
    trees = [tree_of(index, row) for index, row in enumerate(request.case.rows)]
    batch = WORKS[request.work].batch
    trainer = trainer_for(request, start)
    batches = [trees[place * batch : (place + 1) * batch] for place in range(request.updates)]
    done = [tree for some in batches for tree in some]
    clock = time.perf_counter()
    if request.work == "dpo":
        values = reference(done, start, trainer)
        done = with_column(done, "reference_logp", values)
        batches = [done[place * batch : (place + 1) * batch] for place in range(request.updates)]
    before = time.perf_counter() - clock
    metrics = [trainer.step(some) for some in batches]
    wait(trainer.device)
    seconds = time.perf_counter() - clock
    flops = step_flops(start.plain.config, done, head=request.work != "reward", reference=request.work == "dpo")
    return {
        "rows": len(done),
        "seconds": seconds,
        "reference_seconds": before,
        "update_seconds": [found["seconds"] for found in metrics],
        "loss": metrics[0]["loss"],
        "tokens": sum(tree.num_tokens for tree in done),
        "model_flops": flops,
        "product_rate": product_rate(trainer.device),
        "layout": start.module.layout,
    }


def reference(trees: Sequence[Tree], start: Start, trainer: Trainer[Tree]) -> list[tuple[float, ...]]:
    """Log-probs of the answers under the start, as the preference stages compute them."""
    budget = trainer.updates.token_budget
    return completion_logps(start.module, trees, budget=budget, cost=start.cost, device=trainer.device)


def agreed(request: Request, start: Start) -> dict[str, Any]:
    """The loss and the whole gradient of one batch in float32; of DPO the log-probs, of the reward model the scores."""
    trainer = trainer_for(request, start, clip_norm=0.0)
    trees = [tree_of(index, row) for index, row in enumerate(request.case.compared)]
    numbers: list[float] = []
    if request.work == "dpo":
        values = reference(trees, start, trainer)
        trees, numbers = with_column(trees, "reference_logp", values), flat(values)
    elif request.work == "reward":
        budget = trainer.updates.token_budget
        numbers = flat(completion_scores(start.module, trees, budget=budget, cost=start.cost, device=trainer.device))
    trainer.forward_backward(trees)
    save_gradient(request, trainer.optimizers["main"])
    return {"loss": trainer.optimizer_step()["loss"], "numbers": numbers}


def save_gradient(request: Request, optimizer: MasterOptimizer) -> None:
    """The gradient of every parameter by the name that transformers gives it."""
    found = {name_in_transformers(name): master.grad for name, master in optimizer.masters.items()}
    kept: dict[str, Tensor] = {name: grad.cpu().contiguous() for name, grad in found.items() if grad is not None}
    save_file(kept, gradient_file(request.out))


def name_in_transformers(name: str) -> str:
    """The name of a parameter without what our parts put in front; the head is a classifier's `score`."""
    return "score.weight" if name == "head.weight" else name.removeprefix("language.").removeprefix("model.")


def flat(rows: Sequence[Sequence[float]]) -> list[float]:
    """All numbers in order."""
    return [value for row in rows for value in row]
