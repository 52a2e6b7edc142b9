"""A mixture-of-experts decoder: Llama's layers, with experts behind a noisy top-k gate as the feed-forward layer.

    x ──► gate: k of E experts, their weights ──► tokens sorted by expert, one product per expert ──► weighted sum

Experts are gated feed-forward layers (SwiGLU). transformers has no noisy top-k gate, so the classes are ours; importing
this file makes transformers' automatic classes know them, and the verbs of Burnish import it before they load a model:

    import burnish.models.mixture
    model = AutoModelForCausalLM.from_pretrained("runs/moe/model")

The gate is noisy only in a forward pass that is given a `Routing` with noise, which the part in `routed.py` does in
training. In every other one, in a plain forward or `generate`, it is not, whatever mode the model is in. The classes
add no balancing loss to the loss that they compute from labels; `burnish pretrain` and `burnish sft` do.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
)
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.llama.modeling_llama import (
    LlamaDecoderLayer,
    LlamaForCausalLM,
    LlamaModel,
    LlamaPreTrainedModel,
)

from burnish.models.gate import MODEL_TYPE, NoisyTopKGate, Routing
from burnish.models.grouped import grouped_linear


@strict
class NoisyMoeConfig(LlamaConfig):  # type: ignore[misc]
    """The config of a Llama with experts.

    Attributes:
        num_experts: in each layer, 2 or more.
        num_experts_per_tok: that see a token, from 2 to `num_experts`: with one alone its weight is 1 whatever the gate
            says, and the gate would learn from the balance only.
        importance_weight: of CV^2 of the importances, in each layer; 0.1 in the paper's language models.
        load_weight: of CV^2 of the loads.

    `intermediate_size` is that of one expert.
    """

    model_type = MODEL_TYPE
    base_model_tp_plan = None

    num_experts: int = 8
    num_experts_per_tok: int = 2
    importance_weight: float = 0.1
    load_weight: float = 0.1

    def validate_architecture(self) -> None:
        """What the sizes ask of each other.

        Raises:
            ValueError: they do not fit.
        """
        super().validate_architecture()
        if mistakes := gate_mistakes(self.num_experts, self.num_experts_per_tok):
            raise ValueError("; ".join(mistakes))


def gate_mistakes(experts: int, chosen: int) -> list[str]:
    """What is wrong with a number of experts and a number of those that see a token; nothing if they fit."""
    if experts < 2:
        return [f"experts is {experts}; a gate needs 2 or more to choose from"]
    if chosen < 2:
        return [
            f"experts_per_token is {chosen}; one alone has the weight 1 always, and the gate learns nothing: give 2"
        ]
    if chosen > experts:
        return [f"experts_per_token is {chosen}, and there are {experts} experts; give at most as many"]
    return []


class Experts(nn.Module):
    """E gated feed-forward layers; tokens are sorted by expert, and each expert makes one product with each matrix.

    Attributes:
        gate_up_proj: (E, 2 F, D), the gate's rows first.
        down_proj: (E, D, F).
    """

    def __init__(self, config: NoisyMoeConfig) -> None:
        super().__init__()
        self.num_experts = config.num_experts
        inner, width = config.intermediate_size, config.hidden_size
        self.gate_up_proj = nn.Parameter(torch.empty(self.num_experts, 2 * inner, width))
        self.down_proj = nn.Parameter(torch.empty(self.num_experts, width, inner))
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_TD: Tensor, experts_Tk: Tensor, weights_Tk: Tensor) -> Tensor:
        """The sum of the chosen experts' outputs by their weights. (T, D)"""
        chosen, order = experts_Tk.flatten().sort(stable=True)
        ends = torch.searchsorted(chosen, torch.arange(self.num_experts, device=chosen.device), right=True)
        rows = hidden_TD[order // experts_Tk.shape[1]]
        gate, up = grouped_linear(rows, self.gate_up_proj, ends.int()).chunk(2, dim=-1)
        outputs = grouped_linear(self.act_fn(gate) * up, self.down_proj, ends.int())
        back = torch.empty_like(order)
        back[order] = torch.arange(order.shape[0], device=order.device)
        outputs_TkD = outputs[back].view(*experts_Tk.shape, -1)
        return (outputs_TkD * weights_Tk[..., None]).sum(1).to(hidden_TD.dtype)


class NoisyMoeBlock(nn.Module):
    """A gate and its experts."""

    def __init__(self, config: NoisyMoeConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.gate = NoisyTopKGate(config.hidden_size, config.num_experts, config.num_experts_per_tok)
        self.experts = Experts(config)

    def forward(self, hidden_BTD: Tensor, routing: Routing | None = None) -> Tensor:
        """What the experts say. (B, T, D)"""
        hidden = hidden_BTD.flatten(0, 1)
        choice = self.gate(hidden, None if routing is None else routing.noise_of(self.layer))
        if routing is not None:
            routing.note(self.layer, choice)
        states: Tensor = self.experts(hidden, choice.experts_Tk, choice.weights_Tk)
        return states.view_as(hidden_BTD)


class NoisyMoeLayer(LlamaDecoderLayer):  # type: ignore[misc]
    """Llama's layer with experts."""

    def __init__(self, config: NoisyMoeConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.mlp = NoisyMoeBlock(config, layer_idx)

    def forward(self, hidden_states: Tensor, *, routing: Routing | None = None, **attention: Any) -> Tensor:
        """As transformers calls a layer; what is not named here goes to the attention. (B, T, D)"""
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **attention)
        hidden_states = hidden_states + attended
        states: Tensor = hidden_states + self.mlp(self.post_attention_layernorm(hidden_states), routing)
        return states


class NoisyMoePreTrainedModel(LlamaPreTrainedModel):  # type: ignore[misc]
    """How transformers makes and runs these models."""

    config: NoisyMoeConfig
    config_class = NoisyMoeConfig
    _no_split_modules: ClassVar[list[str]] = ["NoisyMoeLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Experts):
            init.normal_(module.gate_up_proj, mean=0.0, std=self.config.initializer_range)
            init.normal_(module.down_proj, mean=0.0, std=self.config.initializer_range)
        elif isinstance(module, NoisyTopKGate):
            init.zeros_(module.weight)
            init.zeros_(module.noise_weight)


class NoisyMoeModel(NoisyMoePreTrainedModel, LlamaModel):  # type: ignore[misc]
    """The decoder; `forward` takes Llama's arguments and `routing`."""

    def __init__(self, config: NoisyMoeConfig) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList([NoisyMoeLayer(config, layer) for layer in range(config.num_hidden_layers)])
        self.post_init()


class NoisyMoeForCausalLM(NoisyMoePreTrainedModel, LlamaForCausalLM):  # type: ignore[misc]
    """The decoder with its head."""

    _tp_plan = None

    def __init__(self, config: NoisyMoeConfig) -> None:
        super(LlamaForCausalLM, self).__init__(config)  # Llama's own would make a model without experts first
        self.model = NoisyMoeModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


class NoisyMoeForSequenceClassification(GenericForSequenceClassification, NoisyMoePreTrainedModel):  # type: ignore[misc]
    """The decoder with a score: what a reward model is saved as."""


AutoConfig.register(NoisyMoeConfig.model_type, NoisyMoeConfig, exist_ok=True)
AutoModel.register(NoisyMoeConfig, NoisyMoeModel, exist_ok=True)
AutoModelForCausalLM.register(NoisyMoeConfig, NoisyMoeForCausalLM, exist_ok=True)
AutoModelForSequenceClassification.register(NoisyMoeConfig, NoisyMoeForSequenceClassification, exist_ok=True)
