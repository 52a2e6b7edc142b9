"""The peer's side of one work, in a fresh process of its own environment: `python -m benchmarks.peer REQUEST.json`.

Imports TRL, transformers and torch, and nothing of Burnish. What a user would set for the whole process (the thread
count, glibc's allocator) comes as environment variables; `settings` holds what is passed to TRL.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
import transformers

from benchmarks.case import Request, result_file

PARTS: Mapping[str, str] = {
    "sft": "training",
    "dpo": "training",
    "reward": "training",
    "grpo": "grpo",
    "sample-groups": "sampling",
    "sample-prompts": "sampling",
}


def main() -> None:
    """Do what the request asks and write the result beside it; TRL is imported only where it is used."""
    transformers.logging.set_verbosity_error()
    request = Request.read(Path(sys.argv[1]))
    found = importlib.import_module(f"benchmarks.peer.{PARTS[request.work]}").result(request)
    if request.device == "cuda":
        found["peak_bytes"] = torch.cuda.max_memory_allocated()
    found["threads"] = torch.get_num_threads()
    found["versions"] = {"torch": torch.__version__, "transformers": transformers.__version__, **found["versions"]}
    result_file(Path(request.out)).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
