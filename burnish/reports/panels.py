"""Panels: which metrics share a chart, what its axis is called, and how to read it.

Metrics with a meaning in common share a panel (chosen beside rejected, training beside held out). A metric that no
panel knows gets a panel of its own, so that a new objective's numbers are shown without a change here. Those that are
called `family/member`, such as `domain_weight/web`, are the lines of one panel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from burnish.evals.tasks import is_task_figure

HELD_OUT = "held_out_"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Metrics that belong on one pair of axes.

    Attributes:
        title: heading of the chart.
        unit: unit of the vertical axis, as it stands on the axis.
        names: metrics, without the prefix of the held-out ones; the first is drawn in the first colour.
        labels: their names in the legend.
        factor: what logged values are multiplied by to be in `unit`.
        hint: one sentence on how to read it.
    """

    title: str
    unit: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    factor: float = 1.0
    hint: str = ""


PANELS = (
    Panel(
        title="Loss",
        unit="nats",
        names=("loss",),
        labels=("training",),
        hint="What the optimiser lowers. Held-out examples are never trained on.",
    ),
    Panel(
        title="Reward margin",
        unit="nats",
        names=("margin",),
        labels=("training",),
        hint="Implicit reward of the chosen answer minus that of the rejected one.",
    ),
    Panel(
        title="Accuracy",
        unit="% of pairs",
        names=("accuracy",),
        labels=("training",),
        factor=100.0,
        hint="How often the chosen answer has the higher implicit reward.",
    ),
    Panel(
        title="Implicit rewards",
        unit="nats",
        names=("reward_chosen", "reward_rejected"),
        labels=("chosen", "rejected"),
        hint="Zero is the reference model.",
    ),
    Panel(
        title="Log-probability of the answers",
        unit="nats per answer",
        names=("logp_chosen", "logp_rejected"),
        labels=("chosen", "rejected"),
        hint="Absolute values: a growing margin can hide that both fall.",
    ),
    Panel(
        title="Length of the answers",
        unit="tokens",
        names=("length_chosen", "length_rejected"),
        labels=("chosen", "rejected"),
        hint="A steady gap between the two can teach length instead of quality.",
    ),
    Panel(
        title="Distance from the reference",
        unit="nats per answer",
        names=("kl_proxy",),
        labels=("training",),
        hint="Mean size of the answers' log-ratio to the reference model.",
    ),
    Panel(
        title="Reward",
        unit="score",
        names=("reward", "score"),
        labels=("of the sampled answers", "of answers"),
        hint="What is trained on beside what training never sees. Where the two part, the reward is being gamed.",
    ),
    Panel(
        title="KL from the start",
        unit="nats per answer",
        names=("kl",),
        labels=("sampled answers",),
        hint="How far the policy has moved, measured on its own answers.",
    ),
    Panel(
        title="Length of the sampled answers",
        unit="tokens",
        names=("answer_length", "length"),
        labels=("sampled answers", "trained on"),
        hint="A reward that pays for length shows here first.",
    ),
    Panel(
        title="Groups without a difference",
        unit="% of prompts",
        names=("groups_equal",),
        labels=("sampled answers",),
        factor=100.0,
        hint="All answers to the prompt have the same score, so none is better than another.",
    ),
    Panel(
        title="Ratios outside of the clip",
        unit="% of tokens",
        names=("clip_fraction_low", "clip_fraction_high"),
        labels=("below", "above"),
        factor=100.0,
        hint="Tokens that teach nothing any more, because the policy has moved far enough.",
    ),
    Panel(
        title="Gap between sampler and trainer",
        unit="nats per token",
        names=("sampler_gap_mean", "sampler_gap_max"),
        labels=("mean", "largest"),
        hint="Rounding, and top-p and top-k where they are set.",
    ),
    Panel(title="Bits per byte", unit="bits", names=("bits_per_byte",), labels=("training",)),
    Panel(title="Perplexity", unit="per token", names=("perplexity",), labels=("training",)),
    Panel(title="Gradient norm", unit="before clipping", names=("grad_norm",), labels=("training",)),
    Panel(title="Learning rate", unit="per update", names=("learning_rate",), labels=("training",)),
    Panel(title="Speed", unit="tokens per second", names=("tokens_per_second",), labels=("training",)),
    Panel(title="Peak memory", unit="GB", names=("peak_memory_bytes",), labels=("training",), factor=1e-9),
)

FAMILIES = {
    "domain_weight": Panel(
        title="Weights of domains",
        unit="share",
        names=(),
        labels=(),
        hint="What each domain's loss counts for. Evenly spread at first; one line at 1 is a collapse.",
    ),
    "excess_loss": Panel(
        title="Excess losses",
        unit="nats per token",
        names=(),
        labels=(),
        hint="By how much the proxy is worse than the reference; better tokens count 0. The weights follow these.",
    ),
    "domain_loss": Panel(
        title="Losses of domains", unit="nats per token", names=(), labels=(), hint="Not weighted, on training batches."
    ),
}
"""Panels of metrics `family/member`, by family; a member is a line. A family that is not here gets a plain panel."""

NOT_DRAWN = frozenset(
    {"step", "tokens", "tokens_seen", "seconds", "rollout", "answers", "score_low", "score_high", "score_count"}
    | {"loss_share"}
)
"""Counts, the ends of intervals that `against_kl.py` draws, and a family that is the product of two others.

Figures of held-out tasks are not drawn here either: `tasks.py` draws them with their intervals.
"""


def panels(present: Iterable[str]) -> Iterator[Panel]:
    """The panels for the metrics that are present: known ones first, then one for each family and each unknown."""
    bases = {name.removeprefix(HELD_OUT) for name in present}
    known = {name for panel in PANELS for name in panel.names}
    yield from (panel for panel in PANELS if bases & set(panel.names))
    unknown = sorted(name for name in bases - known - NOT_DRAWN if not is_task_figure(HELD_OUT + name))
    members: dict[str, list[str]] = {}
    for name in unknown:
        family, slash, member = name.partition("/")
        if slash and family not in NOT_DRAWN:
            members.setdefault(family, []).append(member)
    for family in sorted(members, key=lambda name: (name not in FAMILIES, name)):
        yield replace(
            FAMILIES.get(family) or _plain(family),
            names=tuple(f"{family}/{member}" for member in members[family]),
            labels=tuple(members[family]),
        )
    yield from (_plain(name) for name in unknown if "/" not in name)


def _plain(name: str) -> Panel:
    """A panel for what nothing is known of."""
    return Panel(title=name.replace("_", " "), unit="as logged", names=(name,), labels=("training",))
