"""TRL's side of SFT, DPO and the reward model: its own trainers on the given token ids, with the tuned settings.

What is timed is what is timed on our side: the updates, from the beginning of the first to the end of the last, and
DPO's reference pass where TRL makes one before the training. Building the trainer is not.

bf16 is TRL's own: float32 weights under autocast. That is the same precision as ours, whose products are bf16 and whose
masters are float32. A model loaded in bf16 would update bf16 weights, which is another precision, so it is not tried.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
import trl  # type: ignore[import-not-found]  # in the peer's environment alone
from datasets import Dataset
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

from benchmarks.case import Case, Request, Row, gradient_file
from benchmarks.works import WORKS

RATE = 1e-6
"""The learning rate of `ours/training.py`."""

PADDING = 0
"""A token that no row holds: a classifier finds the end of a row by it, and SmolLM2's padding token ends answers."""


class Watch(TrainerCallback):  # type: ignore[misc]
    """Clocks of the updates, the losses that TRL logs, and the gradient before the first update."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.losses: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock starts."""
        self.begun.append(time.perf_counter())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock stops."""
        if self.request.device == "cuda":
            torch.cuda.synchronize()
        self.ended.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """The loss of the update."""
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """The gradient, which nothing has clipped when it is to be compared."""
        if self.request.mode == "agree":
            found = {name: p.grad.cpu().contiguous() for name, p in model.named_parameters() if p.grad is not None}
            save_file(found, gradient_file(self.request.out))

    @property
    def seconds(self) -> float:
        """From the beginning of the first update to the end of the last."""
        return self.ended[-1] - self.begun[0]

    def times(self) -> list[float]:
        """Seconds of each update."""
        return [end - begin for begin, end in zip(self.begun, self.ended, strict=True)]


class TokenDPO(DPOTrainer):  # type: ignore[misc]
    """TRL's trainer on rows that are tokens already; it has no other way in. Times its reference pass."""

    reference_seconds = 0.0

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        clock = time.perf_counter()
        found = super()._precompute_ref_logps(dataset, name, batch_size)
        self.reference_seconds += time.perf_counter() - clock
        return found


def result(request: Request) -> dict[str, Any]:
    """What is timed, or what must agree."""
    trainer = trainer_for(request)
    watch = Watch(request)
    trainer.add_callback(watch)
    numbers = compared_numbers(request, trainer) if request.mode == "agree" else []
    trainer.train()
    rows = request.updates * WORKS[request.work].batch
    before = trainer.reference_seconds if isinstance(trainer, TokenDPO) else 0.0
    return {
        "rows": rows,
        "seconds": watch.seconds + before,
        "reference_seconds": before,
        "update_seconds": watch.times(),
        "loss": watch.losses[0],
        "numbers": numbers,
        "versions": {"trl": trl.__version__},
    }


def trainer_for(request: Request) -> Any:
    """TRL's trainer for the work, in the order of the rows."""
    tokenizer = AutoTokenizer.from_pretrained(request.model)
    tokenizer.pad_token_id = PADDING
    rows = request.case.rows if request.mode == "measure" else request.case.compared
    told = arguments(request, len(rows))
    model = model_for(request)
    if request.work == "sft":
        told |= {"max_length": None} if told.get("padding_free") else {}  # the rows are cut already
        data = Dataset.from_list([labelled(row) for row in rows])
        return SFTTrainer(model, args=SFTConfig(**told), train_dataset=data, processing_class=tokenizer)
    data = Dataset.from_list([pair(request.work, row) for row in rows])
    if request.work == "reward":
        return RewardTrainer(model, args=RewardConfig(**told), train_dataset=data, processing_class=tokenizer)
    second = None if told["precompute_ref_log_probs"] else model_for(request)
    return TokenDPO(model, second, args=DPOConfig(**told), train_dataset=data, processing_class=tokenizer)


def labelled(row: Row) -> dict[str, list[int]]:
    """A demonstration: the prompt is not scored."""
    return {
        "input_ids": row.prompt + row.answers[0],
        "labels": [-100] * len(row.prompt) + row.answers[0],
    }


def pair(work: str, row: Row) -> dict[str, Any]:
    """A pair, as the trainers name its parts."""
    chosen, rejected = row.answers
    if work == "reward":
        return {"chosen_ids": row.prompt + chosen, "rejected_ids": row.prompt + rejected}
    return {"prompt_ids": row.prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def model_for(request: Request) -> PreTrainedModel:
    """The model in float32, with the attention that was tuned; for the reward model with the case's head."""
    told: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": request.settings["attn_implementation"]}
    if request.work != "reward":
        return AutoModelForCausalLM.from_pretrained(request.model, **told)
    model = AutoModelForSequenceClassification.from_pretrained(request.model, num_labels=1, **told)
    with torch.no_grad():
        model.score.weight.copy_(torch.tensor([request.case.head]))
    return model


def arguments(request: Request, num_rows: int) -> dict[str, Any]:
    """What TRL is told: what both sides share, and the tuned settings."""
    settings: Mapping[str, Any] = request.settings
    own = {name: value for name, value in settings.items() if name not in ("attn_implementation", "environment")}
    batch = WORKS[request.work].batch if request.mode == "measure" else num_rows
    micro = min(int(own.pop("per_device_train_batch_size")), batch)
    agree = {"max_grad_norm": 0.0} if request.mode == "agree" else {}
    return {
        "output_dir": request.out,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro,
        "max_steps": request.updates if request.mode == "measure" else 1,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "max_length": WORKS[request.work].max_tokens,
        "train_sampling_strategy": "sequential",
        "use_cpu": request.device == "cpu",
        "bf16": request.bf16,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 0,
        **own,
        **agree,
    }


@torch.no_grad()
def compared_numbers(request: Request, trainer: Any) -> list[float]:
    """Before the update: of DPO the log-probs of the answers under the reference, of the reward model the scores."""
    case: Case = request.case
    if request.work == "sft":
        return []
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(len(case.agree))])
    batch = {name: value.to(trainer.model.device) for name, value in batch.items()}
    trainer.model.eval()
    if request.work == "dpo":
        chosen, rejected = trainer.compute_ref_log_probs(trainer.ref_model or trainer.model, batch)
    else:
        kept = {name: value for name, value in batch.items() if name in ("input_ids", "attention_mask")}
        chosen, rejected = trainer.model(**kept).logits.squeeze(-1).float().chunk(2)
    return [value for both in zip(chosen.tolist(), rejected.tolist(), strict=True) for value in both]
