"""Where a run keeps what: the folder it works in, and the folder that becomes the artefact.

out/                                    what stays
  documents/shard-00000.parquet         what was kept: id, text, url, source, extra
  ledger/documents/shard-00000.parquet  the end of every document
  ledger/steps/01-NAME/shard-….parquet  what a step decided
  places/shard-00000.parquet            file and row of every document
  incidents.parquet                     what gave no document: file, row, cause
  prepared/01-NAME/                     what a step trained
  summary.json                          the counts
work/                                   what goes when the run is finished
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from burnish.data.curate.ledger import shard_name, step_folder


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where a run keeps what it works on.

    Attributes:
        work: folder of everything that goes when the run is finished.
        out: folder that becomes the artefact.
    """

    work: Path
    out: Path

    def documents(self, number: int, shard: int) -> Path:
        """The documents of a shard after a pass; 0 is the intake."""
        return self.work / f"documents-{number}" / f"{shard_name(shard)}.arrow"

    def keys(self, number: int, shard: int) -> Path:
        """The keys made in a pass."""
        return self.work / f"keys-{number}" / f"{shard_name(shard)}.arrow"

    def marks(self, number: int, shard: int) -> Path:
        """What the reduce in front of a pass said of a shard's documents."""
        return self.work / f"marks-{number}" / f"{shard_name(shard)}.arrow"

    def begun(self, shard: int) -> Path:
        """What is known of every document of a shard as it was read."""
        return self.work / "begun" / f"{shard_name(shard)}.arrow"

    def done(self, name: str, shard: int) -> Path:
        """The mark of a finished task."""
        return self.work / "done" / f"{name}-{shard:05d}.json"

    def step(self, number: int, name: str, shard: int) -> Path:
        """The ledger of a step."""
        return self.out / "ledger" / "steps" / step_folder(number, name) / f"{shard_name(shard)}.parquet"

    def ends(self, shard: int) -> Path:
        """The ledger of all documents."""
        return self.out / "ledger" / "documents" / f"{shard_name(shard)}.parquet"

    def places(self, shard: int) -> Path:
        """Where the documents were read."""
        return self.out / "places" / f"{shard_name(shard)}.parquet"

    def kept(self, shard: int) -> Path:
        """The documents that are kept."""
        return self.out / "documents" / f"{shard_name(shard)}.parquet"

    def prepared(self, number: int, name: str) -> Path:
        """What a step prepared."""
        return self.out / "prepared" / step_folder(number, name)
