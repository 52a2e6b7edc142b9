"""The engine in this process: it samples what the model says, with the log-probs that the trainer would compute."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.attention import Layout
from burnish.models.language import LanguageModel
from burnish.models.lora import Lora, add_lora
from burnish.numerics import TOLERANCE, generator_from
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling.cache import WIDTH_STEP, Cache, Decode, Prefill
from burnish.sampling.engine import InProcessEngine
from tests.models.tiny import VOCABULARY, tiny_model

ARCHITECTURES = ["llama", "qwen2-sliding", "qwen3", "gemma2", "gemma3", "mistral", "gpt2", "gpt_neox", "gpt_oss"]


class Recorder(LanguageModel):
    """A language model that notes every pass: which layout, how many tokens, and the last cache."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.passes: list[tuple[type[Layout], int]] = []
        self.cache: Cache | None = None

    def run_layout(self, tokens: Tensor, positions: Tensor, layout: Layout, places: Tensor | None = None) -> Tensor:
        self.passes.append((type(layout), tokens.numel()))
        if isinstance(layout, Prefill | Decode):
            self.cache = layout.cache
        return super().run_layout(tokens, positions, layout, places)

    def num_tokens(self, kind: type[Layout]) -> int:
        """Tokens computed in passes of one kind."""
        return sum(count for name, count in self.passes if name is kind)


def engine(name: str = "llama", *, stop=(2,), **limits) -> InProcessEngine:
    return InProcessEngine(Recorder(tiny_model(name)), stop_tokens=stop, policy_version="v1", **limits)


def prompts(count: int, *, seed: int = 0, longest: int = 9) -> list[list[int]]:
    generator = generator_from(seed, "prompts")
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return [torch.randint(3, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


def requests(count: int, *, num_samples: int = 1, seed: int = 0) -> list[Request]:
    rows = prompts(count, seed=seed)
    return [Request(id=f"r{index}", prompt=row, num_samples=num_samples) for index, row in enumerate(rows)]


def tokens_of(found: list[list[Sample]]) -> list[list[tuple[int, ...]]]:
    return [[sample.tokens for sample in group] for group in found]


# What is sampled ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_equals_generate(name: str):
    """Prompts of different lengths in one batch, against transformers' own loop on each alone.

    Windows of 4 and 5 tokens are passed in the prompt and while decoding; gemma2 caps its scores, gpt_oss has sinks.
    """
    asked = requests(4)
    found = engine(name).sample(asked, Decoding(temperature=0, max_tokens=12), seed=0)
    for (sample,), expected in zip(found, generated(name, asked, 12), strict=True):
        assert sample.tokens == expected
        assert sample.logps == (0.0,) * len(sample.tokens)


def generated(name: str, asked: list[Request], max_tokens: int) -> list[tuple[int, ...]]:
    """Greedy tokens by transformers' own loop, one prompt at a time."""
    model = tiny_model(name)
    model.set_attn_implementation("eager")
    told = {"do_sample": False, "max_new_tokens": max_tokens, "eos_token_id": 2, "pad_token_id": 0}
    rows = [torch.tensor([list(request.prompt)]) for request in asked]
    found = [model.generate(row, attention_mask=torch.ones_like(row), **told) for row in rows]
    return [tuple(out[0, row.shape[1] :].tolist()) for row, out in zip(rows, found, strict=True)]


@pytest.mark.parametrize("name", ["llama", "qwen2-sliding"])
def test_rows_that_outgrow_the_width_that_is_read_equal_generate(name: str):
    """The cache is as wide as what it holds needs, in steps; prompts and answers here pass several of them."""
    asked = [
        Request(id=str(n), prompt=tuple(range(3, 3 + n))) for n in (WIDTH_STEP - 1, WIDTH_STEP, 2 * WIDTH_STEP - 2)
    ]
    found = engine(name).sample(asked, Decoding(temperature=0, max_tokens=2 * WIDTH_STEP + 2), seed=0)
    expected = generated(name, asked, 2 * WIDTH_STEP + 2)
    assert [sample.tokens for (sample,) in found] == expected
    assert max(map(len, expected)) > 2 * WIDTH_STEP


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampled_log_probs_are_those_of_the_trainer(name: str, temperature: float):
    """Pain 13: at learning rate 0 the ratio of the trainer's probability to the sampler's is 1 in float32."""
    asked = requests(4, num_samples=3)
    found = engine(name).sample(asked, Decoding(temperature=temperature, max_tokens=10), seed=1)
    gaps = trainer_gap(tiny_model(name), asked, found, temperature)
    assert float(gaps.exp().sub(1).abs().max()) < 1e-5


def trainer_gap(model, asked: list[Request], found: list[list[Sample]], temperature: float) -> Tensor:
    """The trainer's log-prob minus the sampler's, of every sampled token."""
    part = LanguageModel(model, temperature=temperature)
    with torch.no_grad():
        logp = part(pack(trees_of(asked, found)), frozenset({"logp"}))["logp"]
    return logp - torch.tensor([value for group in found for sample in group for value in sample.logps])


def trees_of(asked: list[Request], found: list[list[Sample]]) -> list[Tree]:
    return [
        Tree(
            id=request.id,
            prompt=request.prompt,
            branches=tuple(Branch(tokens=s.tokens, weights=[1.0] * len(s.tokens)) for s in group),
        )
        for request, group in zip(asked, found, strict=True)
    ]


def test_in_bf16_the_gap_has_its_bound():
    asked = requests(4, num_samples=3)
    model = tiny_model("llama", spread=0.1).to(torch.bfloat16)
    sampler = InProcessEngine(LanguageModel(model), stop_tokens=[2], policy_version="v1")
    found = sampler.sample(asked, Decoding(max_tokens=10), seed=1)
    gaps = trainer_gap(model, asked, found, 1.0)
    assert 0 < float(gaps.abs().max()) < TOLERANCE[torch.bfloat16]


def test_truncated_log_probs_are_larger_than_the_models_own():
    """With top-k the sampling distribution is not the model's; what is recorded is the former."""
    asked = requests(3, num_samples=4)
    found = engine().sample(asked, Decoding(top_k=3, max_tokens=8), seed=0)
    gaps = trainer_gap(tiny_model(), asked, found, 1.0)
    assert float(gaps.max()) < 1e-5
    assert float(gaps.mean()) < -0.1


def test_frequencies_follow_the_model():
    """800 first tokens of one prompt: each count lies within 5 standard deviations of its expectation."""
    count, prompt = 800, [5, 9, 13]
    found = engine("llama", cache_tokens=8000, max_rows=900).sample(
        [Request(id="x", prompt=prompt, num_samples=count)], Decoding(max_tokens=1), seed=3
    )
    with torch.no_grad():
        expected = torch.softmax(tiny_model()(torch.tensor([prompt]), use_cache=False).logits[0, -1], -1)
    counts = torch.bincount(torch.tensor([s.tokens[0] for s in found[0]]), minlength=VOCABULARY)
    slack = 5 * (count * expected * (1 - expected)).sqrt() + 1
    assert bool(((counts - count * expected).abs() <= slack).all())


# What a sample depends on ---------------------------------------------------------------------------------------------


def test_samples_do_not_depend_on_who_else_is_in_the_batch():
    asked, decoding = requests(6, num_samples=3), Decoding(max_tokens=9)
    together = engine().sample(asked, decoding, seed=4)
    for request, group in zip(asked, together, strict=True):
        alone = engine().sample([request], decoding, seed=4)
        assert tokens_of(alone) == tokens_of([group])
        for one, other in zip(alone[0], group, strict=True):
            assert one.logps == pytest.approx(other.logps, abs=1e-5)


@pytest.mark.parametrize("max_rows", [1, 2, 5, 7])
def test_rows_leave_and_enter(max_rows: int):
    """18 samples of different lengths through few rows: everyone gets what it gets with rows enough for all."""
    asked, decoding = requests(6, num_samples=3), Decoding(max_tokens=9)
    stop = range(2, 20)  # so that completions end at different times
    expected = engine(stop=stop).sample(asked, decoding, seed=4)
    lengths = {len(sample.tokens) for group in expected for sample in group}
    assert len(lengths) > 3
    found = engine(stop=stop, max_rows=max_rows).sample(asked, decoding, seed=4)
    assert tokens_of(found) == tokens_of(expected)


@pytest.mark.parametrize("cache_tokens", [15, 24, 31, 60, 100])
@pytest.mark.parametrize("num_samples", [1, 2, 7])
def test_a_small_cache_holds_fewer_rows_and_changes_nothing(cache_tokens: int, num_samples: int):
    """15 tokens are what the longest prompt and a completion need."""
    asked, decoding = requests(5, num_samples=num_samples), Decoding(max_tokens=6)
    assert max(len(request.prompt) for request in asked) + 6 == 15
    stop = range(2, 20)
    small = engine(cache_tokens=cache_tokens, stop=stop)
    expected = engine(stop=stop).sample(asked, decoding, seed=0)
    assert tokens_of(small.sample(asked, decoding, seed=0)) == tokens_of(expected)
    stores = (small.part.cache.prompts, small.part.cache.rows)
    layers = [store.layer(0, torch.empty(1, 1, 1, 1)) for store in stores]
    assert sum(keys.shape[0] * keys.shape[2] for keys, _ in layers) <= cache_tokens
    if cache_tokens == 15:
        assert {count for kind, count in small.part.passes if kind is Decode} == {1}


def test_the_order_of_requests_does_not_matter():
    asked, decoding = requests(6, num_samples=2), Decoding(max_tokens=8)
    straight = engine().sample(asked, decoding, seed=0)
    turned = engine().sample(asked[::-1], decoding, seed=0)
    assert tokens_of(turned[::-1]) == tokens_of(straight)


def test_more_samples_do_not_change_the_first_ones():
    decoding = Decoding(max_tokens=8)
    few, many = (engine().sample(requests(2, num_samples=n), decoding, seed=0) for n in (2, 5))
    assert [group[:2] for group in tokens_of(many)] == tokens_of(few)


def test_the_seed_the_request_and_the_number_key_a_sample():
    prompt, decoding = [5, 6, 7], Decoding(max_tokens=10)

    def drawn(seed: int, name: str) -> list[tuple[int, ...]]:
        return tokens_of(engine().sample([Request(id=name, prompt=prompt, num_samples=2)], decoding, seed=seed))[0]

    assert drawn(0, "a") == drawn(0, "a")
    assert len({*drawn(0, "a"), *drawn(1, "a"), *drawn(0, "b")}) == 6


def test_two_runs_are_the_same_to_the_bit():
    torch.manual_seed(1)
    first = engine("gpt2").sample(requests(4, num_samples=2), Decoding(max_tokens=8), seed=0)
    torch.manual_seed(2)
    assert engine("gpt2").sample(requests(4, num_samples=2), Decoding(max_tokens=8), seed=0) == first


# How it runs ----------------------------------------------------------------------------------------------------------


def test_a_prompt_is_computed_once_for_its_group():
    asked = requests(4, num_samples=6)
    sampler = engine()
    sampler.sample(asked, Decoding(max_tokens=5), seed=0)
    prefills = [count for kind, count in sampler.part.passes if kind is Prefill]
    assert prefills == [sum(len(request.prompt) for request in asked)]
    decodes = [count for kind, count in sampler.part.passes if kind is Decode]
    assert len(decodes) <= 4
    assert decodes[0] == 24


@pytest.mark.parametrize("limits", [{"max_rows": n} for n in (1, 2, 3, 5, 8, 17)] + [{"cache_tokens": 40}])
@pytest.mark.parametrize("num_samples", [1, 4, 6])
def test_a_prompt_is_computed_exactly_once_whatever_rows_are_free(limits: dict[str, int], num_samples: int):
    """Groups that do not fit the free rows, and completions of very different length."""
    asked = requests(5, num_samples=num_samples)
    sampler = engine(stop=range(2, 30), **limits)
    sampler.sample(asked, Decoding(max_tokens=9), seed=4)
    assert sampler.part.num_tokens(Prefill) == sum(len(request.prompt) for request in asked)


def test_requests_with_the_same_prompt_share_it():
    """Each has samples of its own, because the request's id keys them."""
    asked = [Request(id=name, prompt=[5, 9, 13, 4], num_samples=n) for name, n in (("a", 2), ("b", 3), ("c", 0))]
    other = Request(id="other", prompt=[5, 9, 13], num_samples=2)
    sampler = engine()
    found = sampler.sample([asked[0], other, *asked[1:]], Decoding(max_tokens=8), seed=0)
    assert sampler.part.num_tokens(Prefill) == 4 + 3
    assert [len(group) for group in found] == [2, 2, 3, 0]
    assert tokens_of([found[2]]) == tokens_of(engine().sample([asked[1]], Decoding(max_tokens=8), seed=0))
    assert len({sample.tokens for group in found for sample in group}) == 7


@pytest.mark.parametrize("max_rows", [3, 8, 100])
def test_only_samples_that_are_not_finished_are_computed(max_rows: int):
    """One token of every sample comes from its prompt, every further one from one row of one step."""
    sampler = engine(stop=range(2, 40), max_rows=max_rows)
    found = sampler.sample(requests(8, num_samples=4), Decoding(max_tokens=12), seed=0)
    assert sampler.part.num_tokens(Decode) == sum(len(sample.tokens) - 1 for group in found for sample in group)


def test_free_rows_are_filled_from_prompts_that_are_there():
    """10 samples of one prompt through 4 rows, all of the same length: 4, 4, then 2."""
    sampler = engine(max_rows=4, stop=[])
    sampler.sample([Request(id="a", prompt=[5, 6], num_samples=10)], Decoding(max_tokens=3), seed=0)
    assert [count for kind, count in sampler.part.passes if kind is Decode] == [4, 4, 4, 4, 2, 2]


@settings(max_examples=20, deadline=None)
@given(
    groups=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    max_rows=st.integers(1, 9),
    cache_tokens=st.integers(16, 120),
    seed=st.integers(0, 99),
)
def test_groups_of_any_size_through_rows_of_any_number(groups: list[int], max_rows: int, cache_tokens: int, seed: int):
    """Prompts come and go, samples move to other rows, and everyone gets what it gets alone."""
    asked = [
        Request(id=f"r{index}", prompt=prompt, num_samples=count)
        for index, (prompt, count) in enumerate(zip(prompts(len(groups), seed=seed), groups, strict=True))
    ]
    stop, decoding = range(2, 25), Decoding(max_tokens=7)
    sampler = engine(stop=stop, max_rows=max_rows, cache_tokens=cache_tokens)
    found = sampler.sample(asked, decoding, seed=seed)
    alone = [engine(stop=stop).sample([request], decoding, seed=seed)[0] for request in asked]
    assert tokens_of(found) == tokens_of(alone)
    read = {tuple(request.prompt) for request in asked if request.num_samples}
    assert sampler.part.num_tokens(Prefill) == sum(len(prompt) for prompt in read)


def test_stop_tokens_end_a_completion_and_belong_to_it():
    stop = frozenset(range(2, 12))
    found = engine(stop=stop).sample(requests(6, num_samples=4), Decoding(max_tokens=10), seed=0)
    samples = [sample for group in found for sample in group]
    assert {sample.finish for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert not stop & set(sample.tokens[:-1])
        assert (sample.tokens[-1] in stop) == (sample.finish == "stop")
        assert sample.finish == "stop" or len(sample.tokens) == 10
        assert len(sample.logps) == len(sample.tokens) <= 10
        assert sample.policy_version == "v1"


def test_one_token_is_enough():
    found = engine().sample(requests(3), Decoding(max_tokens=1), seed=0)
    assert [len(group[0].tokens) for group in found] == [1, 1, 1]


def test_no_request_no_sample():
    assert engine().sample([], Decoding(), seed=0) == []
    assert engine().sample([Request(id="a", prompt=[5], num_samples=0)], Decoding(max_tokens=9), seed=0) == [[]]


def test_rules_change_the_logits_and_see_what_was_sampled():
    """A rule that forbids all tokens but one that counts: 10, 11, 12, ... Its distribution is certain."""
    seen: list[list[list[int]]] = []

    def counting(logits: Tensor, so_far) -> Tensor:
        seen.append([list(row) for row in so_far])
        only = torch.full_like(logits, float("-inf"))
        for row, tokens in enumerate(so_far):
            only[row, 10 + len(tokens)] = 0.0
        return only

    found = engine(rules=[counting]).sample(requests(2), Decoding(max_tokens=4), seed=0)
    assert tokens_of(found) == [[(10, 11, 12, 13)]] * 2
    assert found[0][0].logps == (0.0,) * 4
    assert seen == [[[10 + n for n in range(count)]] * 2 for count in range(4)]


def test_rules_run_one_after_the_other_before_the_temperature():
    def shift(logits: Tensor, so_far) -> Tensor:
        return torch.zeros_like(logits).index_fill(1, torch.tensor([40, 41]), 1.0)

    def double(logits: Tensor, so_far) -> Tensor:
        return 2 * logits

    decoding = Decoding(max_tokens=1, temperature=0.5)
    found = engine(rules=[shift, double]).sample([Request(id="a", prompt=[5], num_samples=40)], decoding, seed=0)
    expected = torch.log_softmax(torch.tensor([4.0, 4.0, *[0.0] * (VOCABULARY - 2)]), -1)
    logps = {sample.tokens[0]: sample.logps[0] for sample in found[0]}
    assert logps[40] == pytest.approx(float(expected[0]), abs=1e-5)


# A model that is being trained ----------------------------------------------------------------------------------------


def test_sampling_runs_without_dropout_and_puts_every_mode_back():
    """gpt2 has dropout; one of its pieces was left in evaluation mode on purpose."""
    sampler = engine("gpt2")
    sampler.part.train()
    kept = sampler.part.model.transformer.h[0].attn
    kept.eval()
    modes = [piece.training for piece in sampler.part.modules()]
    first = sampler.sample(requests(2), Decoding(max_tokens=5), seed=0)
    assert sampler.sample(requests(2), Decoding(max_tokens=5), seed=0) == first
    assert [piece.training for piece in sampler.part.modules()] == modes
    assert sampler.part.training
    assert not kept.training


def test_the_mode_comes_back_after_a_failure():
    def failing(logits: Tensor, so_far) -> Tensor:
        raise RuntimeError("the rule failed")

    sampler = engine(rules=[failing])
    sampler.part.train()
    with pytest.raises(RuntimeError, match="the rule failed"):
        sampler.sample(requests(2), Decoding(max_tokens=5), seed=0)
    assert all(piece.training for piece in sampler.part.modules())


def test_a_model_with_an_adapter_is_sampled_as_it_is_at_each_call():
    """Between the calls an update is made, and the version is assigned."""
    torch.manual_seed(0)  # of the dropout in the updates
    model = tiny_model()
    sampler = InProcessEngine(LanguageModel(model), stop_tokens=[2], policy_version="0")
    add_lora(model, Lora(rank=4, dropout=0.3), seed=0)
    sampler.part.train()
    asked, decoding = requests(4, num_samples=3), Decoding(max_tokens=10)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)
    seen = []
    for update in range(3):
        sampler.policy_version = str(update)
        found = sampler.sample(asked, decoding, seed=1)
        assert {sample.policy_version for group in found for sample in group} == {str(update)}
        sampler.part.eval()
        gaps = trainer_gap(model, asked, found, 1.0)
        assert float(gaps.exp().sub(1).abs().max()) < TOLERANCE[torch.float32]
        sampler.part.train()
        seen.append(tokens_of(found))
        optimizer.zero_grad()
        sampler.part(pack(trees_of(asked, found)), frozenset({"logp"}))["logp"].mean().backward()
        optimizer.step()
    assert seen[0] != seen[1] != seen[2]


def test_sampling_between_passes_leaves_gradients_alone():
    sampler = engine()
    sampler.part.requires_grad_(True)
    asked, decoding = requests(2, num_samples=2), Decoding(max_tokens=5)
    batch = pack(trees_of(asked, sampler.sample(asked, decoding, seed=0)))
    sampler.part(batch, frozenset({"logp"}))["logp"].sum().backward()
    before = {name: parameter.grad.clone() for name, parameter in sampler.part.named_parameters()}
    sampler.sample(asked, decoding, seed=1)
    for name, parameter in sampler.part.named_parameters():
        assert torch.equal(parameter.grad, before[name])


# What is refused ------------------------------------------------------------------------------------------------------


def test_a_request_that_does_not_fit_the_context_is_refused_by_name():
    """The tiny models have a context of 64 tokens."""
    asked = [Request(id="short", prompt=[5]), Request(id="long", prompt=[5] * 60)]
    with pytest.raises(ModelError, match=r"'long' has 60 tokens and may get 5 more, .* hold 64; .* max_tokens"):
        engine().sample(asked, Decoding(max_tokens=5), seed=0)
    assert len(engine().sample(asked, Decoding(max_tokens=4), seed=0)) == 2


def test_a_request_that_does_not_fit_the_cache_is_refused_by_name():
    with pytest.raises(ModelError, match=r"'long' has 20 tokens and may get 5 more, .* hold 24"):
        engine(cache_tokens=24).sample([Request(id="long", prompt=[5] * 20)], Decoding(max_tokens=5), seed=0)


def test_an_empty_prompt_is_refused_by_name():
    asked = [Request(id="fine", prompt=[5]), Request(id="empty", prompt=[])]
    with pytest.raises(ModelError, match="request 'empty' has an empty prompt"):
        engine().sample(asked, Decoding(max_tokens=4), seed=0)


def test_a_model_in_the_padded_layout_is_refused():
    part = LanguageModel(tiny_model(), layout="padded")
    with pytest.raises(ModelError, match="needs the tree layout, but this model cannot: asked for"):
        InProcessEngine(part, stop_tokens=[2], policy_version="v1")
