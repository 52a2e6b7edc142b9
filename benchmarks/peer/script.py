"""An SFT script of TRL as its users write one, from text to updates: the peer of `burnish sft` in `load` and `resume`.

    python -m benchmarks.peer.script MODEL ROWS.jsonl OUT '{"max_steps": 5, ...}'

A line goes to OUT/updates.jsonl when an update is done, as `burnish sft` does it with metrics.jsonl; a run that finds a
checkpoint in OUT goes on from it. The finished model is saved as OUT/model.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]  # in the peer's environment alone


class Lines(TrainerCallback):  # type: ignore[misc]
    """Writes a line for each update."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock starts."""
        self.begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock stops, and the line is written."""
        line = {"step": state.global_step, "seconds": time.perf_counter() - self.begun}
        if torch.cuda.is_available():
            line["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def main() -> None:
    """Train, from the newest checkpoint if there is one."""
    model_folder, rows, out, told = sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
    out.mkdir(parents=True, exist_ok=True)
    attention = told.pop("attn_implementation")
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32, attn_implementation=attention)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    lines = Path(rows).read_text(encoding="utf-8").splitlines()
    data = Dataset.from_list([chat(json.loads(line)) for line in lines])
    args = SFTConfig(output_dir=str(out / "checkpoints"), report_to="none", disable_tqdm=True, **told)
    trainer = SFTTrainer(
        model, args=args, train_dataset=data, processing_class=tokenizer, callbacks=[Lines(out / "updates.jsonl")]
    )
    found = get_last_checkpoint(args.output_dir) if Path(args.output_dir).is_dir() else None
    trainer.train(resume_from_checkpoint=found)
    trainer.save_model(str(out / "model"))


def chat(row: dict[str, str]) -> dict[str, Any]:
    """A demonstration as messages, whose prompt is not scored."""
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }


if __name__ == "__main__":
    main()
