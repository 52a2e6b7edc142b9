"""What the tests of the data engine's benchmarks share: a small corpus, made once for each file of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.curation.corpus import texts_of
from tests.benchmarks.curation_corpus import small_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_corpus(tmp_path_factory)


@pytest.fixture(scope="module")
def texts(corpus: Path) -> dict[str, str]:
    return dict(texts_of(corpus))
