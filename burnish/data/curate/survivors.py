"""The ids of the documents that others are dropped in favour of, as every deduplication names them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from burnish.data.curate.step import Corpus


def survivor_names(corpus: Corpus, survivors: np.ndarray, starts: np.ndarray) -> Iterator[pa.Array]:
    """For each shard the id of every document's survivor, null for a document that survives itself.

    Memory: the id of every survivor that others name.

    Args:
        corpus: the documents.
        survivors: place of each document's survivor in the corpus, (n,) int64; its own place if it stays.
        starts: places at which the shards begin, and n, (shards + 1,) int64.
    """
    wanted = np.unique(survivors[survivors != np.arange(len(survivors))])
    names: dict[int, str] = {}
    for shard in range(corpus.num_shards):
        here = wanted[(wanted >= starts[shard]) & (wanted < starts[shard + 1])]
        ids = corpus.ids(shard) if len(here) else []
        names.update((place, ids[place - int(starts[shard])]) for place in here.tolist())
    for shard in range(corpus.num_shards):
        places = range(int(starts[shard]), int(starts[shard + 1]))
        named = [names[int(survivors[p])] if survivors[p] != p else None for p in places]
        yield pa.array(named, pa.string())
