"""`burnish classify`: fine-tune a model to tell classes of texts apart.

    burnish classify --model runs/bert --data reviews.jsonl --held_out 200 --out runs/classifier

Encoders (BERT) read the class at their first token, causal models (Llama) at their last. The classes are those of the
data, in the order of their names, unless `classes` gives them or the start model is a classifier already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.config import setting, settings
from burnish.data.labelled import LabelledText, Rows, labelled_text, rows_at
from burnish.errors import ConfigError
from burnish.evals.classes import class_scores
from burnish.models.labelled import Labelled, row_cost
from burnish.models.labeller import Labeller
from burnish.models.load import load_config
from burnish.models.specialist import classes_of, load_specialist, save_specialist
from burnish.models.untrained import Untrained
from burnish.models.untrained_specialist import untrained_specialist
from burnish.objectives.labels import CrossEntropy, class_weights
from burnish.objectives.objective import Objective
from burnish.stages.specialist import SpecialistStage
from burnish.stages.specialist_start import Labels, chat_hash
from burnish.stages.stage import Work
from burnish.training.labelling import class_number, classes_in, text_item
from burnish.training.predicting import predicted_classes


@settings
class ClassifyStage(SpecialistStage[LabelledText, Labelled]):
    """Train on labelled texts; measures accuracy and macro-F1."""

    verb: ClassVar[str] = "classify"

    classes: tuple[str, ...] = setting((), "the classes by number; those of the data or of the model if not given")
    balanced: bool = setting(False, "weigh classes so that each has the same share of the loss")
    class_weights: Mapping[str, float] | None = setting(None, "what targets of a class count, such as {rare: 5}")

    def __post_init__(self) -> None:
        refuse_both_weights(balanced=self.balanced, given=self.class_weights)

    def goal(self) -> Objective:
        """Cross-entropy."""
        return CrossEntropy()

    def rows(self, path: str) -> Rows[LabelledText]:
        """Texts with labels."""
        return rows_at(path, self.reading, labelled_text)

    def split_key(self, row: LabelledText) -> str:
        """The text: one that occurs twice stays on one side."""
        return f"{row.text}\n{row.pair or ''}"

    def labels(
        self, train: Sequence[LabelledText], held_out: Sequence[LabelledText], tokenizer: PreTrainedTokenizerFast
    ) -> Labels[LabelledText, Labelled]:
        """Texts as rows, with the number of each label."""
        classes = chosen_classes(
            self.classes, classes_of(load_config(self.model), "classify"), [r.label for r in train]
        )
        numbers = [class_number(row.label, classes, row=row.id) for row in train]
        weights = class_weights(numbers, classes, balanced=self.balanced, given=self.class_weights)
        made = [text_item(row, tokenizer, n, weights[n]) for row, n in zip(train, numbers, strict=True)]
        held = [
            text_item(row, tokenizer, n, weights[n])
            for row in held_out
            for n in [class_number(row.label, classes, row=row.id)]
        ]
        counts = {label: numbers.count(number) for number, label in enumerate(classes)}
        return Labels(
            tokenizer=tokenizer,
            template_hash=chat_hash(tokenizer),
            classes=classes,
            train=[item for item, _ in made],
            held_out=[item for item, _ in held],
            held_out_rows=held_out,
            facts={"classes": counts, "weights": list(weights), "cut": sum(cut for _, cut in (*made, *held))},
        )

    def load(self, labels: Labels[LabelledText, Labelled]) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """The model with a map to the classes."""
        found = load_specialist(
            "classify", self.model, classes=labels.classes, tokenizer=labels.tokenizer, seed=self.seed
        )
        return found.model, found.head

    def untrained(self, labels: Labels[LabelledText, Labelled]) -> Untrained:
        """The same by its config."""
        return untrained_specialist("classify", self.model, classes=labels.classes, tokenizer=labels.tokenizer)

    def part(self, model: PreTrainedModel) -> Labeller:
        """Log-probs of the classes."""
        return Labeller(model)

    def cost(self, items: Sequence[Labelled]) -> int:
        """Rows as long as the longest."""
        return row_cost(items)

    def save(self, model: PreTrainedModel, labels: Labels[LabelledText, Labelled], folder: Path) -> None:
        """A plain classifier with its classes by name."""
        save_specialist(
            model,
            labels.tokenizer,
            folder,
            kind="classify",
            template_hash=labels.template_hash,
            dtype=self.save_dtype,
        )

    def figures(self, part: nn.Module, labels: Labels[LabelledText, Labelled], work: Work) -> dict[str, Any]:
        """Accuracy and F1, beside what the commonest class alone would get."""
        found = predicted_classes(part, labels.held_out, budget=self.train.token_budget)
        predicted = [labels.classes[number] for (number,) in found]
        return class_scores([row.label for row in labels.held_out_rows], predicted)


def refuse_both_weights(*, balanced: bool, given: Mapping[str, float] | None) -> None:
    """Refuse two ways of weighing classes at once, and weights below 0.

    Raises:
        ValueError: names the settings.
    """
    if balanced and given is not None:
        raise ValueError("balanced and class_weights both say what classes count; give one of them")
    for name, weight in (given or {}).items():
        if weight < 0:
            raise ValueError(f"class_weights: '{name}' counts {weight:g}; it must be 0 or more")


def chosen_classes(given: Sequence[str], learned: Sequence[str] | None, found: Sequence[str]) -> tuple[str, ...]:
    """The classes by number: those given, those that the model has learned, or those of the data.

    Raises:
        ConfigError: those given are not those that the model has learned, or one stands twice.
        DataError: the data has one class alone.
    """
    if len(set(given)) < len(given):
        raise ConfigError([f"classes names one class twice: {', '.join(given)}"])
    if given and learned is not None and tuple(given) != tuple(learned):
        raise ConfigError(
            [f"classes is {', '.join(given)}, and the model has learned {', '.join(learned)}; leave classes out"]
        )
    return tuple(given or learned or classes_in(found))
