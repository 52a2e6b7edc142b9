"""Our side on a tiny model: the cases, the FLOPs by formula, what is timed, and the gradients under common names."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from benchmarks import cases, flops
from benchmarks.case import Case, Request, Row, gradient_file
from benchmarks.ours import grpo, sampling, training
from benchmarks.works import WORKS
from burnish.batch import Branch, Tree
from burnish.errors import DataError
from burnish.models.load import load_tokenizer
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText
from tests.stages.tiny_chat import write_model

TREE = Tree(
    id="tree",
    prompt=[1, 2, 3, 4, 5],
    branches=(Branch(tokens=[6, 7], weights=[1.0, 1.0]), Branch(tokens=[8, 9, 10], weights=[1.0] * 3)),
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder of cases with a tiny model, with rows of its few words."""
    folder = tmp_path_factory.mktemp("cases")
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder / "model")
    rows = [Row(prompt=[3, 4, 5 + place], answers=[[7, 8, place + 9], [9, 10]]) for place in range(16)]
    case = Case(rows=rows, agree=[0, 1], head=[0.01] * 32, rewards=[0.0, 1.0])
    for work in ("sft", "dpo", "reward", "sample-groups"):
        chosen = [Row(prompt=row.prompt, answers=row.answers[:1]) for row in rows] if work == "sft" else rows
        Case(rows=chosen, agree=case.agree, head=case.head, rewards=case.rewards).write(folder / f"{work}.json")
    given = [Row(prompt=[3, 4, 5], answers=[[7, 8, 9], [9, 10, 11]], text="What is opal?")]
    Case(rows=given, agree=[0], head=case.head, rewards=case.rewards).write(folder / "grpo.json")
    return folder


def asked(folder, out, work, mode):
    out.mkdir(exist_ok=True)
    return Request(work=work, mode=mode, folder=str(folder), out=str(out), device="cpu", updates=2, settings={})


@pytest.mark.parametrize("work", ["sft", "dpo", "reward"])
def test_what_is_timed_of_updates(tiny, tmp_path, monkeypatch, work):
    monkeypatch.setattr(flops, "SIZE", 16)
    found = training.result(asked(tiny, tmp_path / work, work, "measure"))
    assert found["rows"] == 16
    assert len(found["update_seconds"]) == 2
    assert found["seconds"] > sum(found["update_seconds"])
    assert (found["reference_seconds"] > 0.001) == (work == "dpo")
    assert found["model_flops"] > 0
    assert found["layout"] == "tree"


@pytest.mark.parametrize(("work", "module"), [("sft", training), ("dpo", training), ("grpo", grpo)])
def test_gradients_have_the_names_and_values_of_the_plain_model(tiny, tmp_path, work, module):
    request = asked(tiny, tmp_path / work, work, "agree")
    found = module.result(request)
    gradients = load_file(gradient_file(request.out))
    model = AutoModelForCausalLM.from_pretrained(request.model, dtype=torch.float32)
    assert set(gradients) == {name for name, _ in model.named_parameters()}
    plain_loss(work, request, model).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)
    if work == "dpo":
        assert found["loss"] == pytest.approx(0.693147, abs=1e-5)
        assert len(found["numbers"]) == 4


def plain_loss(work, request, model):
    """The loss by its formula, one row at a time by transformers' own forward."""

    def logps(row, answer):
        logits = model(input_ids=torch.tensor([row.prompt + answer])).logits[0, len(row.prompt) - 1 : -1]
        return torch.log_softmax(logits, -1).gather(1, torch.tensor(answer)[:, None])

    rows = request.case.compared
    if work == "sft":
        every = torch.cat([logps(row, row.answers[0]) for row in rows])
        return -every.mean()
    if work == "dpo":
        sums = [[logps(row, answer).sum() for answer in row.answers] for row in rows]
        apart = torch.stack([chosen - rejected for chosen, rejected in sums])
        return -nn.functional.logsigmoid(0.1 * (apart - apart.detach())).mean()
    (row,) = rows
    advantages = [reward - 0.5 for reward in request.case.rewards]
    weighed = [
        value * (one - one.detach()).exp()
        for value, answer in zip(advantages, row.answers, strict=True)
        for one in [logps(row, answer)]
    ]
    return -torch.cat(weighed).mean()


def test_scores_are_by_the_head_of_the_case(tiny, tmp_path):
    request = asked(tiny, tmp_path / "reward", "reward", "agree")
    found = training.result(request)
    gradients = load_file(gradient_file(request.out))
    assert gradients["score.weight"].shape == (1, 32)
    assert "model.layers.0.mlp.up_proj.weight" in gradients
    model = AutoModelForCausalLM.from_pretrained(request.model, dtype=torch.float32)
    row = request.case.compared[0]
    with torch.no_grad():
        hidden = model.model(input_ids=torch.tensor([row.prompt + row.answers[1]])).last_hidden_state[0, -1]
    assert found["numbers"][1] == pytest.approx(float(hidden.sum()) * 0.01, rel=1e-4)


def test_greedy_tokens_are_those_of_the_plain_model(tiny, tmp_path):
    found = sampling.result(asked(tiny, tmp_path / "sample", "sample-groups", "agree"))
    model = AutoModelForCausalLM.from_pretrained(str(tiny / "model"), dtype=torch.float32)
    tokens = [3, 4, 5]
    with torch.no_grad():
        for _ in range(64):
            tokens.append(int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
    assert found["tokens"][0] == tokens[3:]
    assert len(found["tokens"]) == 2


def test_what_is_timed_of_sampling(tiny, tmp_path):
    found = sampling.result(asked(tiny, tmp_path / "sample", "sample-groups", "measure"))
    assert found["rows"] == 16 * 8
    assert found["tokens"] == 16 * 8 * 64


def test_flops_are_those_of_the_models_own_weights(tiny):
    model = AutoModelForCausalLM.from_pretrained(str(tiny / "model"))
    linear = sum(
        m.weight.numel() for name, m in model.named_modules() if isinstance(m, nn.Linear) and name != "lm_head"
    )
    seen = sum(range(1, 6)) + (6 + 7) + (6 + 7 + 8)  # keys that each token sees: the prompt's, each answer's
    without = 2 * TREE.num_tokens * linear + 4 * 2 * 32 * seen
    output = 2 * 5 * model.lm_head.weight.numel()
    for head, forward in ((False, without), (True, without + output)):
        assert flops.step_flops(model.config, [TREE], head=head, reference=False) == 3 * forward
        assert flops.step_flops(model.config, [TREE], head=head, reference=True) == 4 * forward


def test_the_product_rate_is_a_rate(monkeypatch):
    monkeypatch.setattr(flops, "SIZE", 64)
    assert 1e6 < flops.product_rate(torch.device("cpu")) < 1e15


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Data files in the shapes that the works read, and a tiny tokenizer."""
    monkeypatch.setenv("BURNISH_TEST_DATA", str(tmp_path))
    gems = [f"opal {'ruby ' * (place % 7)}jade" for place in range(80)]
    alpaca = [{"instruction": "Name it.", "input": "a" * (place % 2), "output": gem} for place, gem in enumerate(gems)]
    questions = [{"question": f"What is {gem}?", "answer": "It is a gem, and it shines. " * 30} for gem in gems]
    for name, text in {
        WORKS["sft"].data: json.dumps(alpaca),
        WORKS["grpo"].data: "".join(json.dumps(row) + "\n" for row in questions),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The tiny tokenizer of the stages' tests, with its template."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_model(folder)
    return ChatText(load_tokenizer(str(folder)), TemplateSettings())


def test_rows_stand_by_length_within_each_global_batch(data, text, tmp_path):
    case = cases.case_of(WORKS["sft"], text, 8)
    widths = [len(row.prompt) + len(row.answers[0]) for row in case.rows]
    batches = [widths[start : start + 8] for start in range(0, 64, 8)]
    assert batches == [sorted(batch) for batch in batches]
    assert widths != sorted(widths)
    assert sorted(widths[place] for place in case.agree) == sorted(widths)[:4]
    assert len(case.head) == 8
    case.write(tmp_path / "case.json")
    assert Case.read(tmp_path / "case.json") == case


def test_given_answers_have_one_length_and_sampled_prompts_have_none(data, text):
    given = cases.case_of(WORKS["grpo"], text, 8)
    assert [len(answer) for answer in given.rows[0].answers] == [96] * 8
    assert len(set(given.rewards)) == 8
    assert given.rows[0].text.startswith("What is opal")
    asked_for = cases.case_of(WORKS["sample-prompts"], text, 8)
    assert [row.answers for row in asked_for.rows] == [[]] * 32
    assert asked_for.agree == list(range(32))


def test_data_that_is_missing_or_too_small_is_told(data, text):
    rows = json.loads((data / WORKS["sft"].data).read_text(encoding="utf-8"))
    (data / WORKS["sft"].data).write_text(json.dumps(rows[:50]), encoding="utf-8")
    with pytest.raises(DataError, match="has 50 usable rows, and 64 are needed"):
        cases.case_of(WORKS["sft"], text, 8)
    with pytest.raises(DataError, match="set BURNISH_TEST_DATA"):
        cases.data_file(WORKS["dpo"].data)


def test_commands_begin_at_the_text(data):
    rows = cases.raw_rows(WORKS["load"])
    assert len(rows) == WORKS["load"].rows
    assert rows[0]["prompt"] == "Name it."
    assert rows[1]["prompt"] == "Name it.\na"
