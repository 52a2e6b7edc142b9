"""Our side of one work, in a fresh process: `python -m benchmarks.ours REQUEST.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.case import Request, result_file
from benchmarks.ours import grpo, sampling, training
from burnish import __version__
from burnish.memory import keep_freed_memory

PARTS: Mapping[str, Callable[[Request], dict[str, Any]]] = {
    "sft": training.result,
    "dpo": training.result,
    "reward": training.result,
    "grpo": grpo.result,
    "sample-groups": sampling.result,
    "sample-prompts": sampling.result,
}


def main() -> None:
    """Do what the request asks, as the command line would begin, and write the result beside it."""
    keep_freed_memory()
    request = Request.read(Path(sys.argv[1]))
    found = PARTS[request.work](request)
    if request.device == "cuda":
        found |= {"peak_bytes": torch.cuda.max_memory_allocated(), "accelerator": torch.cuda.get_device_name()}
    found["threads"] = torch.get_num_threads()
    found["versions"] = {
        "burnish": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    result_file(Path(request.out)).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
