"""The language-model part: tree batches in, log-probs of the scored tokens out, in the tree or the padded layout.

    batch ──► backbone (a transformers model, unchanged) ──► hidden states at `source_N` ──► token_outputs ──► logp_N

Both layouts give the same scored entries in the same order, so nothing downstream knows which one ran. The tree layout
needs a model whose attention goes through transformers' interface and whose positions may restart within a row;
`layout_for` decides and says why not; `check_layouts` proves the choice on a few random tokens after loading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import Branch, PaddedRows, Tree, TreeBatch, pack, padded_rows
from burnish.errors import ModelError
from burnish.models import attention
from burnish.models.attached import switched_off
from burnish.models.attention import Layout, Rules, TreeLayout
from burnish.models.flex import tree_layout
from burnish.models.front import front_of, fronted, num_virtual
from burnish.models.logprobs import OUTPUTS, Head, Teacher, token_outputs
from burnish.models.norms import replace_norms
from burnish.numerics import TOLERANCE, generator_from

LayoutName = Literal["auto", "tree", "padded"]

_ROW_DEPENDENT_ROPE = frozenset({"dynamic", "longrope", "su"})
_PLAIN_LAYERS = frozenset({"full_attention", "sliding_attention"})

_NATS, _RELATIVE = "nats", "of the largest hidden value"
"""Units of what the checks compare."""


class LanguageModel(nn.Module):
    """A causal language model as a part of training.

    Args:
        model: a transformers causal language model, adapters injected or not.
        layout: "tree", "padded", or "auto" for the tree where the model can do it.
        temperature: divides the logits, for log-probs under a sampling temperature.

    Attributes:
        provides: names that `forward` can return.
        layout: the layout that runs, "tree" or "padded".
        reason: why it is not the tree, "" if it is.
    """

    provides = frozenset({*OUTPUTS, "hidden"})

    def __init__(self, model: PreTrainedModel, *, layout: LayoutName = "auto", temperature: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.layout, self.reason = layout_for(model.config, layout)
        self._row_limit = _row_limit(model.config)
        _set_attention(model, self.layout)
        replace_norms(model)

    def forward(
        self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """What is asked for, of each scored token.

        Args:
            batch: on the device of the model.
            reads: names among `provides`.
            context: outputs of parts that ran before. The divergences read `teacher_hidden` (N, D'), `teacher_weight`
                (V, D') and, where the teacher's head has them, `teacher_bias` (V,), `teacher_scale` and
                `teacher_soft_cap` (scalars).

        Returns:
            float32 tensors of shape (N,); `hidden` is (N, D) in the compute dtype.
        """
        return self.outputs(self.hidden(batch), batch, reads, context)

    def outputs(
        self, hidden: Tensor, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        """What `forward` gives, from hidden states (N, D) that were computed before."""
        outputs = {"hidden": hidden} if "hidden" in reads else {}
        if wanted := reads - {"hidden"}:
            teacher = None
            if context and "teacher_hidden" in context:
                teacher = Teacher(hidden=context["teacher_hidden"], head=_teacher_head(context))
            head = head_of(self.model)
            outputs |= token_outputs(
                hidden, head, batch.target_N, reads=wanted, temperature=self.temperature, teacher=teacher
            )
        return outputs

    def hidden(self, batch: TreeBatch) -> Tensor:
        """Hidden states that predict the scored tokens, in their order. (N, D)"""
        if self.layout == "tree":
            return self._tree_states(batch).index_select(0, batch.source_N)
        rows = padded_rows(batch, padding_token=0)
        return self._row_states(rows).index_select(0, rows.source_N)

    def last_hidden(self, batch: TreeBatch) -> Tensor:
        """The hidden state at the last token of each completion: what a score is read from. (C, D)"""
        if self.layout == "tree":
            return self._tree_states(batch).index_select(0, batch.last_C())
        rows = padded_rows(batch, padding_token=0)
        return self._row_states(rows).index_select(0, rows.last_B())

    def _tree_states(self, batch: TreeBatch) -> Tensor:
        """Hidden states of the row's own tokens. (T, D)"""
        front = front_of(self.model)
        if front is None:
            layout = tree_layout(batch.segments, batch.tokens_T.device)
            return self.run_layout(batch.tokens_T[None], batch.positions_T[None], layout)[0]
        row = fronted(batch, front.length)
        layout = tree_layout(row.segments, batch.tokens_T.device)
        states = self.run_layout(row.tokens_T[None], row.positions_T[None], layout, row.places)
        return states[0].index_select(0, row.own_T)

    def _row_states(self, rows: PaddedRows) -> Tensor:
        """Hidden states of padded rows. (B*L, D)"""
        self.require_short_rows(num_virtual(self.model) + rows.tokens_BL.shape[1])
        if (front := front_of(self.model)) is not None:
            return front.rows(self.model, rows.tokens_BL, rows.mask_BL, rows.positions_BL).flatten(0, 1)
        out: Any = self.model.get_decoder()(
            input_ids=rows.tokens_BL, attention_mask=rows.mask_BL, position_ids=rows.positions_BL, use_cache=False
        )
        flat: Tensor = out.last_hidden_state.flatten(0, 1)
        return flat

    def require_short_rows(self, width: int) -> None:
        """Refuse a row in which the longest sequence would change the positions of the others.

        Raises:
            ModelError: names the length and the limit.
        """
        if self._row_limit is not None and width > self._row_limit:
            raise ModelError(
                f"a row of {width} tokens changes the positions of all rows beside it, because this model scales them "
                f"by the length of the row beyond {self._row_limit}; set text.max_tokens to {self._row_limit} or less"
            )

    def run_layout(self, tokens: Tensor, positions: Tensor, layout: Layout, places: Tensor | None = None) -> Tensor:
        """Hidden states of every token under a layout. (B, T) -> (B, T, D)

        Args:
            tokens, positions: virtual ones included.
            layout: of them all.
            places: of virtual tokens (front.py), None if there are none among them.
        """
        named: Mapping[str, Tensor] = {"input_ids": tokens}
        if places is not None and (front := front_of(self.model)) is not None:
            named, layout = front.placed(self.model, tokens, layout, places)
        out: Any = self.model.get_decoder()(
            **named, position_ids=positions, attention_mask=None, use_cache=False, layout=layout
        )
        states: Tensor = out.last_hidden_state
        return states


def language_model(model: PreTrainedModel, *, layout: LayoutName = "auto", temperature: float = 1.0) -> LanguageModel:
    """A checked part: the tree layout where it is proven right for this model, else the padded one.

    Args:
        model: with float32 weights, so that the check is sharp.
        layout: "auto" falls back to "padded" and says so in `reason`; a layout asked for by name is kept or refused.
        temperature: divides the logits.

    Raises:
        ModelError: the layout asked for is wrong for the model, or even the padded one is.
    """
    return checked(
        lambda name: LanguageModel(model, layout=name, temperature=temperature), check=check_layouts, layout=layout
    )


class LaidOut(Protocol):
    """A part that runs in a layout and can say why."""

    layout: Literal["tree", "padded"]
    reason: str


PartT = TypeVar("PartT", bound=LaidOut)


def checked(build: Callable[[LayoutName], PartT], *, check: Callable[[PartT], None], layout: LayoutName) -> PartT:
    """The part that `build` makes, in the layout asked for; "auto" falls back to "padded" and gives the reason.

    Raises:
        ModelError: the check fails for the layout asked for, or even for the padded one.
    """
    part = build(layout)
    try:
        check(part)
    except ModelError as error:
        if layout != "auto" or part.layout == "padded":
            raise
        part = build("padded")
        part.reason = str(error)
        check(part)
    return part


def head_of(model: PreTrainedModel) -> Head:
    """The output head of a transformers model.

    Raises:
        ModelError: it has none, or one that is not a linear map of the hidden states.
    """
    output = model.get_output_embeddings()
    if not isinstance(output, nn.Linear):
        raise ModelError(
            f"{type(model).__name__} has {type(output).__name__} as its output head; a linear one is needed"
        )
    settings = _settings(model.config)
    scale = float(settings.get("logit_scale") or 1.0) / float(settings.get("logits_scaling") or 1.0)
    scale *= float(settings.get("lm_head_multiplier") or 1.0)
    return Head(weight=output.weight, bias=output.bias, scale=scale, soft_cap=settings.get("final_logit_softcapping"))


def _teacher_head(context: Mapping[str, Tensor]) -> Head:
    cap = context.get("teacher_soft_cap")
    scale = context.get("teacher_scale")
    return Head(
        weight=context["teacher_weight"],
        bias=context.get("teacher_bias"),
        scale=1.0 if scale is None else float(scale),
        soft_cap=None if cap is None else float(cap),
    )


def layout_for(config: PretrainedConfig, wanted: LayoutName) -> tuple[Literal["tree", "padded"], str]:
    """The layout that a model can run, and why it is not the tree.

    Raises:
        ModelError: the tree was asked for by name and the model cannot do it.
    """
    if wanted == "padded":
        return "padded", "asked for"
    reason = _obstacle(config)
    if reason and wanted == "tree":
        raise ModelError(f"layout 'tree' cannot run this model: {reason}; use layout 'auto' or 'padded'")
    return ("padded", reason) if reason else ("tree", "")


def _obstacle(config: PretrainedConfig) -> str:
    settings = _settings(config)
    kinds = set(settings.get("layer_types") or ()) - _PLAIN_LAYERS
    ropes = _rope_types(settings.get("rope_parameters") or settings.get("rope_scaling") or {}) & _ROW_DEPENDENT_ROPE
    if kinds:
        return f"it has layers of kind {', '.join(sorted(kinds))}"
    if ropes:
        return f"its positions are scaled by '{', '.join(sorted(ropes))}', which depends on the length of the row"
    if settings.get("attention_chunk_size"):
        return "its attention is cut into chunks of the row"
    return ""


def _row_limit(config: PretrainedConfig) -> int | None:
    """Longest row whose positions do not depend on its length, for a model where longer ones do; None for others."""
    settings = _settings(config)
    parameters = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not _rope_types(parameters) & _ROW_DEPENDENT_ROPE:
        return None
    original = parameters.get("original_max_position_embeddings") or settings.get("original_max_position_embeddings")
    return int(original or settings["max_position_embeddings"])


def _rope_types(parameters: Mapping[str, Any]) -> set[str]:
    found = {str(parameters[key]) for key in ("rope_type", "type") if isinstance(parameters.get(key), str)}
    for value in parameters.values():
        if isinstance(value, Mapping):
            found |= _rope_types(value)
    return found


def _settings(config: PretrainedConfig) -> dict[str, Any]:
    return dict(config.get_text_config(decoder=True).to_dict())


def _set_attention(model: PreTrainedModel, layout: str) -> None:
    if layout == "tree":
        model.set_attn_implementation(attention.NAME)
        return
    try:
        model.set_attn_implementation("sdpa")
    except ValueError:  # so transformers refuses its fused attention where that would leave out soft caps or sinks
        model.set_attn_implementation("eager")


def check_layouts(part: LanguageModel) -> None:
    """Prove on a few random tokens that the layout in use computes what the model's own forward does.

    Three things are asserted: log-probs agree with those of the model's plain forward on each path alone; changing a
    sibling completion moves nothing else (beyond rounding: experts sum in another order when other tokens come to
    them); every layer passes on the sliding window that its config has.

    Raises:
        ModelError: one of them does not hold. With layout "auto", load the model with layout "padded" then.
    """

    def logp(batch: TreeBatch) -> Tensor:
        found: Tensor = part(batch, frozenset({"logp"}))["logp"]
        return found

    def plain(prompt: list[int], answer: list[int]) -> Tensor:
        logits = part.model(input_ids=_row(part, prompt, answer), use_cache=False).logits[0, len(prompt) - 1 : -1]
        logps = torch.log_softmax(logits.float() / part.temperature, -1)
        return logps.gather(1, torch.tensor(answer, device=logits.device)[:, None])[:, 0]

    _check(part, logp, plain, unit=_NATS)


def check_last_hidden(part: LanguageModel) -> None:
    """What `check_layouts` proves, of the hidden states at the last tokens; for a model that has no output head.

    They are compared relative to the largest of them.

    Raises:
        ModelError: they differ from the plain forward's, a sibling moves them, or a sliding window is not passed on.
    """
    _check(part, part.last_hidden, lambda prompt, answer: _plain_hidden(part, prompt, answer)[-1:], unit=_RELATIVE)


def check_hidden(part: LanguageModel) -> None:
    """The same, of the hidden states that predict the scored tokens.

    Raises:
        ModelError: as for `check_last_hidden`.
    """

    def plain(prompt: list[int], answer: list[int]) -> Tensor:
        return _plain_hidden(part, prompt, answer)[len(prompt) - 1 : -1]

    _check(part, part.hidden, plain, unit=_RELATIVE)


def _plain_hidden(part: LanguageModel, prompt: list[int], answer: list[int]) -> Tensor:
    """Hidden states of one path by the model's own forward. (T, D)"""
    out: Any = part.model.get_decoder()(input_ids=_row(part, prompt, answer), use_cache=False)
    states: Tensor = out.last_hidden_state[0]
    return states


def _row(part: LanguageModel, prompt: list[int], answer: list[int]) -> Tensor:
    return torch.tensor([prompt + answer], device=next(part.model.parameters()).device)


def _check(
    part: LanguageModel,
    measured: Callable[[TreeBatch], Tensor],
    plain: Callable[[list[int], list[int]], Tensor],
    *,
    unit: str,
) -> None:
    """Compare what a part gives with the model's own forward on each path alone, both without what is attached."""
    config = part.model.config
    device = next(part.model.parameters()).device
    vocabulary = int(_settings(config)["vocab_size"])
    generator = generator_from("check_layouts")

    def drawn(count: int) -> list[int]:
        return torch.randint(1, vocabulary, (count,), generator=generator).tolist()

    prompts, answers = [drawn(5), drawn(3)], [[drawn(4), drawn(3)], [drawn(5)]]
    sibling = drawn(4)
    batch = _check_batch(prompts, answers).to(device)
    other = _check_batch(prompts, [[sibling, answers[0][1]], answers[1]]).to(device)
    name = type(part.model).__name__
    with torch.no_grad(), switched_off(part.model):
        try:
            found, changed = measured(batch), measured(other)
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ModelError(f"{name} cannot run the {part.layout} layout: {error}") from error
        alone = _alone(part, prompts, answers, plain)
    first = len(alone[0])  # the completion that was changed
    expected = torch.cat(alone)
    size = 1.0 if unit == _NATS else float(expected.abs().max())
    moved = float((changed - found)[first:].abs().max()) / size
    gap = float((found - expected).abs().max()) / size
    tolerance = 5 * TOLERANCE.get(part.model.dtype, TOLERANCE[torch.bfloat16])
    if not (moved <= tolerance and gap <= tolerance):
        off = f"it is {gap:.2g} {unit} off the plain forward"
        what = off if moved <= tolerance else f"a sibling completion changes it by {moved:.2g} {unit}"
        remedy = "; load it with layout 'padded'" if part.layout == "tree" else ""
        raise ModelError(f"{name} in the {part.layout} layout is wrong: {what}{remedy}")
    if part.layout == "tree":
        _check_windows(part, batch)


def _check_batch(prompts: list[list[int]], answers: list[list[list[int]]]) -> TreeBatch:
    return pack(
        [
            Tree(id="check", prompt=prompt, branches=tuple(Branch(tokens=a, weights=[1.0] * len(a)) for a in group))
            for prompt, group in zip(prompts, answers, strict=True)
        ]
    )


def _alone(
    part: LanguageModel,
    prompts: list[list[int]],
    answers: list[list[list[int]]],
    plain: Callable[[list[int], list[int]], Tensor],
) -> list[Tensor]:
    """What the model's own forward gives, one path at a time, by its plainest attention."""
    part.model.set_attn_implementation("eager")
    found = [plain(prompt, answer) for prompt, group in zip(prompts, answers, strict=True) for answer in group]
    _set_attention(part.model, part.layout)
    return found


class _WindowRecorder:
    """A layout that runs like another and notes the window of each layer."""

    def __init__(self, inner: Layout) -> None:
        self.inner = inner
        self.windows: dict[int, int | None] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        self.windows[layer] = rules.window
        return self.inner.attend(layer, query, key, value, rules)


def _check_windows(part: LanguageModel, batch: TreeBatch) -> None:
    recorder = _WindowRecorder(TreeLayout(batch.segments))
    with torch.no_grad():
        part.run_layout(batch.tokens_T[None], batch.positions_T[None], recorder)
    settings = _settings(part.model.config)
    window, kinds = settings.get("sliding_window"), settings.get("layer_types")
    everywhere = kinds is None and settings.get("use_sliding_window", True)
    for layer, seen in recorder.windows.items():
        sliding = everywhere or (kinds is not None and kinds[layer] == "sliding_attention")
        expected = window if sliding else None
        if seen != expected:
            name = type(part.model).__name__
            raise ModelError(
                f"{name} has a sliding window of {expected} in layer {layer}, but its attention asks for {seen}; "
                "load it with layout 'padded'"
            )
