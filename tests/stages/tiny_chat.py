"""A tiny chat model on disk, with data for it: what the training stages are tested with."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = """
{%- for m in messages -%}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant{{ "\n" }}{%- endif -%}"""

GEMS = ("opal", "ruby", "jade", "onyx", "pearl", "topaz", "agate", "amber", "beryl", "coral", "garnet", "quartz")


def tiny_tokenizer(*, vocabulary: int = 300, template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer whose padding token is its end-of-turn token, as SmolLM2's is."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([f"What is {gem}? {gem} is a gem." for gem in GEMS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=template,
    )


def write_model(
    folder: Path, *, seed: int = 0, tokenizer: PreTrainedTokenizerFast | None = None, context: int = 256
) -> Path:
    """Write a random Llama of about 30,000 parameters with its tokenizer."""
    tokenizer = tokenizer or tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_chats(path: Path, *, count: int = 12) -> Path:
    """Write demonstrations in the `messages` shape; some are longer than others, and some have two turns."""
    rows = []
    for index in range(count):
        gem = GEMS[index % len(GEMS)]
        messages = [
            {"role": "user", "content": f"What is {gem}?"},
            {"role": "assistant", "content": f"{gem} is a gem." + " It shines." * (index % 4)},
        ]
        if index % 5 == 0:
            messages += [{"role": "user", "content": "More?"}, {"role": "assistant", "content": "It is old."}]
        rows.append({"messages": messages})
    return _write(path, rows)


def write_pairs(path: Path, *, count: int = 12) -> Path:
    """Write preference pairs."""
    gems = [GEMS[index % len(GEMS)] for index in range(count)]
    return _write(
        path,
        [
            {"prompt": f"What is {gem}?", "chosen": f"{gem} is a gem.", "rejected": f"{gem}" + " no" * (i % 3 + 1)}
            for i, gem in enumerate(gems)
        ],
    )


def write_labelled(path: Path) -> Path:
    """Write single answers, every other one desirable."""
    return _write(
        path,
        [
            {
                "prompt": f"What is {gem}?",
                "completion": f"{gem} is a gem." if i % 2 else f"{gem} no",
                "label": i % 2 == 1,
            }
            for i, gem in enumerate(GEMS)
        ],
    )


def write_rankings(path: Path) -> Path:
    """Write rankings of three or four answers."""
    answers = (" is a gem.", " is old.", " no", " no no")
    return _write(
        path,
        [
            {
                "prompt": f"What is {gem}?",
                "completions": [f"{gem}{answer}" for answer in answers[: 3 + i % 2]],
                "scores": [float(-place) for place in range(3 + i % 2)],
            }
            for i, gem in enumerate(GEMS)
        ],
    )


def write_prompts(path: Path, *, count: int = 6) -> Path:
    """Write prompts with the constraint that the format grader reads."""
    return _write(
        path,
        [
            {
                "prompt": f"What is {GEMS[i]}? Use lower case.",
                "constraint": {"kind": "lower_case"},
                "kind": "lower_case",
                "topic": GEMS[i],
                "split": "test",
            }
            for i in range(count)
        ],
    )


def write_text(path: Path) -> Path:
    """Write plain documents."""
    return _write(path, [{"text": f"{gem} is a gem. It shines, and it is old."} for gem in GEMS])


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
