"""One update of a causal model is that of transformers' own loss and torch's own AdamW: for every layout and split.

The other heads have the same test beside what they belong to: masks, spans and UL2 in `tests/training`, classes, tags,
answers and targets in the tests of their stages.
"""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from burnish.batch import Branch, Tree
from burnish.models.language import LanguageModel, LayoutName
from burnish.objectives.sft import SFT, CausalLM
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.trainer import Trainer, Updates
from tests.models.tiny import VOCABULARY, tiny_model
from tests.stages.specialist_gradients import flat_gradient, require_gradient
from tests.training.toys import weights_of

RATES = AdamW(learning_rate=1e-2, beta1=0.9, beta2=0.95, epsilon=1e-3, weight_decay=0.1)
"""Those of the lifecycle document but for the last: a large epsilon, so that rounding stays rounding."""


def documents() -> list[Tree]:
    """Texts of different length behind a begin token."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for number, length in enumerate((7, 3, 12, 5, 9)):
        tokens = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
        branch = Branch(tokens=tokens, weights=[1.0] * length, columns={"num_bytes": float(2 * length)})
        found.append(Tree(id=str(number), prompt=[1], branches=(branch,)))
    return found


def chats() -> list[Tree]:
    """Prompts with an answer each, of which one token does not count."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for number, (asked, answered) in enumerate(((4, 6), (2, 3), (9, 5))):
        prompt, answer = (torch.randint(3, VOCABULARY, (n,), generator=generator).tolist() for n in (asked, answered))
        weights = [1.0] * (answered - 1) + [0.0 if number == 1 else 1.0]
        found.append(Tree(id=str(number), prompt=prompt, branches=(Branch(tokens=answer, weights=weights),)))
    return found


CASES = {"pretraining": (CausalLM(), documents()), "chats": (SFT(), chats())}


def loss_of_transformers(model: PreTrainedModel, trees: list[Tree]) -> torch.Tensor:
    """The model's own loss of rows padded on the right, with what does not count as -100."""
    rows = [[*tree.prompt, *tree.branches[0].tokens] for tree in trees]
    width = max(map(len, rows))
    tokens, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full_like(tokens, -100)
    for place, (row, tree) in enumerate(zip(rows, trees, strict=True)):
        tokens[place, : len(row)] = torch.tensor(row)
        mask[place, : len(row)] = 1
        for column, weight in enumerate(tree.branches[0].weights, start=len(tree.prompt)):
            labels[place, column] = row[column] if weight else -100
    loss: torch.Tensor = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
    return loss


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "noisy_moe"])
@pytest.mark.parametrize("case", CASES)
def test_the_loss_and_the_gradient_are_those_of_transformers_for_any_split(case: str, name: str, layout: LayoutName):
    objective, trees = CASES[case]
    plain = tiny_model(name).requires_grad_(True)
    plain.set_attn_implementation("eager")
    theirs = loss_of_transformers(plain, trees)
    expected = flat_gradient(theirs, plain)
    part = LanguageModel(plain, layout=layout)
    cost = packed_cost if layout == "tree" else padded_cost
    require_gradient(part, objective, trees, expected, cost=cost)
    trainer = Trainer({"policy": Part(module=part)}, objective, Updates(optimizer=AdamW(learning_rate=0.0)), steps=1)
    assert trainer.step(trees)["loss"] == pytest.approx(float(theirs.detach()), rel=1e-5)


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("case", CASES)
def test_two_updates_are_those_of_torch_with_clipping_and_decay_of_matrices(case: str, layout: LayoutName):
    objective, trees = CASES[case]
    ours, theirs = (tiny_model(seed=4).requires_grad_(True) for _ in range(2))
    updates = Updates(optimizer=RATES, clip_norm=0.5, micro_batch_size=2)
    cost = packed_cost if layout == "tree" else padded_cost
    parts = {"policy": Part(module=LanguageModel(ours, layout=layout))}
    trainer = Trainer(parts, objective, updates, steps=2, cost=cost)
    theirs.set_attn_implementation("eager")
    decaying = [value for value in theirs.parameters() if value.ndim > 1]
    groups = [
        {"params": decaying, "weight_decay": 0.1},
        {"params": [value for value in theirs.parameters() if value.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-3)
    start = weights_of(ours)
    for _ in range(2):
        metrics = trainer.step(trees)
        optimizer.zero_grad()
        loss_of_transformers(theirs, trees).backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert metrics["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
        assert float(norm) > 0.5, "nothing is clipped"
        optimizer.step()
    found, expected = weights_of(ours), weights_of(theirs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert float((found - start).abs().max()) > 1e-3
