"""TRL's side: the losses of its own trainers on the case of `case.py`, written as JSON. Runs in TRL's environment.

    python -m benchmarks.parity.trl_side OUT.json

Each loss is `trainer.compute_loss` on the batch that the trainer itself tokenised and collated, in float32, without
dropout. Beside the loss stand the loss of each row alone (a batch of one), the norm of the gradient over all parameters
and, where the trainer's outputs allow it, the gradient of every token's log-prob or of every score. Nothing of Burnish
is imported. `measure.py` makes the environment and starts this file.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
import transformers
import trl
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from benchmarks.parity.case import digest, model, rows, tokenizer

Settings = Mapping[str, Any]
Case = dict[str, Any]

PAIRS = [{"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected} for row in rows()]
ANSWERS = [{"prompt": row.prompt, "completion": row.chosen} for row in rows()]
UNPAIRED = [{"prompt": row.prompt, "completion": row.answer, "label": row.desirable} for row in rows()]
SCORED = [
    {"chosen": row.prompt + row.chosen, "rejected": row.prompt + row.rejected, "margin": row.margin} for row in rows()
]

DPO_SETTINGS: Sequence[Settings] = (
    {"loss_type": ["sigmoid"], "beta": 0.1},
    {"loss_type": ["sigmoid"], "beta": 0.5},
    {"loss_type": ["sigmoid"], "beta": 0.5, "label_smoothing": 0.1},
    {"loss_type": ["aot"], "beta": 0.5, "label_smoothing": 0.1},
    {"loss_type": ["robust"], "beta": 0.5, "label_smoothing": 0.1},
    {"loss_type": ["hinge"], "beta": 0.5},
    {"loss_type": ["ipo"], "beta": 0.1},
    {"loss_type": ["ipo"], "beta": 0.5},
    {"loss_type": ["sigmoid_norm"], "beta": 2.0},
    {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5], "beta": 0.1},
    {"loss_type": ["exo_pair"], "beta": 0.5, "label_smoothing": 0.1},
    {"loss_type": ["nca_pair"], "beta": 0.5},
    {"loss_type": ["bco_pair"], "beta": 0.5},
    {"loss_type": ["sppo_hard"], "beta": 0.5},
    {"loss_type": ["apo_zero"], "beta": 0.5},
    {"loss_type": ["apo_down"], "beta": 0.5},
    {"loss_type": ["discopop"], "beta": 0.5},
)
KTO_SETTINGS: Sequence[Settings] = (
    {"loss_type": "kto", "beta": 0.1},
    {"loss_type": "kto", "beta": 0.5, "desirable_weight": 1.0, "undesirable_weight": 1.5},
    {"loss_type": "apo_zero_unpaired", "beta": 0.5},
)
CPO_SETTINGS: Sequence[Settings] = (
    {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 0.0},
    {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 0.0, "label_smoothing": 0.1},
    {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 1.0},
    {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.0},
    {"loss_type": "simpo", "beta": 2.5, "simpo_gamma": 0.0, "cpo_alpha": 0.0},
    {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.5},
)
ORPO_SETTINGS: Sequence[Settings] = ({"beta": 0.1}, {"beta": 1.0})
REWARD_SETTINGS: Sequence[tuple[Settings, bool]] = (
    ({}, False),
    ({}, True),
    ({"center_rewards_coefficient": 0.01}, False),
    ({"center_rewards_coefficient": 0.1}, True),
)


class Captured:
    """Keeps the named output of a model's forward passes that carry a gradient."""

    def __init__(self, built: torch.nn.Module, output: str) -> None:
        self.tensors: list[torch.Tensor] = []

        def keep(module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
            value = outputs.get(output)
            if value is not None and value.requires_grad:
                value.retain_grad()
                self.tensors.append(value)

        built.register_forward_hook(keep)


def arguments(folder: str, settings: Settings) -> dict[str, Any]:
    """What every trainer is told: the CPU, float32, the whole batch at once, nothing recomputed or reported."""
    plain = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none", "seed": 0}
    return {"output_dir": folder, "per_device_train_batch_size": len(PAIRS), **plain, **settings}


def batch_of(trainer: Any, places: Sequence[int]) -> dict[str, Any]:
    """The trainer's own batch of these rows."""
    return dict(trainer.data_collator([trainer.train_dataset[place] for place in places]))


def measured(trainer: Any, *, output: str | None, settings: Settings, name: str) -> Case:
    """The loss on the whole batch, on each row alone, and the gradients."""
    trainer.model.train()
    captured = Captured(trainer.model, output) if output else None
    everything = range(len(PAIRS))
    batch = batch_of(trainer, everything)
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    squares = [p.grad.double().square().sum() for p in trainer.model.parameters() if p.grad is not None]
    case: Case = {"trainer": name, "settings": dict(settings), "loss": loss.item()}
    case["gradient_norm"] = torch.stack(squares).sum().sqrt().item()
    if captured is not None:
        (tensor,) = captured.tensors
        assert tensor.grad is not None
        pairs_of = zip(tensor.grad, predicted(batch, tensor), strict=True)
        case["output_gradient"] = [gradient[kept].tolist() for gradient, kept in pairs_of]
    with torch.no_grad():
        case["per_row"] = [trainer.compute_loss(trainer.model, batch_of(trainer, [i])).item() for i in everything]
    return case


def predicted(batch: Mapping[str, torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    """Which entries of a trainer's output belong to an answer's tokens; all of them where it is a score per row."""
    if "completion_mask" in batch:
        return batch["completion_mask"][:, 1:].bool()
    return batch["labels"][:, 1:] != -100 if "labels" in batch else torch.ones_like(output, dtype=torch.bool)


def dpo(folder: str) -> tuple[list[Case], dict[str, Any]]:
    """Every loss of its DPO trainer, and the log-probs that they were made of."""
    cases: list[Case] = []
    for settings in DPO_SETTINGS:
        trainer = DPOTrainer(
            model("policy"),
            model("reference"),
            args=DPOConfig(**arguments(folder, settings)),
            train_dataset=Dataset.from_list(PAIRS),
            processing_class=tokenizer(),
        )
        case = measured(trainer, output="log_probs", settings=settings, name="DPOTrainer")
        cases.append(case)
    batch = batch_of(trainer, range(len(PAIRS)))
    return cases, {
        "rows": [{key: row[f"{key}_ids"] for key in ("prompt", "chosen", "rejected")} for row in trainer.train_dataset],
        "policy": token_logps(trainer.model, batch, ""),
        "reference": token_logps(trainer.ref_model, batch, ""),
    }


def token_logps(built: torch.nn.Module, batch: Mapping[str, torch.Tensor], prefix: str) -> list[list[float]]:
    """Log-probs of the completion's tokens by TRL's own head; chosen answers first, then rejected ones."""
    tokens, mask = batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"]
    labels = tokens.masked_fill(mask == 0, -100)
    with torch.no_grad():
        outputs = built(
            input_ids=tokens, attention_mask=batch[f"{prefix}attention_mask"], labels=labels, fused_lm_head=True
        )
    found = zip(outputs.log_probs, mask[:, 1:].bool(), strict=True)
    return [row[kept].tolist() for row, kept in found]


def kto(folder: str) -> tuple[list[Case], dict[str, Any]]:
    """KTO both ways round: with policy and reference exchanged its KL estimate has the other sign."""
    cases: list[Case] = []
    stored: dict[str, Any] = {}
    for exchanged in (False, True):
        for settings in KTO_SETTINGS:
            own, other = ("reference", "policy") if exchanged else ("policy", "reference")
            trainer = KTOTrainer(
                model(own),  # type: ignore[arg-type]
                model(other),  # type: ignore[arg-type]
                args=KTOConfig(**arguments(folder, settings)),
                train_dataset=Dataset.from_list(UNPAIRED),
                processing_class=tokenizer(),
            )
            case = measured(trainer, output="log_probs", settings=settings, name="KTOTrainer")
            case["exchanged"] = exchanged
            case["kl"] = trainer._metrics["train"]["kl"][0] if settings["loss_type"] == "kto" else None
            cases.append(case)
            if settings["loss_type"] == "kto" and not exchanged:
                stored = kto_logps(trainer)
    return cases, stored


def kto_logps(trainer: Any) -> dict[str, Any]:
    """The unpaired rows, each with the answer it is mismatched with, and their log-probs."""
    batch = batch_of(trainer, range(len(UNPAIRED)))
    return {
        "rows": [
            {
                "prompt": row["prompt_ids"],
                "answer": row["completion_ids"],
                "mismatched": row["KL_completion_ids"],
                "label": bool(row["label"]),
            }
            for row in trainer.train_dataset
        ],
        "policy": token_logps(trainer.model, batch, ""),
        "reference": token_logps(trainer.ref_model, batch, ""),
        "mismatched_policy": token_logps(trainer.model, batch, "KL_"),
        "mismatched_reference": token_logps(trainer.ref_model, batch, "KL_"),
    }


def unreferenced(folder: str) -> list[Case]:
    """CPO, SimPO and ORPO: the trainers without a reference, which live under `trl.experimental`."""
    cases: list[Case] = []
    kinds = ((CPOTrainer, CPOConfig, CPO_SETTINGS), (ORPOTrainer, ORPOConfig, ORPO_SETTINGS))
    for trainer_class, config_class, all_settings in kinds:
        for settings in all_settings:
            told = arguments(folder, settings) | {"max_length": 64, "remove_unused_columns": False}
            trainer = trainer_class(
                model("policy"),
                args=config_class(**told),
                train_dataset=Dataset.from_list(PAIRS),
                processing_class=tokenizer(),
            )
            case = measured(trainer, output=None, settings=settings, name=trainer_class.__name__)
            stored = trainer._stored_metrics["train"]
            case["metrics"] = {name: float(values[0]) for name, values in stored.items() if not name.startswith("log")}
            case["metrics"] |= {name: float(values[0]) for name, values in stored.items() if name.startswith("log_")}
            case["tokens"] = answers_seen(trainer)
            cases.append(case)
    return cases


def answers_seen(trainer: Any) -> list[list[list[int]]]:
    """The answers' tokens as the trainer made them, to check that all trainers saw the same."""
    kinds = ("chosen", "rejected")
    return [[[t for t in row[f"{kind}_labels"] if t != -100] for kind in kinds] for row in trainer.train_dataset]


def reward(folder: str) -> tuple[list[Case], list[list[float]]]:
    """Bradley-Terry on a head of one number, with margins and centring; and the scores of all pairs."""
    cases: list[Case] = []
    for settings, margins in REWARD_SETTINGS:
        data = SCORED if margins else [{k: v for k, v in row.items() if k != "margin"} for row in SCORED]
        trainer = RewardTrainer(
            model("reward"),
            args=RewardConfig(**arguments(folder, settings)),
            train_dataset=Dataset.from_list(data),
            processing_class=tokenizer(),
        )
        case = measured(trainer, output="logits", settings=settings, name="RewardTrainer")
        cases.append(case | {"margins": margins})
    with torch.no_grad():
        scores = trainer.model(**{k: v for k, v in batch_of(trainer, range(len(SCORED))).items() if k != "margin"})
    chosen, rejected = scores.logits.squeeze(-1).chunk(2)
    return cases, torch.stack([chosen, rejected], dim=1).tolist()


def sft(folder: str) -> list[Case]:
    """The chosen answers, in one batch and cut in two with the tokens of both counted."""
    trainer = SFTTrainer(
        model("policy"),
        args=SFTConfig(**arguments(folder, {})),
        train_dataset=Dataset.from_list(ANSWERS),
        processing_class=tokenizer(),
    )
    whole = measured(trainer, output="log_probs", settings={}, name="SFTTrainer")
    halves = [batch_of(trainer, range(2)), batch_of(trainer, range(2, len(ANSWERS)))]
    counted = sum(int((half["labels"] != -100).sum()) for half in halves)
    with torch.no_grad():
        parts = [trainer.compute_loss(trainer.model, dict(h), num_items_in_batch=counted).item() for h in halves]
        means = [trainer.compute_loss(trainer.model, dict(half)).item() for half in halves]
    whole["cut_in_two"] = {"sum_over_counted_tokens": sum(parts), "mean_of_means": sum(means) / 2}
    return [whole]


def short(value: Any) -> Any:
    """Numbers to nine significant digits, which hold a float32 exactly."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: short(entry) for key, entry in value.items()}
    return [short(entry) for entry in value] if isinstance(value, list) else value


def lines(found: Mapping[str, Any]) -> str:
    """JSON with one line per case and per row, so that a difference between two runs is readable."""
    parts = []
    for key, value in found.items():
        nested = isinstance(value, list) and isinstance(value[0], dict)
        text = "[\n" + ",\n".join(json.dumps(entry) for entry in value) + "\n]" if nested else json.dumps(value)
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Compute everything and write it."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        dpo_cases, pairs = dpo(folder)
        kto_cases, unpaired = kto(folder)
        reward_cases, scores = reward(folder)
        cases = [*sft(folder), *dpo_cases, *kto_cases, *unreferenced(folder), *reward_cases]
    for case in cases:
        seen = case.pop("tokens", None)
        assert seen is None or seen == [[row["chosen"], row["rejected"]] for row in pairs["rows"]], case
    for own, row in zip(pairs["rows"], rows(), strict=True):
        own["margin"] = row.margin
    versions = {"trl": trl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    found = {
        "origin": versions | {"date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(), "dtype": "float32"},
        "weights": {who: digest(model(who)) for who in ("policy", "reference", "reward")},  # type: ignore[arg-type]
        "pairs": pairs,
        "unpaired": unpaired,
        "scores": scores,
        "cases": cases,
    }
    Path(sys.argv[1]).write_text(lines(short(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
