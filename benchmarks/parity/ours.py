"""Our side of the comparison: which of our objectives answers which of TRL's cases, and what it computes there.

Each `Comparison` names one stored case and our objective, and says in its note what differs and what makes both equal:

    theirs="batch"   TRL's loss of the whole batch
    theirs="rows"    the mean of TRL's losses of batches of one row, where TRL mixes the rows of a batch
    per_token=True   ours is given log-probs divided by their answer's number of tokens

`from_stored` needs no model: the stored log-probs (or scores) go into the objective. `from_model` builds the tiny model
again and goes the whole way, through the tree batch and its layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.parity.case import Who, model
from burnish.batch import Branch, Tree, TreeBatch, pack
from burnish.metrics import values
from burnish.models.language import LanguageModel
from burnish.models.score import ScoreModel
from burnish.objectives.objective import Objective, Outputs

NUMBERS = Path(__file__).with_name("numbers.json")

Case = Mapping[str, Any]
Layout = Literal["tree", "padded"]
Data = Literal["pairs", "answers", "unpaired", "exchanged"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One of our objectives against one stored case.

    Attributes:
        name: what the table calls it.
        case: the stored case, as `case_name` writes it.
        objective: ours.
        data: which of the stored rows; "exchanged" are the unpaired ones with policy and reference exchanged.
        theirs: what of TRL's is compared.
        per_token: divide log-probs by the tokens of their answer before our objective sees them.
        term: compare this term of ours alone, with TRL's `metrics` entry times a factor.
        note: the difference, and why the numbers can be compared.
    """

    name: str
    case: str
    objective: Objective
    data: Data = "pairs"
    theirs: Literal["batch", "rows"] = "batch"
    per_token: bool = False
    term: tuple[str, str, float] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What ours computed: the loss, with the gradient of each output (stored numbers) or its norm (a model)."""

    loss: float
    gradient: list[list[float]] | None = None
    gradient_norm: float | None = None


def numbers() -> Mapping[str, Any]:
    """TRL's numbers with their origin."""
    found: Mapping[str, Any] = json.loads(NUMBERS.read_text(encoding="utf-8"))
    return found


def case_name(case: Case) -> str:
    """`DPOTrainer loss_type=sigmoid beta=0.1`; also what the case was told beside its settings."""

    def shown(value: Any) -> str:
        return "+".join(shown(entry) for entry in value) if isinstance(value, list) else f"{value}"

    words = [f"{key}={shown(value)}" for key, value in case["settings"].items()]
    flags = [flag for flag in ("exchanged", "margins") if case.get(flag)]
    return " ".join([case["trainer"], *words, *flags])


def cases() -> dict[str, Case]:
    """The stored cases by name."""
    return {case_name(case): case for case in numbers()["cases"]}


def their_value(comparison: Comparison, case: Case) -> float:
    """TRL's side of a comparison."""
    if comparison.term is not None:
        _, metric, factor = comparison.term
        return factor * float(case["metrics"][metric])
    return float(case["loss"]) if comparison.theirs == "batch" else sum(case["per_row"]) / len(case["per_row"])


def _branch(tokens: Sequence[int], **columns: float) -> Branch:
    return Branch(tokens=tokens, weights=[1.0] * len(tokens), columns=columns)


def trees_of(data: Data) -> list[Tree]:
    """The stored rows as trees, with the reference's stored log-probs."""
    stored = numbers()["unpaired" if data in ("unpaired", "exchanged") else "pairs"]
    if data in ("pairs", "answers"):
        own = _pair_branches(stored, len(stored["rows"]))
        kept = own if data == "pairs" else [branches[:1] for branches in own]
    else:
        kept = _unpaired_branches(stored, "policy" if data == "exchanged" else "reference")
    return [
        Tree(id=str(i), prompt=row["prompt"], branches=tuple(branches))
        for i, (row, branches) in enumerate(zip(stored["rows"], kept, strict=True))
    ]


def _pair_branches(stored: Mapping[str, Any], count: int) -> list[list[Branch]]:
    reference = [sum(logps) for logps in stored["reference"]]
    return [
        [
            _branch(row["chosen"], rank=0.0, score=row["margin"], reference_logp=reference[i]),
            _branch(row["rejected"], rank=1.0, score=0.0, reference_logp=reference[count + i]),
        ]
        for i, row in enumerate(stored["rows"])
    ]


def _unpaired_branches(stored: Mapping[str, Any], reference: Who) -> list[list[Branch]]:
    found = []
    for i, row in enumerate(stored["rows"]):
        own, other = sum(stored[reference][i]), sum(stored[f"mismatched_{reference}"][i])
        label = float(row["label"])
        answer = _branch(row["answer"], label=label, mismatched=0.0, reference_logp=own)
        found.append([answer, _branch(row["mismatched"], label=label, mismatched=1.0, reference_logp=other)])
    return found


def stored_logps(data: Data) -> list[list[float]]:
    """The policy's log-probs of each completion's tokens, in the order of the packed trees."""
    if data in ("unpaired", "exchanged"):
        who = "reference" if data == "exchanged" else "policy"
        stored = numbers()["unpaired"]
        return [logps for both in zip(stored[who], stored[f"mismatched_{who}"], strict=True) for logps in both]
    logps = numbers()["pairs"]["policy"]
    half = len(logps) // 2
    if data == "answers":
        return list(logps[:half])
    return [own for both in zip(logps[:half], logps[half:], strict=True) for own in both]


def loss_of(comparison: Comparison, outputs: Outputs, batch: TreeBatch) -> Tensor:
    """The objective's loss on a batch, with its own statistics, as the trainer adds it up."""
    if comparison.per_token:
        count_C = batch.num_scored_C()
        outputs = {"logp": outputs["logp"] / count_C[batch.completion_N]}
        batch = replace(batch, columns={**batch.columns, "reference_logp": batch.columns["reference_logp"] / count_C})
    objective = comparison.objective
    detached = {name: value.detach() for name, value in outputs.items()}
    statistics = values(objective.statistics(detached, batch))
    terms, weights = objective.loss(outputs, batch, statistics).terms, objective.weights(batch)
    names = list(terms) if comparison.term is None else [comparison.term[0]]
    return torch.stack([terms[name] / weights[name] for name in names]).sum()


def from_stored(comparison: Comparison) -> Found:
    """Our loss of the stored log-probs or scores, with the gradient of each of them by completion."""
    batch = pack(trees_of(comparison.data))
    if comparison.objective.reads == ("scores",):
        leaf = torch.tensor(numbers()["scores"]).flatten().requires_grad_()
        outputs, lengths = {"scores": leaf[:, None]}, [1] * batch.num_completions
    else:
        logps = stored_logps(comparison.data)
        leaf = torch.tensor([value for own in logps for value in own]).requires_grad_()
        outputs, lengths = {"logp": leaf}, [len(own) for own in logps]
    loss = loss_of(comparison, outputs, batch)
    (gradient,) = torch.autograd.grad(loss, leaf)
    by_completion = [part.tolist() for part in gradient.split(lengths)]
    return Found(loss=float(loss.detach()), gradient=_in_their_order(by_completion, comparison.data))


def _in_their_order(by_completion: list[list[float]], data: Data) -> list[list[float]]:
    """Chosen answers first, then rejected ones; of unpaired rows the answer alone."""
    if data == "pairs":
        return by_completion[0::2] + by_completion[1::2]
    return by_completion if data == "answers" else by_completion[0::2]


def from_model(comparison: Comparison, layout: Layout) -> Found:
    """Our loss on the rebuilt model, with the norm of the gradient over all its parameters."""
    batch = pack(trees_of(comparison.data))
    part = part_of(comparison, layout)
    loss = loss_of(comparison, part(batch, frozenset(comparison.objective.reads)), batch)
    return Found(loss=float(loss.detach()), gradient_norm=gradient_norm(loss, part))


def gradient_norm(loss: Tensor, part: nn.Module) -> float:
    """Norm of the gradient over all parameters of a part."""
    gradients = torch.autograd.grad(loss, list(part.parameters()), allow_unused=True)
    squares = [gradient.double().square().sum() for gradient in gradients if gradient is not None]
    return float(torch.stack(squares).sum().sqrt())


def part_of(comparison: Comparison, layout: Layout) -> LanguageModel | ScoreModel:
    """The part that the objective reads from."""
    built = model("reference" if comparison.data == "exchanged" else "policy")
    if comparison.objective.reads != ("scores",):
        return LanguageModel(built, layout=layout)
    part = ScoreModel(built, layout=layout, seed=0)
    part.head.weight = nn.Parameter(dict(model("reward").named_parameters())["score.weight"].detach())
    return part
