"""The updates of a training stage: the loop, with checkpoints, the record and the progress bar around it.

Killed at any moment, the same command goes on from the newest checkpoint and ends with the same bytes; what is not in
the checkpoint is a function of the settings and the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TypeVar

from burnish.batch import Item, Tree
from burnish.config import setting, settings
from burnish.errors import Stopped, StoreError
from burnish.models.flex import AttentionName
from burnish.models.language import LayoutName
from burnish.numerics import Precision
from burnish.stages.prepare import Prepared
from burnish.stages.stage import Work
from burnish.training.best_weights import BestWeights
from burnish.training.checkpoint import Resumed, restore_checkpoint, save_checkpoint
from burnish.training.interrupt import Interrupt
from burnish.training.parallel import Divided
from burnish.training.progress import ProgressBar
from burnish.training.record import Record, TrackerName, tracker_named
from burnish.training.source import Source
from burnish.training.trainer import Probe, Trainer, Updates

CHECKPOINTS = "checkpoints"
"""The folder of an unfinished run's state, in its artefact's."""

METRICS = "metrics.jsonl"

TOKENS_SEEN = "tokens_seen"
"""The metric that goes on where a run is resumed: tokens of all updates so far."""

ItemT = TypeVar("ItemT", bound=Item)


@settings
class Rounds(Updates):
    """How a run goes, whatever kind of model it trains."""

    batch_size: int = setting(16, "examples per update", unit="examples", ge=1)
    epochs: float | None = setting(None, "passes over the data in place of steps; 1 if neither is given", gt=0)
    precision: Precision = setting("auto", "of matrix products; weights are updated in float32 either way")
    checkpoint_every: int = setting(50, "updates between checkpoints; 0 writes none", unit="steps", ge=0)
    evaluate_every: int = setting(50, "updates between looks at the held-out data", unit="steps", ge=1)
    trackers: tuple[TrackerName, ...] = setting((), "draw the metrics elsewhere too")


@settings
class Training(Rounds):
    """How a run goes that trains on trees."""

    layout: LayoutName = setting("auto", "tree computes every prompt once; padded runs any model")
    attention: AttentionName = setting(
        "auto", "auto goes by the device: on a GPU one compiled call over all trees; segments is one call per segment"
    )
    gradient_checkpointing: bool = setting(False, "compute activations twice and keep fewer")
    divide: Divided = setting(
        "weights", "what several processes divide besides the examples: weights and their optimiser's state, or nothing"
    )


def run_updates(
    trainer: Trainer[ItemT],
    source: Source[ItemT],
    train: Rounds,
    work: Work,
    *,
    verb: str,
    probes: Sequence[Probe[ItemT]] = (),
    best: BestWeights | None = None,
) -> None:
    """Update until the end of the run, from the newest checkpoint if there is one.

    Args:
        trainer: with its parts as the run starts.
        source: what is trained on.
        train: how.
        work: where checkpoints and metrics are kept.
        verb: in front of the progress bar.
        probes: looks at the training.
        best: keeps the best weights, and may end the run.

    Raises:
        Stopped: a signal asked for it; the state is saved.
        StoreError: the checkpoint is damaged, or an earlier version of Burnish wrote it.
    """
    checkpoints, ranks, asked = work.out / CHECKPOINTS, trainer.ranks, False
    found = restore_checkpoint(checkpoints, trainer, source)
    seen = _tokens_seen(found, work) if found else 0.0
    if found:
        work.say(f"going on after update {found.num_updates}")
    with ExitStack() as stack:
        record = stack.enter_context(_record(work, train, found.metrics_bytes if found else 0)) if work.leads else None
        bar = stack.enter_context(ProgressBar(verb, total=trainer.steps, done=trainer.num_updates)) if record else None
        interrupt = stack.enter_context(Interrupt())
        ranks.wait()
        if best is not None:
            best.restore(work.out / METRICS)
        ranks.wait()

        def after(metrics: Mapping[str, float]) -> bool:
            nonlocal asked, seen
            seen += metrics["tokens"]
            metrics = {**metrics, TOKENS_SEEN: seen}
            step, every = trainer.num_updates, train.checkpoint_every
            if record and bar:
                record.write(step, metrics)
                bar.show(step, metrics)
            ended = best is not None and best.look(step, metrics)
            asked = ranks.any(interrupt.asked)  # the launcher's signal reaches one rank an update before another
            if asked or (every and (step % every == 0 or step == trainer.steps)):
                written = record.num_bytes if record else 0
                save_checkpoint(checkpoints, trainer, source, metrics, metrics_bytes=written)
                if best is not None:
                    best.tidy()
            return ended or asked

        if best is None or not best.over:
            trainer.run(source, probes=probes, after=after, feedback=found.feedback if found else None)
    if asked and trainer.num_updates < trainer.steps:
        raise Stopped(f"stopped after update {trainer.num_updates} of {trainer.steps}; run the same command to go on")


def _tokens_seen(found: Resumed, work: Work) -> float:
    """Tokens of the updates that are done, which the metrics of the last one state.

    Raises:
        StoreError: they do not, since another version of Burnish wrote them.
    """
    if TOKENS_SEEN not in found.feedback:
        raise StoreError(
            f"the unfinished run in {work.out} was begun by an earlier version of Burnish: its checkpoint of update "
            f"{found.num_updates} has no '{TOKENS_SEEN}', so the run cannot go on; type --overwrite to start over (the "
            f"old one is kept beside), or, if it is a stage of a recipe, remove {work.out} and run the recipe again"
        )
    return found.feedback[TOKENS_SEEN]


def _record(work: Work, train: Rounds, keep_bytes: int) -> Record:
    trackers = [tracker_named(name, folder=work.out, run=work.out.name) for name in train.trackers]
    return Record(work.out / METRICS, keep_bytes=keep_bytes, trackers=trackers)


def held_out_probes(prepared: Prepared, train: Training) -> list[Probe[Tree]]:
    """A look at the loss on the held-out data, if there are any."""
    if not prepared.held_out:
        return []

    def look(trainer: Trainer[Tree]) -> Mapping[str, float]:
        return {f"held_out_{name}": value for name, value in trainer.evaluate(prepared.held_out).items()}

    return [Probe(every=train.evaluate_every, look=look)]
