"""Counts that do not depend on the clock, against a committed baseline, so that a slower path cannot slip in.

    python -m benchmarks.baseline           show what has changed
    python -m benchmarks.baseline --write   write benchmarks/baseline.json anew; say in the commit why it changed

Of one update of each method on a tiny model: tokens that the layers compute, operations of matrix products, the most
bytes of tensors alive beyond what stands. Of the sampler: operations per decoding step. Of the start: how many modules
are imported, and which heavy libraries are among them. `tests/test_baseline.py` fails when a count leaves the slack
around its baseline, upwards or downwards: what has become better is held too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from burnish.batch import Branch, Tree
from burnish.models.language import LanguageModel
from burnish.models.score import ScoreModel
from burnish.numerics import cast_weights, generator_from
from burnish.objectives.dpo import DPO
from burnish.objectives.grpo import GRPO
from burnish.objectives.objective import Objective
from burnish.objectives.reward import BradleyTerry
from burnish.objectives.sft import SFT
from burnish.protocols import Decoding, Request
from burnish.sampling.engine import InProcessEngine
from burnish.training.live_bytes import LiveBytes
from burnish.training.part import Part, trainable_parameters
from burnish.training.trainer import Trainer, Updates

FILE = Path(__file__).with_name("baseline.json")

SLACK = {"tokens": 0.0, "flops": 0.01, "bytes": 0.03, "calls": 0.02, "modules": 0.05}
"""By the last word of a count's name: how far it may be from its baseline, as a share."""

HEAVY = ("torch", "transformers", "transformers.modeling_utils", "peft", "datasets", "pyarrow", "matplotlib", "scipy")
"""Libraries whose import takes long; the baseline holds which of them a command imports."""

STARTS = {
    "import": "import burnish",
    "help": "from burnish.cli import main; main(['--help'])",
    "sft help": "from burnish.cli import main; main(['sft', '--help'])",
}

_VOCABULARY = 2048


def counts() -> dict[str, Any]:
    """Everything that the baseline holds."""
    return {**dict(_of_updates()), "decoding.calls": decoding_calls(_model()), **dict(_of_starts())}


def differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """A line for each count that has left its slack, in either direction, and for each that is new or gone."""
    lines = [f"{name} is no longer counted" for name in before if name not in now]
    for name, value in now.items():
        if name not in before:
            lines.append(f"{name} is {value}, and the baseline has no such count")
        elif isinstance(value, list):
            if more := sorted(set(value) - set(before[name])):
                lines.append(f"{name} imports {', '.join(more)} too; import where it is used")
            if fewer := sorted(set(before[name]) - set(value)):
                lines.append(f"{name} no longer imports {', '.join(fewer)}; write the baseline anew to hold that")
        elif abs(value - before[name]) > SLACK[name.rpartition(".")[2]] * before[name]:
            how = "grew" if value > before[name] else "shrank; write the baseline anew to hold that"
            lines.append(f"{name} was {before[name]}, is {value}: it {how}")
    return lines


def _of_updates() -> Iterator[tuple[str, Any]]:
    """The counts of one update of each method."""
    for name, (objective, trees) in methods().items():
        for what, value in update_counts(objective, trees).items():
            yield f"{name}.{what}", value


def methods() -> dict[str, tuple[Objective, list[Tree]]]:
    """Each method with the trees of an update: prompts of 40 tokens, answers of 20."""
    pair = [{"rank": 0.0, "reference_logp": -60.0}, {"rank": 1.0, "reference_logp": -61.0}]
    tokens = {"advantage": (0.5,) * 20, "old_logp": (-6.0,) * 20, "sampler_logp": (-6.0,) * 20}
    return {
        "sft": (SFT(), [_tree(f"sft {n}", [{}]) for n in range(4)]),
        "dpo": (DPO(), [_tree(f"dpo {n}", pair) for n in range(4)]),
        "reward": (BradleyTerry(), [_tree(f"reward {n}", pair) for n in range(4)]),
        "grpo": (GRPO(), [_tree("grpo", [{}] * 8, tokens)]),
    }


def _tree(
    name: str, columns: Sequence[Mapping[str, float]], token_columns: Mapping[str, Sequence[float]] | None = None
) -> Tree:
    def drawn(count: int, *keys: str | int) -> list[int]:
        return torch.randint(1, _VOCABULARY, (count,), generator=generator_from(name, *keys)).tolist()

    branches = tuple(
        Branch(tokens=drawn(20, n), weights=(1.0,) * 20, columns=given, token_columns=token_columns or {})
        for n, given in enumerate(columns)
    )
    return Tree(id=name, prompt=drawn(40, "prompt"), branches=branches)


def _model() -> LlamaForCausalLM:
    """A Llama of four layers with grouped keys."""
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def update_counts(objective: Objective, trees: Sequence[Tree]) -> dict[str, int]:
    """Of a later update in bf16: tokens that the layers compute, operations, and the most bytes alive beyond those
    between updates, in forward and backward passes and in the update itself."""
    with LiveBytes() as live:
        trainer = _trainer(objective)
        trainer.step(trees)  # makes the optimiser's state
        live.lap()
        before = live.now
        trainer.forward_backward(trees)
        passes = live.lap() - before
        trainer.optimizer_step()
        update = live.lap() - before
    seen: list[int] = []
    model = _language(trainer).model
    hook = model.get_input_embeddings().register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].numel()))
    with FlopCounterMode(display=False, custom_mapping=fused_attention()) as counter:
        trainer.step(trees)
    hook.remove()
    flops = int(counter.get_total_flops())
    return {"tokens": sum(seen), "flops": flops, "passes.bytes": passes, "update.bytes": update}


def _trainer(objective: Objective) -> Trainer[Tree]:
    """A trainer of all weights in bf16."""
    model = _model().requires_grad_(True)
    scores = bool({"score", "scores"} & set(objective.reads))
    part = ScoreModel(model, layout="tree", seed=0) if scores else LanguageModel(model, layout="tree")
    exact = {name: value.detach() for name, value in trainable_parameters(part).items()}
    cast_weights(model, torch.bfloat16)
    return Trainer({"part": Part(module=part, exact=exact)}, objective, Updates(), steps=3)


def _language(trainer: Trainer[Tree]) -> LanguageModel:
    part = trainer.parts["part"].module
    return part.language if isinstance(part, ScoreModel) else part  # type: ignore[return-value]


def fused_attention() -> dict[Any, Callable[..., int]]:
    """The CPU's fused attention, which torch's counter leaves out."""

    def forward(query: Any, key: Any, value: Any, *args: Any, **others: Any) -> int:
        return 4 * query[0] * query[1] * query[2] * key[2] * query[3]

    def backward(gradient: Any, query: Any, key: Any, *args: Any, **others: Any) -> int:
        return 10 * query[0] * query[1] * query[2] * key[2] * query[3]

    aten = torch.ops.aten
    return {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }


def decoding_calls(model: LlamaForCausalLM) -> int:
    """Operations of one decoding step of 8 rows: what 8 more steps take, by 8."""
    engine = InProcessEngine(LanguageModel(model, layout="tree"), stop_tokens=(), policy_version="baseline")
    requests = [Request(id="prompt", prompt=tuple(range(1, 31)), num_samples=8)]

    def calls(steps: int) -> int:
        with LiveBytes() as live:
            engine.sample(requests, Decoding(max_tokens=steps), seed=0)
        return live.calls

    return (calls(16) - calls(8)) // 8


def _of_starts() -> Iterator[tuple[str, Any]]:
    """What commands import before they do anything."""
    for name, code in STARTS.items():
        yield from start_counts(name, code).items()


def start_counts(name: str, code: str) -> dict[str, Any]:
    """How many modules beside the standard library's some code imports in a fresh process, and which heavy ones."""
    script = f"import json, sys\n{code}\nprint(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    standard = {*sys.stdlib_module_names, "__main__", "_distutils_hack", "sitecustomize"}
    modules = [module for module in json.loads(done.stdout.splitlines()[-1]) if module.split(".")[0] not in standard]
    return {f"{name}.modules": len(modules), f"{name}.heavy": [heavy for heavy in HEAVY if heavy in modules]}


def main() -> None:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the baseline anew")
    write = parser.parse_args().write
    now = counts()
    before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    sys.stdout.write("".join(f"{line}\n" for line in differences(now, before)) or "as the baseline\n")
    if write:
        FILE.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
