"""How well entities are found: precision, recall and F1 of whole entities, as the CoNLL tasks count them.

    tags      B-PER I-PER O B-LOC        entities   (PER, 0, 2) (LOC, 3, 4)

An entity is right if its type, its beginning and its end are (Tjong Kim Sang and De Meulder 2003, section 2.3). It
begins at a B, and at an I that goes on with no entity of its type, as the shared task's own script has it; so tags in
IOB1 are read rightly too. F1 is micro-averaged over all entities; an entity type has its own as well.

seqeval counts in the same way. It is not used because it comes as source alone, whose build fails on current tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Entity(NamedTuple):
    """Words `start` to `stop` (exclusive) of a text, with a type."""

    type: str
    start: int
    stop: int


def are_entity_tags(tags: Sequence[str]) -> bool:
    """Whether tags mark entities: each is O, B-TYPE or I-TYPE, and one of them is not O."""
    marked = [tag for tag in tags if tag != "O"]
    return bool(marked) and all(tag[:2] in ("B-", "I-") and len(tag) > 2 for tag in marked)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a text, in order."""
    found: list[Entity] = []
    begin, current = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        kind = "" if tag == "O" else tag[2:]
        if current and (kind != current or tag.startswith("B-")):
            found.append(Entity(current, begin, place))
            current = ""
        if kind and not current:
            begin, current = place, kind
    return found


def entity_scores(tags: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The figures of predicted tags, a row of tags for each text.

    Returns:
        `entity_f1`, `entity_precision`, `entity_recall`, `entities` (how many there are), and `types` with the same of
        each type. A precision over no entities is 0, as is a recall.

    Raises:
        ValueError: a text has not as many predictions as tags.
    """
    for place, (row, other) in enumerate(zip(tags, predicted, strict=True)):
        if len(row) != len(other):
            raise ValueError(f"text {place} has {len(row)} tags and {len(other)} predictions")
    truth = {(place, *one) for place, row in enumerate(tags) for one in entities(row)}
    guess = {(place, *one) for place, row in enumerate(predicted) for one in entities(row)}
    types = sorted({one[1] for one in truth | guess})
    whole = _figures(truth, guess)
    return {
        **{f"entity_{name}": value for name, value in whole.items() if name != "count"},
        "entities": len(truth),
        "types": {
            kind: _figures({o for o in truth if o[1] == kind}, {o for o in guess if o[1] == kind}) for kind in types
        },
    }


def _figures(truth: set[tuple[int, str, int, int]], guess: set[tuple[int, str, int, int]]) -> dict[str, float]:
    right = len(truth & guess)
    precision = right / len(guess) if guess else 0.0
    recall = right / len(truth) if truth else 0.0
    f1 = 2 * right / (len(truth) + len(guess)) if truth or guess else 0.0
    return {"f1": f1, "precision": precision, "recall": recall, "count": len(truth)}
