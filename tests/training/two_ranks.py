"""What each of two processes runs for `test_parallel.py`, and what one process runs to compare with.

python two_ranks.py RANK FOLDER      joins the other rank over gloo, writes FOLDER/RANK.pt
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh

from burnish.batch import Tree
from burnish.models.frozen import ReferenceModel
from burnish.models.routed import ROUND, RoutedLanguageModel
from burnish.objectives.balance import Balanced
from burnish.objectives.doremi import DOMAIN, WEIGHT, DoReMi
from burnish.objectives.dpo import DPO
from burnish.objectives.objective import Objective
from burnish.objectives.sft import SFT
from burnish.training.checkpoint import restore_checkpoint, save_checkpoint
from burnish.training.columns import with_column
from burnish.training.optimizer import AdamW
from burnish.training.parallel import shard, whole
from burnish.training.part import Part
from burnish.training.source import Shuffled
from burnish.training.trainer import Trainer, Updates
from tests.models.tiny import tiny_model
from tests.training.test_contract import ActorCritic, ValueHead, anchored, rewarded
from tests.training.test_splits import Centred
from tests.training.toys import chats, pairs, policy, without_clocks

UPDATES = Updates(
    optimizer=AdamW(learning_rate=1e-3, weight_decay=0.1), clip_norm=0.1, micro_batch_size=2, token_budget=60
)
"""Two examples at a time: five of them make three micro-batches, so that one rank gets a spare one."""

Place = Callable[[nn.Module], None]
"""Puts a part where it belongs: shards it, or leaves it alone."""


@dataclass(frozen=True)
class Case:
    """A run: its objective, its data, and what the policy has beside it (critic, reference) or in it (noisy gates)."""

    objective: Callable[[nn.Module], Objective]
    items: list[Tree]
    critic: bool = False
    routed: bool = False
    reference: bool = False


def numbered(trees: list[Tree]) -> list[Tree]:
    """Trees as batch 3 of a run."""
    return with_column(trees, ROUND, [[3.0] * len(tree.branches) for tree in trees])


def weighted(trees: list[Tree]) -> list[Tree]:
    """Five trees of three domains in turn, with weights."""
    columns = {DOMAIN: (0.0, 1.0, 2.0, 0.0, 1.0), WEIGHT: (0.6, 0.3, 0.1, 0.6, 0.3), "num_bytes": (4.0,) * 5}
    for name, values in columns.items():
        trees = with_column(trees, name, [[value] for value in values])
    return trees


CASES = {
    "sft": Case(lambda part: SFT(), chats(5, completions=2)),
    "dpo": Case(lambda part: DPO(beta=0.3), pairs(5)),
    "statistic": Case(lambda part: Centred(), chats(5, completions=2)),
    "penalty": Case(lambda part: anchored(part, distance=0.25, fisher=0.02), chats(5)),
    "critic": Case(lambda part: ActorCritic(), rewarded(5), critic=True),
    "experts": Case(
        lambda part: Balanced(goal=SFT(), importance_weight=0.5, load_weight=0.5),
        numbered(chats(5, completions=2)),
        routed=True,
    ),
    "domains": Case(lambda part: DoReMi(domains=("a", "b", "c")), weighted(chats(5)), reference=True),
}


def trainer_of(case: Case, place: Place) -> Trainer[Tree]:
    """A trainer whose policy is put in its place; a critic stays whole on every rank."""
    part: nn.Module = policy()
    if case.routed:
        part = RoutedLanguageModel(tiny_model("noisy_moe"), seed=1).requires_grad_(True)
    place(part)
    parts = {"policy": Part(module=part)}
    if case.critic:
        torch.manual_seed(0)
        parts["critic"] = Part(module=ValueHead(32))
    if case.reference:
        reference = ReferenceModel(policy(seed=1))
        place(reference.language)
        parts["reference"] = Part(module=reference, frozen=True)
    return Trainer(parts, case.objective(part), UPDATES, steps=9)


def masters_of(trainer: Trainer[Tree], read: Callable[[nn.Parameter], Tensor | None]) -> dict[str, Tensor]:
    """Something of every master that has it, put together over ranks."""
    return {
        f"{part}.{name}": whole(value.detach()).clone()
        for part, optimizer in trainer.optimizers.items()
        for name, master in optimizer.masters.items()
        if (value := read(master)) is not None
    }


def outcome(case: Case, place: Place) -> dict[str, Any]:
    """Gradients before the update, metrics of two updates, an evaluation, and the weights in the end."""
    trainer = trainer_of(case, place)
    trainer.forward_backward(case.items)
    for optimizer in trainer.optimizers.values():
        trainer.ranks.sum_gradients(optimizer.masters.values())
    gradients = masters_of(trainer, lambda master: master.grad)
    trainer._drop()
    metrics = [without_clocks(trainer.step(case.items)), without_clocks(trainer.step(case.items[:3]))]
    looked = trainer.evaluate(case.items)
    return {
        "gradients": gradients,
        "metrics": [*metrics, looked],
        "weights": masters_of(trainer, lambda master: master),
    }


def resumed(folder: Path, place: Place, *, stop: int) -> dict[str, Tensor]:
    """The weights of a run of four updates: up to `stop` into a checkpoint, or from a checkpoint to the end."""
    case = CASES["sft"]
    trainer, source = trainer_of(case, place), Shuffled(case.items, batch_size=3, seed=0)
    restore_checkpoint(folder, trainer, source)

    def after(metrics: Mapping[str, float]) -> bool:
        if trainer.num_updates == stop:
            save_checkpoint(folder, trainer, source, metrics, metrics_bytes=0)
        return trainer.num_updates in (stop, 4)

    trainer.run(source, after=after)
    return masters_of(trainer, lambda master: master)


def main(rank: int, folder: Path) -> None:
    """One of two ranks."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))

    def sharded(part: nn.Module) -> None:
        shard(part, mesh, dtype=torch.float32)

    found: dict[str, Any] = {f"{name} sharded": outcome(case, sharded) for name, case in CASES.items()}
    found |= {f"{name} whole": outcome(case, lambda part: None) for name, case in CASES.items()}
    resumed(folder / "by-two", sharded, stop=2)
    found["by one, then two"] = resumed(folder / "by-one", sharded, stop=4)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
