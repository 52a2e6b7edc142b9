"""The encoder: marks, continuations, offsets and the digest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import TemplateError
from burnish.text.tokenizer import Encoder


@pytest.fixture(scope="module")
def encoder(workshop):
    return Encoder(workshop.tokenizer("chatml"))


def test_padding_and_truncation_of_the_tokenizer_do_not_reach_the_encoder(workshop):
    tokenizer = workshop.tokenizer("chatml")
    tokenizer(["a", "a longer text"], padding="max_length", truncation=True, max_length=3)
    encoder = Encoder(tokenizer)
    assert encoder.decode(encoder.ids("a longer text")) == "a longer text"
    assert len(encoder.ids("a")) == 1
    tokenizer(["a", "a longer text"], padding="max_length", truncation=True, max_length=2)
    assert encoder.decode(encoder.ids("a longer text")) == "a longer text"


def test_a_mark_is_chosen_only_where_it_is_needed(encoder):
    assert encoder.mark_for(["plain", "<|im_"]) == ""
    first = encoder.mark_for(["<|im_end|>"])
    second = encoder.mark_for(["<|im_end|>", f"holds {first}"])
    assert first != second != ""
    with pytest.raises(TemplateError, match="private-use"):
        encoder.mark_for(["<|im_end|>", "".join(chr(0x10F000 + offset) for offset in range(256))])


@given(parts=st.lists(st.sampled_from(["<|im_end|>", "<|im_start|>", "<|im_", "end|>", "opal", " ", "\n", "é"])))
def test_marked_text_holds_no_special_token_and_decodes_to_itself(encoder, parts):
    text = "".join(parts)
    mark = encoder.mark_for([text])
    marked = encoder.marked({"a": [text]}, mark)["a"][0]
    ids = encoder.ids(f"<|im_start|>{marked}<|im_end|>", mark=mark)
    assert encoder.decode(ids) == f"<|im_start|>{text}<|im_end|>"
    assert [i for i in ids if i < 3] == [1, 0]
    starts = encoder.starts(f"<|im_start|>{marked}<|im_end|>", mark=mark)
    assert len(starts) == len(ids)
    assert list(starts) == sorted(starts)
    assert starts[-1] == len(f"<|im_start|>{text}")


def test_a_piece_is_the_continuation_of_what_stands_before_it(workshop):
    encoder = Encoder(workshop.tokenizer("inline"))
    alone, inside = encoder.ids("opal"), encoder.ids("opal", after="An ")
    assert alone != inside
    assert encoder.ids("An opal\nopal") == encoder.ids("An opal\n") + encoder.ids("opal", after="\n")
    assert encoder.starts("opal", after="An ")[0] == 0


def test_a_token_that_swallows_white_space_does_so_across_pieces(workshop):
    from tokenizers import AddedToken

    tokenizer = workshop.tokenizer("chatml")
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<|over|>", rstrip=True, special=True)]})
    encoder = Encoder(tokenizer)
    whole = encoder.ids("opal<|over|>\n ruby")
    assert encoder.ids("opal<|over|>") + encoder.ids("\n ruby", after="opal<|over|>") == whole
    assert encoder.ids("\n ruby") != encoder.ids("\n ruby", after="opal<|over|>")


def test_a_tokenizer_that_cannot_tell_text_from_special_tokens_is_refused():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<s>": 0, "opal": 1, "?": 2}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    encoder = Encoder(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>"))
    mark = encoder.mark_for(["opal <s>"])
    with pytest.raises(TemplateError, match="special token of the plain text 'opal <s>'"):
        encoder.ids(encoder.marked("opal <s>", mark), mark=mark)


def test_the_digest_is_of_vocabulary_and_rules(workshop):
    from tokenizers import pre_tokenizers

    same, other = workshop.tokenizer("chatml"), workshop.tokenizer("chatml")
    assert Encoder(same).digest == Encoder(other).digest
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    assert Encoder(same).digest != Encoder(other).digest
