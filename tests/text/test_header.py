"""The header of an answer with nothing before it."""

from __future__ import annotations

import pytest

from burnish.errors import TemplateError
from burnish.text.template import ChatText
from tests.stages.tiny_chat import TEMPLATE, tiny_tokenizer

BEGUN = "{{ bos_token }}{%- for m in messages -%}[{{ m.role }}]{{ m.content }}<|im_end|>{%- endfor -%}"


def header_of(template: str) -> str:
    tokenizer = tiny_tokenizer(template=template)
    return str(tokenizer.decode(ChatText(tokenizer).header))


def test_it_is_what_the_template_writes_between_a_question_and_its_answer():
    assert header_of(TEMPLATE) == "<|im_start|>assistant\n"


def test_a_begin_token_that_is_no_part_of_the_header_stands_in_front():
    assert header_of(BEGUN + "{%- if add_generation_prompt -%}[assistant]{%- endif -%}") == "<|im_start|>[assistant]"


def test_a_system_message_of_the_template_is_not_in_it():
    system = "<|im_start|>system\nBe brief.<|im_end|>\n"
    assert header_of(system + TEMPLATE) == "<|im_start|>assistant\n"


def test_a_template_without_a_header_is_refused():
    with pytest.raises(TemplateError, match=r"writes no header in front of an answer.*conditioning to empty_turn"):
        header_of(BEGUN)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(TemplateError, match="has no chat template"):
        _ = ChatText(tokenizer).header
