"""`load` and `resume`: what a user waits for, from the command to the first update, as seen from outside.

Both begin at the text: `burnish sft` on our side, `peer/script.py` on TRL's, the same rows and global batch.

    load     a new run of 5 updates. `seconds` is from the command to the end of the first update, `import_seconds` that
             of a fresh process which only imports what the run imports, `training_seconds` the sum of all updates
    resume   a run with a checkpoint every 2 updates is killed (SIGKILL) when its third one is done, and the same
             command is given again. `seconds` is from the command to the end of the first update of the resumed run.
             `same_bytes`: its finished model is, byte for byte, that of a run that nothing stopped

Both sides write a line of JSON when an update is done, and that is when its clock stops. The memory is that of the new
or the resumed process; on a GPU what it had allocated there at most, which both write with every update. The sides do
not draw the same order of rows: each shuffles as it does by default.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.case import Mode, Side
from benchmarks.processes import POLL, Ended, Launch, Place, Process, ProcessFailed, finished
from benchmarks.works import Work

RATE = 1e-6
CHECKPOINT_EVERY = 2
KILLED_AFTER = 3
"""Updates; one more than the checkpoint holds, so that the resumed run has work to repeat."""

IMPORTS: Mapping[Side, str] = {
    "ours": "import burnish.cli, burnish.stages.sft; from transformers import AutoTokenizer, LlamaForCausalLM",
    "peer": "from trl import SFTConfig, SFTTrainer; from transformers import AutoTokenizer, LlamaForCausalLM",
}
LINES: Mapping[Side, str] = {"ours": "metrics.jsonl", "peer": "updates.jsonl"}


def command_launcher(place: Place, work: Work) -> Launch:
    """Runs one side of `load` or `resume`."""
    measured: Callable[[Place, Work, Side], dict[str, Any]] = loaded if work.name == "load" else resumed

    def launch(side: Side, mode: Mode) -> dict[str, Any]:
        return measured(place, work, side) | {"threads": None, "versions": versions(place, side)}

    return launch


def loaded(place: Place, work: Work, side: Side) -> dict[str, Any]:
    """A new run, and the imports alone."""
    environment = place.environment(side)
    imports = finished([place.interpreter(side), "-c", IMPORTS[side]], environment)
    out = _folder(place)
    process = Process(command(place, work, side, out), environment)
    seconds = _first_new_line(process, out / LINES[side], old=())
    ended = _without_error(process.wait())
    lines = [json.loads(text) for text in _lines(out / LINES[side])]
    return {
        "seconds": seconds,
        "import_seconds": imports.seconds,
        "training_seconds": sum(line["seconds"] for line in lines),
        "peak_bytes": _peak(place, ended, lines[-1]),
    }


def resumed(place: Place, work: Work, side: Side) -> dict[str, Any]:
    """A run that is killed and given again, and one that is not."""
    environment = place.environment(side)
    whole, broken = _folder(place), _folder(place)
    finished(command(place, work, side, whole), environment)
    words = command(place, work, side, broken)
    first = Process(words, environment)
    _wait_for(first, lambda: len(_lines(broken / LINES[side])) >= KILLED_AFTER)
    first.kill()
    process = Process(words, environment)
    seconds = _first_new_line(process, broken / LINES[side], old=_lines(broken / LINES[side]))
    ended = _without_error(process.wait())
    same = digest(whole / "model") == digest(broken / "model")
    last = json.loads(_lines(broken / LINES[side])[-1])
    return {"seconds": seconds, "same_bytes": same, "peak_bytes": _peak(place, ended, last)}


def command(place: Place, work: Work, side: Side, out: Path) -> list[str]:
    """What a user types."""
    model, rows = (place.folder / "model").resolve(), (place.folder / f"{work.name}.jsonl").resolve()
    every = CHECKPOINT_EVERY if work.name == "resume" else 0
    if side == "peer":
        told = script_settings(place, work, every)
        words = ["-m", "benchmarks.peer.script", str(model), str(rows), str(out), json.dumps(told)]
        return [place.interpreter(side), *words]
    settings = {
        "model": model,
        "data": rows,
        "out": out,
        "steps": work.updates,
        "train.batch_size": work.batch,
        "train.optimizer.learning_rate": RATE,
        "train.checkpoint_every": every,
        "text.max_tokens": work.max_tokens,
        "text.longer": "cut_completion",
    }
    typed = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    return [place.interpreter(side), "-m", "burnish", "sft", *typed]


def script_settings(place: Place, work: Work, every: int) -> dict[str, Any]:
    """What TRL is told: the settings that were tuned for SFT, and what both sides share.

    Without padding-free batches, for which TRL does not cut long rows.
    """
    tuned = {name: value for name, value in place.settings.items() if name not in ("environment", "padding_free")}
    micro = min(int(tuned.pop("per_device_train_batch_size")), work.batch)
    saving = {"save_strategy": "steps", "save_steps": every} if every else {"save_strategy": "no"}
    return {
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": work.batch // micro,
        "max_steps": work.updates,
        "max_length": work.max_tokens,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "use_cpu": place.device == "cpu",
        "bf16": True,
        "logging_steps": 1,
        **saving,
        **tuned,
    }


def versions(place: Place, side: Side) -> dict[str, str]:
    """Of what the side's environment holds, read without importing it."""
    names = ("burnish", "torch", "transformers") if side == "ours" else ("trl", "torch", "transformers")
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    output = subprocess.run([place.interpreter(side), "-c", code], capture_output=True, text=True, check=True).stdout
    return {str(name): str(version) for name, version in json.loads(output).items()}


def digest(folder: Path) -> str:
    """SHA-256 of the weights of a saved model."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _peak(place: Place, ended: Ended, last: Mapping[str, Any]) -> int:
    """The most that a process held: resident, or on a GPU as the line of its last update says."""
    return ended.peak_bytes if place.device == "cpu" else int(last["peak_memory_bytes"])


def _folder(place: Place) -> Path:
    return Path(tempfile.mkdtemp(dir=place.scratch)).resolve() / "run"


def _lines(path: Path) -> list[str]:
    """The whole lines of a file that is being written."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def _first_new_line(process: Process, path: Path, *, old: Sequence[str]) -> float:
    """Seconds from the start of the process to a line that no earlier process wrote; its clocks make each one new."""
    before = frozenset(old)
    _wait_for(process, lambda: any(text not in before for text in _lines(path)))
    return time.perf_counter() - process.started


def _wait_for(process: Process, seen: Callable[[], bool]) -> None:
    while not seen():
        if (ended := process.poll()) is not None:
            raise ProcessFailed(f"a run ended with {ended.code} before its update was seen:\n{ended.errors}")
        time.sleep(POLL)


def _without_error(ended: Ended) -> Ended:
    if ended.code:
        raise ProcessFailed(f"a run ended with {ended.code}:\n{ended.errors}")
    return ended
