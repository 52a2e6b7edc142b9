"""A corpus for the data engine's benchmarks: real sentences recombined, with copies and near-copies that are known.

    CORPUS/documents/part-00.jsonl ...   id, url, text
    CORPUS/planted.jsonl                 of every copy and near-copy: its id, kind, what it copies, the Jaccard
    CORPUS/blocked.txt                   a list of addresses, which about one document in a hundred has
    CORPUS/corpus.json                   what it was made of

Of a corpus, a share is copied exactly, and a share with changes that leave a Jaccard around and above the limit; every
near-copy has an original of its own. All others are sentences drawn by chance, at least five to a document, so that no
two are nearly the same; `judged.unplanted` measures it.

A document is a function of the seed and its number alone; ids and files follow a shuffle, and tell nothing. The same
settings and sentences give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from benchmarks.curation import near_copies
from benchmarks.curation.near_copies import alike, near_copy
from burnish.data.curate.atomic import read_json, write_json

Kind = Literal["copy", "near"]

MEDIAN_WORDS, SPREAD = 170, 0.75
"""Of the log-normal distribution of lengths; its mean is then 225 words, 1.3 kB."""

BOUNDS = (60, 4000)
"""Words that are aimed at, at least and at most."""

FEWEST_SENTENCES = 5
AIMS = (0.65, 0.99)
"""Range of the Jaccards that near-copies aim at, spread evenly."""

HOSTS, BLOCKED = 20_000, 200


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a corpus is to have.

    Attributes:
        documents: in all.
        copies, near: shares that are exact copies, and copies with changes.
        files: over which they are spread.
        seed: of everything.
    """

    documents: int
    copies: float = 0.2
    near: float = 0.1
    files: int = 16
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A document that was planted.

    Attributes:
        id: its name.
        kind: an exact copy, or one with changes.
        of: the id of the original.
        jaccard: how alike the two are.
    """

    id: str
    kind: Kind
    of: str
    jaccard: float


@dataclass(frozen=True)
class Maker:
    """Makes the documents of a corpus: first the originals are numbered, then the copies, then the near-copies.

    Args:
        size: of the corpus.
        sentences: that it is made of.
    """

    size: Size
    sentences: Sequence[str]

    @property
    def num_copies(self) -> int:
        """Exact copies."""
        return round(self.size.documents * self.size.copies)

    @property
    def num_near(self) -> int:
        """Copies with changes."""
        return round(self.size.documents * self.size.near)

    @property
    def num_originals(self) -> int:
        """All others."""
        return self.size.documents - self.num_copies - self.num_near

    @cached_property
    def places(self) -> list[int]:
        """Where each document stands."""
        places = list(range(self.size.documents))
        random.Random(f"{self.size.seed} places").shuffle(places)
        return places

    @cached_property
    def originals(self) -> list[int]:
        """Of each copy and then of each near-copy the original."""
        rng = random.Random(f"{self.size.seed} originals")
        copied = [rng.randrange(self.num_originals) for _ in range(self.num_copies)]
        return copied + rng.sample(range(self.num_originals), self.num_near)

    def name(self, number: int) -> str:
        """The id of a document."""
        return f"page-{self.places[number]:07d}"

    def text(self, number: int) -> str:
        """The text of a document."""
        if number < self.num_originals:
            return self._original(number)
        original = self._original(self.originals[number - self.num_originals])
        if number < self.num_originals + self.num_copies:
            return original
        rng = random.Random(f"{self.size.seed} near {number}")
        return near_copy(original, rng.uniform(*AIMS), rng, self.sentences)

    def url(self, number: int) -> str:
        """The address of a document."""
        rng = random.Random(f"{self.size.seed} url {number}")
        return f"https://site-{rng.randrange(HOSTS)}.example.org/{rng.randrange(10**6)}.html"

    def planted(self) -> Iterator[Planted]:
        """What was planted, in the order of the numbers."""
        for number in range(self.num_originals, self.size.documents):
            original = self.originals[number - self.num_originals]
            near = number >= self.num_originals + self.num_copies
            share = alike(self.text(number), self._original(original)) if near else 1.0
            kind: Kind = "near" if near else "copy"
            yield Planted(id=self.name(number), kind=kind, of=self.name(original), jaccard=share)

    def _original(self, number: int) -> str:
        """Sentences by chance, none twice, in lines of some sentences each."""
        rng = random.Random(f"{self.size.seed} original {number}")
        low, high = BOUNDS
        aim = min(max(rng.lognormvariate(math.log(MEDIAN_WORDS), SPREAD), low), high)
        drawn: dict[str, None] = {}
        words = 0
        while words < aim or len(drawn) < FEWEST_SENTENCES:
            sentence = rng.choice(self.sentences)
            words += 0 if sentence in drawn else sentence.count(" ") + 1
            drawn[sentence] = None
        return "".join(f"{one}{_gap(rng)}" for one in drawn).rstrip()


def _gap(rng: random.Random) -> str:
    drawn = rng.random()
    return "\n\n" if drawn < 0.05 else "\n" if drawn < 0.25 else " "


def made(folder: Path, size: Size, sentences: Sequence[str]) -> dict[str, Any]:
    """Write a corpus, unless the one of these settings and sentences is there already; returns what `corpus.json` says.

    Args:
        folder: of the corpus.
        size: of the corpus.
        sentences: that it is made of.
    """
    code = "".join(Path(file).read_text(encoding="utf-8") for file in (__file__, near_copies.__file__))
    digests = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in ("\n".join(sentences), code)]
    wanted = {"size": asdict(size), "sentences": len(sentences), "digests": digests}
    if (known := read_json(folder / "corpus.json")) is not None and known["made_of"] == wanted:
        return known
    maker = Maker(size, sentences)
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    total = _write_documents(folder, maker)
    with (folder / "planted.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(one)) + "\n" for one in maker.planted())
    hosts = "".join(f"site-{number}.example.org\n" for number in range(BLOCKED))
    (folder / "blocked.txt").write_text(hosts, encoding="utf-8")
    facts = {"made_of": wanted, "documents": size.documents, "bytes": total}
    write_json(folder / "corpus.json", facts)
    return facts


def _write_documents(folder: Path, maker: Maker) -> int:
    """Write the files; returns the bytes of all texts."""
    size = maker.size
    numbers = sorted(range(size.documents), key=maker.places.__getitem__)
    total = 0
    for part in range(size.files):
        here = numbers[part * size.documents // size.files : (part + 1) * size.documents // size.files]
        with (folder / "documents" / f"part-{part:02d}.jsonl").open("w", encoding="utf-8") as file:
            for number in here:
                row = {"id": maker.name(number), "url": maker.url(number), "text": maker.text(number)}
                total += len(row["text"].encode())
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return total


def planted_in(folder: Path) -> list[Planted]:
    """What was planted in a corpus."""
    with (folder / "planted.jsonl").open(encoding="utf-8") as file:
        return [Planted(**json.loads(line)) for line in file]


def texts_of(folder: Path) -> Iterator[tuple[str, str]]:
    """The id and the text of every document of a corpus."""
    for path in sorted((folder / "documents").glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield row["id"], row["text"]
