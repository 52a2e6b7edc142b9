"""Tiny randomly initialised models of every architecture that must run in the tree layout."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

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
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": 48}),
    "gpt_neox": ("gpt_neox", {}),
    "phi3": ("phi3", {}),
    "phi3-sliding": ("phi3", {"sliding_window": 6}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0]}),
    "olmo2": ("olmo2", {}),
    "gpt_oss": ("gpt_oss", {**_GEMMA, **_SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2}),
}


def tiny_model(name: str = "llama", *, seed: int = 0, spread: float = 0.3) -> PreTrainedModel:
    """A model of a few thousand parameters; `spread` makes its logits differ enough to notice a mistake."""
    kind, changes = ARCHITECTURES[name]
    shape = {k: v for k, v in _SHAPE.items() if not (kind == "gpt2" and k not in ("vocab_size", "bos_token_id"))}
    config = AutoConfig.for_model(kind, **{**shape, **changes})
    config.initializer_range = spread
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                is_scale = parameter_name.endswith("weight") and not kind.startswith("gemma")  # Gemma's add 1 themselves
                torch.nn.init.normal_(parameter, 1.0 if is_scale else 0.0, 0.1)
    model.config.use_cache = False
    return model.eval()
