"""Where the real data sets lie, and a writer of small files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from burnish.data.read import Dataset, DataSettings, read


def real_folder() -> Path:
    given = os.environ.get("BURNISH_TEST_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def real() -> Path:
    folder = real_folder()
    if not folder.is_dir():
        pytest.skip("the real data sets are not here; set BURNISH_TEST_DATA to their folder")
    return folder


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Dataset]:
    """Write rows to a JSON Lines file and read them."""

    def write_and_read(*rows: Any, **settings: Any) -> Dataset:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return read(DataSettings(path=str(path), **settings))

    return write_and_read
