"""`burnish doctor`: what this machine can do, and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from burnish import __version__
from burnish.cli.console import say
from burnish.cli.words import read_words
from burnish.stages.attempt import num_cores

if TYPE_CHECKING:
    import torch

_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "datasets", "peft", "pydantic")
_EXTRAS = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "evals": "reasoning_gym",
    "ray": "ray",
    "data": "rensa",
    "studio": "argon2",
}
"""The extras that users choose, each with a module that only it brings."""

_MEASURE_SECONDS = 0.4


def run(words: Sequence[str]) -> None:
    """`burnish doctor`."""
    read = read_words(words, "burnish doctor: show what this machine can do", ())
    if read is None:
        return
    for name, finding in findings():
        say(f"{name:<16} {finding}")


def findings() -> Iterator[tuple[str, str]]:
    """What there is to say, as (name, finding); each is found when it is asked for."""
    yield "burnish", f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield "processor", f"{num_cores()} cores for this process, {_processor()}"
    yield "memory", _memory()
    yield from _devices()
    yield from ((name, importlib.metadata.version(name)) for name in _LIBRARIES)
    for name, module in _EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield name, "installed" if there else f"not installed; pip install 'burnish[{name}]'"
    yield "working folder", _writable(Path.cwd())
    yield "hub cache", _hub_cache()


def _processor() -> str:
    return platform.processor() or platform.machine()


def _memory() -> str:
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES") / 1e9
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return f"{total:.1f} GB"
    return f"{total:.1f} GB, {page * os.sysconf('SC_AVPHYS_PAGES') / 1e9:.1f} GB unused now"


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    from burnish.numerics import default_device, has_fast_bf16

    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{facts.name}, {facts.total_memory / 1e9:.1f} GB"
    device = default_device()
    fast = has_fast_bf16(device)
    yield "device", f"{device} ({torch.get_num_threads()} threads of the processor)"
    yield "precision", f"'auto' computes in {'bf16' if fast else 'fp32'}; bf16 in hardware: {'yes' if fast else 'no'}"
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        yield f"products {name}", f"{_gigaflops(dtype, device):,.0f} GFLOP/s (matrices of 1024 x 1024)"


def _gigaflops(dtype: torch.dtype, device: torch.device) -> float:
    import torch

    left = torch.ones(1024, 1024, dtype=dtype, device=device)
    float((left @ left)[0, 0])  # the first product chooses a kernel
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _MEASURE_SECONDS:
        float((left @ left)[0, 0])  # waits for the device
        count += 1
    return 2 * 1024**3 * count / spent / 1e9


def _writable(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return f"{folder}: cannot be written ({error.strerror}); go to another folder"
    return f"{folder}: can be written, {shutil.disk_usage(folder).free / 1e9:.1f} GB free"


def _hub_cache() -> str:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    models = len(list(cache.glob("models--*"))) if cache.is_dir() else 0
    offline = "offline: only what is cached can be loaded" if constants.is_offline_mode() else "downloads are allowed"
    return f"{cache}: {models} models; {offline}"
