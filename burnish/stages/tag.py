"""`burnish tag`: fine-tune a model to tag words, such as with the entities that they belong to.

    burnish tag --model runs/bert --data entities.jsonl --held_out 200 --out runs/tagger

A word's tag is read at its first token; other tokens have none. Causal models see what stands before a word alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.config import setting, settings
from burnish.data.labelled import Rows, TaggedWords, rows_at, tagged_words
from burnish.evals.classes import class_scores
from burnish.evals.entities import are_entity_tags, entity_scores
from burnish.models.labelled import Labelled, row_cost
from burnish.models.labeller import Labeller
from burnish.models.load import load_config
from burnish.models.specialist import classes_of, load_specialist, save_specialist
from burnish.models.untrained import Untrained
from burnish.models.untrained_specialist import untrained_specialist
from burnish.objectives.labels import CrossEntropy, class_weights
from burnish.objectives.objective import Objective
from burnish.stages.classify import chosen_classes, refuse_both_weights
from burnish.stages.specialist import SpecialistStage
from burnish.stages.specialist_start import Labels, chat_hash
from burnish.stages.stage import Work
from burnish.training.labelling import class_number, word_items
from burnish.training.predicting import predicted_classes


@settings
class TagStage(SpecialistStage[TaggedWords, Labelled]):
    """Train on tagged words; measures the F1 of entities and of tags."""

    verb: ClassVar[str] = "tag"

    classes: tuple[str, ...] = setting((), "the tags by number; those of the data or of the model if not given")
    balanced: bool = setting(False, "weigh tags so that each has the same share of the loss")
    class_weights: Mapping[str, float] | None = setting(None, "what words of a tag count, such as {O: 0.2}")

    def __post_init__(self) -> None:
        refuse_both_weights(balanced=self.balanced, given=self.class_weights)

    def goal(self) -> Objective:
        """Cross-entropy of each word."""
        return CrossEntropy()

    def rows(self, path: str) -> Rows[TaggedWords]:
        """Words with tags."""
        return rows_at(path, self.reading, tagged_words)

    def split_key(self, row: TaggedWords) -> str:
        """The words: a text that occurs twice stays on one side."""
        return " ".join(row.words)

    def labels(
        self, train: Sequence[TaggedWords], held_out: Sequence[TaggedWords], tokenizer: PreTrainedTokenizerFast
    ) -> Labels[TaggedWords, Labelled]:
        """Texts as rows with a place for each word."""
        learned = classes_of(load_config(self.model), "tag")
        classes = chosen_classes(self.classes, learned, [tag for row in train for tag in row.tags])
        numbers = [[class_number(tag, classes, row=row.id) for tag in row.tags] for row in train]
        flat = [number for row in numbers for number in row]
        weights = class_weights(flat, classes, balanced=self.balanced, given=self.class_weights)
        made = [
            item
            for row, own in zip(train, numbers, strict=True)
            for item in word_items(row, tokenizer, own, [weights[number] for number in own])
        ]
        held: list[Labelled] = []
        for row in held_out:
            own = [class_number(tag, classes, row=row.id) for tag in row.tags]
            held += word_items(row, tokenizer, own, [weights[number] for number in own])
        counts = {tag: flat.count(number) for number, tag in enumerate(classes)}
        more = len(made) + len(held) - len(train) - len(held_out)
        return Labels(
            tokenizer=tokenizer,
            template_hash=chat_hash(tokenizer),
            classes=classes,
            train=made,
            held_out=held,
            held_out_rows=held_out,
            facts={"classes": counts, "weights": list(weights), "further_parts": more},
        )

    def load(self, labels: Labels[TaggedWords, Labelled]) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """The model with a map to the tags."""
        found = load_specialist("tag", self.model, classes=labels.classes, tokenizer=labels.tokenizer, seed=self.seed)
        return found.model, found.head

    def untrained(self, labels: Labels[TaggedWords, Labelled]) -> Untrained:
        """The same by its config."""
        return untrained_specialist("tag", self.model, classes=labels.classes, tokenizer=labels.tokenizer)

    def part(self, model: PreTrainedModel) -> Labeller:
        """Log-probs of the tags."""
        return Labeller(model)

    def cost(self, items: Sequence[Labelled]) -> int:
        """Rows as long as the longest."""
        return row_cost(items)

    def save(self, model: PreTrainedModel, labels: Labels[TaggedWords, Labelled], folder: Path) -> None:
        """A plain token classifier with its tags by name."""
        save_specialist(
            model, labels.tokenizer, folder, kind="tag", template_hash=labels.template_hash, dtype=self.save_dtype
        )

    def figures(self, part: nn.Module, labels: Labels[TaggedWords, Labelled], work: Work) -> dict[str, Any]:
        """Accuracy and F1 of tags and, where tags mark entities, F1 of these."""
        parts = predicted_classes(part, labels.held_out, budget=self.train.token_budget)
        flat = iter([labels.classes[number] for one in parts for number in one])
        predicted = [[next(flat) for _ in row.tags] for row in labels.held_out_rows]
        tags = [list(row.tags) for row in labels.held_out_rows]
        found = class_scores([tag for row in tags for tag in row], [tag for row in predicted for tag in row])
        found["words"] = found.pop("rows")
        return {**entity_scores(tags, predicted), **found} if are_entity_tags(labels.classes) else found
