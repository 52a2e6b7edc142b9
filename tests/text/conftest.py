"""Small tokenizers and chat templates that behave like the well-known families."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText

SENTENCES = [
    "The opal glows in milky colours, and the jeweller polishes it slowly.",
    "Which gem is blue? A sapphire is blue; a ruby is red.\nCut it well, then set it.",
    "user assistant system tool model think",
] * 3

CHATML = """
{%- for m in messages -%}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant{{ "\n" }}{%- endif -%}"""

# Thinking before the last question is left out; the last answer always has a think block.
STRIPS = """
{%- set last = namespace(question=0) -%}
{%- for m in messages if m.role == "user" -%}{%- set last.question = last.question + 1 -%}{%- endfor -%}
{%- set seen = namespace(questions=0) -%}
{%- for m in messages -%}
{%- if m.role == "user" -%}{%- set seen.questions = seen.questions + 1 -%}{%- endif -%}
<|im_start|>{{ m.role }}{{ "\n" }}
{%- if m.role == "assistant" and seen.questions == last.question -%}
<think>{{ "\n" ~ (m.reasoning_content or "") ~ "\n" }}</think>{{ "\n\n" }}
{%- endif -%}
{{ m.content }}<|im_end|>{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant{{ "\n" }}
{%- if enable_thinking is defined and not enable_thinking -%}<think>{{ "\n\n" }}</think>{{ "\n\n" }}{%- endif -%}
{%- endif -%}"""

# A begin token, headers between special tokens, trimmed contents, another end behind tool calls.
HEADERS = """{{ bos_token }}
{%- for m in messages -%}
<|head|>{{ m.role }}<|/head|>{{ "\n\n" }}
{%- if m.tool_calls -%}
<|call|>{{ {"call": m.tool_calls[0].function.name, "with": m.tool_calls[0].function.arguments} | tojson }}<|eom|>
{%- else -%}{{ m.content | trim }}<|eot|>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|head|>assistant<|/head|>{{ "\n\n" }}{%- endif -%}"""

# No header at all, a space in front of the answer, the end token behind it; roles must alternate.
INLINE = """{{ bos_token }}
{%- for m in messages -%}
{%- if (m.role == "user") != (loop.index0 % 2 == 0) -%}{{ raise_exception("roles must alternate") }}{%- endif -%}
{%- if m.role == "user" -%}[INST] {{ m.content }} [/INST]{%- else -%}{{ " " ~ m.content ~ eos_token }}{%- endif -%}
{%- endfor -%}"""

# The assistant is called model; there is no system role.
MODEL = """{{ bos_token }}
{%- for m in messages -%}
{%- if m.role not in ("user", "assistant") -%}{{ raise_exception("no role " ~ m.role) }}{%- endif -%}
<turn>{{ "model" if m.role == "assistant" else m.role }}
{{ m.content | trim }}</turn>{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}<turn>model{{ "\n" }}{%- endif -%}"""

# Tools, tool calls as JSON in the answer, tool results; it knows developers too.
TOOLS = """
{%- if tools -%}<|im_start|>tools{{ "\n" ~ (tools | tojson) }}<|im_end|>{{ "\n" }}{%- endif -%}
{%- for m in messages -%}
<|im_start|>{{ "boss" if m.role == "developer" else m.role }}{{ "\n" ~ m.content }}
{%- for c in m.tool_calls or [] -%}
<call>{{ {"name": c.function.name, "arguments": c.function.arguments} | tojson }}</call>
{%- endfor -%}<|im_end|>{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant{{ "\n" }}{%- endif -%}"""

# No ending at all.
BARE = """
{%- for m in messages -%}{{ m.role }}: {{ m.content }}{{ "\n" }}{%- endfor -%}
{%- if add_generation_prompt -%}assistant: {% endif -%}"""

# An end behind each turn and the tokenizer's end token behind the whole.
CLOSED = """
{%- for m in messages -%}<|im_start|>{{ m.role ~ "\n" ~ m.content }}<|end|>{{ "\n" }}{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant{{ "\n" }}{%- else -%}{{ eos_token }}{%- endif -%}"""


def byte_tokenizer(template, *, specials, bos=None, eos=None, pad=None, adds_begin=False, added=()):
    """A byte-level BPE tokenizer: any text comes back from its tokens unchanged."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=list(specials), show_progress=False
    )
    backend.train_from_iterator(SENTENCES, trainer)
    backend.add_tokens(list(added))
    return _wrapped(backend, template, bos=bos, eos=eos, pad=pad, adds_begin=adds_begin)


def prefix_tokenizer(template, *, bos, eos, adds_begin=True):
    """A tokenizer that puts a space in front of a text, as SentencePiece does."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    specials = ["<unk>", bos, eos, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=specials, show_progress=False)
    words = [word for sentence in SENTENCES for word in sentence.split()]
    backend.train_from_iterator([*words, *(f"▁{word}" for word in words), "[INST]", "[/INST]"], trainer)
    state = backend.to_str()
    backend = Tokenizer.from_str(_without_byte_specials(state))
    return _wrapped(backend, template, bos=bos, eos=eos, pad=None, adds_begin=adds_begin)


def _without_byte_specials(state):
    import json

    data = json.loads(state)
    data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
    return json.dumps(data)


def _wrapped(backend, template, *, bos, eos, pad, adds_begin):
    if adds_begin:
        pair = (bos, backend.token_to_id(bos))
        backend.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[pair])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos, pad_token=pad)
    tokenizer.chat_template = template
    return tokenizer


CHATML_TOKENS = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")


def tokenizer_of(family):
    """A new tokenizer of the family."""
    if family in ("chatml", "tools"):
        template = {"chatml": CHATML, "tools": TOOLS}[family]
        return byte_tokenizer(template, specials=CHATML_TOKENS, eos="<|im_end|>", pad="<|im_end|>")
    if family == "strips":
        return byte_tokenizer(STRIPS, specials=CHATML_TOKENS, eos="<|im_end|>", added=("<think>", "</think>"))
    if family == "headers":
        specials = ("<|begin|>", "<|end_of_text|>", "<|head|>", "<|/head|>", "<|eot|>", "<|eom|>", "<|call|>")
        return byte_tokenizer(HEADERS, specials=specials, bos="<|begin|>", eos="<|end_of_text|>", adds_begin=True)
    if family == "model":
        specials = ("<bos>", "<eos>", "<turn>", "</turn>")
        return byte_tokenizer(MODEL, specials=specials, bos="<bos>", eos="<eos>", adds_begin=True)
    if family == "inline":
        return prefix_tokenizer(INLINE, bos="<s>", eos="</s>")
    if family == "closed":
        specials = ("<|im_start|>", "<|end|>", "<|endoftext|>")
        return byte_tokenizer(CLOSED, specials=specials, eos="<|endoftext|>")
    assert family == "bare"
    return byte_tokenizer(BARE, specials=("<eos>",), eos="<eos>")


@dataclass(frozen=True)
class Workshop:
    """What the tests build with."""

    def tokenizer(self, family):
        return tokenizer_of(family)

    def chat(self, family, **options):
        return ChatText(tokenizer_of(family), TemplateSettings(**options))

    def byte_tokenizer(self, template, **specials):
        return byte_tokenizer(template, **specials)


@pytest.fixture(scope="session")
def workshop():
    return Workshop()


@pytest.fixture(scope="session")
def chats():
    """One ChatText of each family."""
    families = ("chatml", "tools", "strips", "headers", "model", "inline", "closed", "bare")
    return {family: ChatText(tokenizer_of(family)) for family in families}
