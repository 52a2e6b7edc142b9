"""The records: what `run` measured and what `tune` tried, as JSON files that are committed.

benchmarks/records/sft.json              the line of a work, what it was made with, how far the sides were apart
benchmarks/records/tuning-sft.json       every trial, and the settings that were best
benchmarks/records/sft-cuda.json, ...    the same on a GPU
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.grids import start
from burnish.errors import BurnishError

RECORDS = Path(__file__).parent / "records"

TUNED_AS = {"load": "sft", "resume": "sft"}
"""Works that take the settings of another one."""


class NotTuned(BurnishError):
    """There is no record of the peer's tuning."""


def record_file(work: str, device: str, folder: Path = RECORDS) -> Path:
    """Of a work on a kind of device."""
    return folder / (f"{work}.json" if device == "cpu" else f"{work}-{device}.json")


def tuning_file(work: str, device: str, folder: Path = RECORDS) -> Path:
    """Of the peer's tuning for a work."""
    return record_file(f"tuning-{TUNED_AS.get(work, work)}", device, folder)


def tuned_settings(work: str, device: str, folder: Path = RECORDS) -> dict[str, Any]:
    """The peer's best settings for a work.

    Raises:
        NotTuned: it has not been tuned.
    """
    path = tuning_file(work, device, folder)
    if not path.is_file():
        verb = TUNED_AS.get(work, work).partition("-")[0]
        raise NotTuned(
            f"the peer has not been tuned for {work}: there is no {path.name} in {path.parent.name}/; type "
            f"python -m benchmarks.tune {verb} (or, to try the harness, --untuned, which writes no record)"
        )
    return dict(json.loads(path.read_text(encoding="utf-8"))["best"])


def start_settings(work: str, device: str) -> dict[str, Any]:
    """What the peer's tuning starts from."""
    return dict(start(TUNED_AS.get(work, work), device))


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """As JSON that can be read and compared line by line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def origin(device_name: str) -> dict[str, Any]:
    """When and on what something was measured.

    Args:
        device_name: of the accelerator, "" for the CPU alone.
    """
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "accelerator": device_name,
        "python": platform.python_version(),
    }


def processor() -> str:
    """The name of the processor, its kind where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
