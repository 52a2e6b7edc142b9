"""Tiny randomly initialised models of every architecture that must run in the tree layout, and of some that cannot."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import burnish.models.mixture  # noqa: F401  (transformers learns of it)

VOCABULARY = 97

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

_GEMMA = {"head_dim": 8}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": True}
_SLIDING = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}

ARCHITECTURES: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama", {}),
    "qwen2": ("qwen2", {}),
    "qwen2-sliding": ("qwen2", {"use_sliding_window": True, "max_window_layers": 0, **_SLIDING}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "gemma": ("gemma", _GEMMA),
    "gemma2": ("gemma2", {**_GEMMA, **_SLIDING, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("gemma3_text", {**_GEMMA, **_SLIDING}),
    "mistral": ("mistral", {"sliding_window": 5}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "qwen3_moe": ("qwen3_moe", {"head_dim": 8, **_EXPERTS}),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": 48}),
    "gpt_neox": ("gpt_neox", {}),
    "phi3": ("phi3", {}),
    "phi3-sliding": ("phi3", {"sliding_window": 6}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0]}),
    "olmo2": ("olmo2", {}),
    "gpt_oss": ("gpt_oss", {**_GEMMA, **_SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "noisy_moe": ("noisy_moe", {"num_experts": 4, "num_experts_per_tok": 2}),
}

_SCAN = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
_LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_MIXED = {"layer_types": ["linear_attention", "full_attention"], "shared_expert_intermediate_size": 16, "head_dim": 8}
_LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32, "factor": 2.0}
_LONG_FACTORS = {"long_factor": [2.0, 3.0, 4.0, 5.0], "short_factor": [1.0, 1.1, 1.2, 1.3]}

PADDED: dict[str, tuple[str, dict[str, object]]] = {
    "llama-dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}}),
    "phi3-longrope": ("phi3", {"rope_parameters": {**_LONG, **_LONG_FACTORS}}),
    "qwen3_next": ("qwen3_next", {**_LINEAR, **_EXPERTS, **_MIXED}),
    "lfm2": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "falcon_h1": ("falcon_h1", {**_SCAN, "mamba_d_ssm": 64, "head_dim": 8, "lm_head_multiplier": 0.5}),
    "mamba": ("mamba", {"state_size": 8}),
    "bloom": ("bloom", {"n_head": 4}),
    "gptj": ("gptj", {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": 64}),
}

_OWN_NAMES = ("gpt2", "gptj")  # they name the sizes in their own way
_COMMON = ("vocab_size", "bos_token_id", "eos_token_id")


def tiny_model(name: str = "llama", *, seed: int = 0, spread: float = 0.3) -> PreTrainedModel:
    """A model of a few thousand parameters; `spread` makes its logits differ enough to notice a mistake."""
    kind, changes = (ARCHITECTURES | PADDED)[name]
    shape = {k: v for k, v in _SHAPE.items() if kind not in _OWN_NAMES or k in _COMMON}
    config = AutoConfig.for_model(kind, **{**shape, **changes})
    config.initializer_range = spread
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                adds_one = kind.startswith("gemma") or kind == "qwen3_next"  # their norms add 1 to the weight
                mean = 1.0 if parameter_name.endswith("weight") and not adds_one else 0.0
                torch.nn.init.normal_(parameter, mean, 0.1)
            elif kind == "noisy_moe" and ".gate." in parameter_name:  # they start at 0, where all tokens choose alike
                torch.nn.init.normal_(parameter, 0.0, spread)
    model.config.use_cache = False
    return model.eval()
