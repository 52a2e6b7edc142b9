"""Log-probs without logits: against float64 references, in any chunks, and never with the whole (N, V) in memory."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from burnish.models import chosen, logprobs
from burnish.models.logprobs import OUTPUTS, Head, Teacher, token_outputs
from burnish.numerics import generator_from

N, D, V = 23, 6, 41
EVERY = frozenset(OUTPUTS)
HEADS = {
    "plain": {},
    "bias": {"bias": True},
    "scale": {"scale": 0.25},
    "soft cap": {"soft_cap": 1.5},
    "all": {"bias": True, "scale": 3.0, "soft_cap": 2.0},
}


def normal(*shape, key):
    return torch.randn(*shape, generator=generator_from("logprobs", key))


def head(name="plain", *, key="own", width=D):
    changes = dict(HEADS[name])
    bias = normal(V, key=f"{key} bias") if changes.pop("bias", False) else None
    return Head(weight=normal(V, width, key=f"{key} weight"), bias=bias, **changes)


def teacher(name="plain", *, width=D + 2):
    """A teacher of another hidden size."""
    return Teacher(hidden=normal(N, width, key="teacher hidden"), head=head(name, key="teacher", width=width))


def sample():
    return normal(N, D, key="hidden"), torch.randint(0, V, (N,), generator=generator_from("target"))


def reference_logits(hidden, head, temperature=1.0):
    """Written out in float64 from the definition."""
    logits = hidden.double() @ head.weight.double().T
    if head.bias is not None:
        logits = logits + head.bias.double()
    logits = logits * head.scale
    if head.soft_cap is not None:
        logits = head.soft_cap * torch.tanh(logits / head.soft_cap)
    return logits / temperature


def reference(hidden, head, target, *, temperature=1.0, teacher=None):
    own = torch.log_softmax(reference_logits(hidden, head, temperature), dim=-1)
    outputs = {"logp": own.gather(1, target[:, None])[:, 0], "entropy": -(own.exp() * own).sum(-1)}
    if teacher is not None:
        other = torch.log_softmax(reference_logits(teacher.hidden, teacher.head, temperature), dim=-1)
        outputs["forward_kl"] = (other.exp() * (other - own)).sum(-1)
        outputs["reverse_kl"] = (own.exp() * (own - other)).sum(-1)
    return outputs


def with_gradients(hidden, head, target, compute, **options):
    """Every output, and the gradients of a sum that weighs each output and token differently."""
    hidden = hidden.clone().requires_grad_()
    weight = head.weight.clone().requires_grad_()
    bias = None if head.bias is None else head.bias.clone().requires_grad_()
    outputs = compute(
        hidden, Head(weight=weight, bias=bias, scale=head.scale, soft_cap=head.soft_cap), target, **options
    )
    factors = {name: normal(N, key=f"factor {name}") for name in outputs}
    sum((outputs[name] * factors[name]).sum() for name in outputs).backward()
    gradients = [tensor.grad for tensor in (hidden, weight, bias) if tensor is not None]
    return outputs, gradients


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("name", HEADS)
def test_values_and_gradients_are_those_of_float64(name, temperature):
    hidden, target = sample()
    options = {"temperature": temperature, "teacher": teacher(name)}
    expected, slopes = with_gradients(hidden, head(name), target, reference, **options)
    found, gradients = with_gradients(hidden, head(name), target, token_outputs, reads=EVERY, chunk=5, **options)
    assert found.keys() == expected.keys()
    for output in OUTPUTS:
        assert found[output].dtype == torch.float32
        assert found[output].shape == (N,)
        assert torch.allclose(found[output].double(), expected[output], atol=2e-5), output
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert torch.allclose(gradient.double(), slope.double(), atol=1e-4 * float(slope.abs().max()))


@pytest.mark.parametrize("trained", ["hidden", "weight", "bias", "hidden weight", "hidden bias", "hidden weight bias"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probs_alone_are_those_of_float64(trained, temperature):
    """They have passes of their own, one for a head that is trained and one for a head that is not."""
    hidden, target = sample()
    factors = normal(N, key="factor logp")
    slopes = {}
    for precise in (True, False):
        leaves = {"hidden": hidden.clone(), "weight": head().weight.clone(), "bias": normal(V, key="own bias")}
        wanted = [leaf.requires_grad_() for name, leaf in leaves.items() if name in trained.split()]
        own = Head(weight=leaves["weight"], bias=leaves["bias"] if "bias" in trained else None, scale=1.7)
        if precise:
            logp = reference(leaves["hidden"], own, target, temperature=temperature)["logp"]
        else:
            logp = token_outputs(leaves["hidden"], own, target, temperature=temperature, chunk=5)["logp"]
        slopes[precise] = [logp.detach(), *torch.autograd.grad((logp * factors).sum(), wanted)]
    for found, expected in zip(slopes[False], slopes[True], strict=True):
        assert torch.allclose(found.double(), expected.double(), atol=1e-4 * float(expected.abs().max()))


def test_logits_are_computed_once_where_their_derivatives_fit(monkeypatch: pytest.MonkeyPatch):
    """Two products with the weights where only hidden states learn, a third for the weights' own gradient, and a fourth
    where too many tokens have to be taken again."""

    def count(*, trained: bool) -> int:
        hidden, target = sample()
        own = Head(weight=head().weight.clone().requires_grad_(trained))
        with Products() as products:
            token_outputs(hidden.clone().requires_grad_(), own, target, chunk=N - 1)["logp"].sum().backward()
        return products.count

    assert (count(trained=False), count(trained=True)) == (2, 3)
    monkeypatch.setattr(chosen, "PRODUCT_BYTES", 0)
    assert (count(trained=False), count(trained=True)) == (4, 8)


class Products(TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten.mm.default or function is torch.ops.aten.mm.out
        return function(*args, **(kwargs or {}))


def test_the_gradient_is_the_slope():
    """Finite differences along random directions, so that the recomputed backward is held to its own forward."""
    hidden, target = sample()
    own, other = head("all"), teacher("all")
    moved = {name: normal(N, D, key=f"direction {name}") for name in OUTPUTS}
    for name in OUTPUTS:

        def total(shift, name=name):
            outputs = token_outputs(hidden + shift * moved[name], own, target, reads={name}, teacher=other, chunk=7)
            return outputs[name].double().sum()

        leaf = hidden.clone().requires_grad_()
        token_outputs(leaf, own, target, reads=frozenset({name}), teacher=other, chunk=7)[name].sum().backward()
        step = 1e-2
        slope = (total(step) - total(-step)) / (2 * step)
        assert float((leaf.grad * moved[name]).sum()) == pytest.approx(float(slope), rel=2e-2, abs=2e-2), name


@pytest.mark.parametrize("chunk", [1, 5, N, 1000, None])
def test_the_chunk_size_does_not_matter(chunk):
    hidden, target = sample()
    options = {"reads": EVERY, "teacher": teacher("all")}
    expected, slopes = with_gradients(hidden, head("all"), target, token_outputs, chunk=N, **options)
    found, gradients = with_gradients(hidden, head("all"), target, token_outputs, chunk=chunk, **options)
    for output in OUTPUTS:
        assert torch.allclose(found[output], expected[output], atol=1e-6), output
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert torch.allclose(gradient, slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 4, 7, N, 5000])
def test_how_many_tokens_share_a_product_does_not_matter(tokens, monkeypatch):
    hidden, target = sample()
    own = head("bias")
    monkeypatch.setattr(chosen, "PRODUCT_BYTES", 4 * len(own.weight) * tokens)
    found, gradients = with_gradients(hidden, own, target, token_outputs, reads=frozenset({"logp"}), chunk=2)
    expected, wanted = with_gradients(hidden, own, target, lambda *three: {"logp": reference(*three)["logp"]})
    assert torch.allclose(found["logp"].double(), expected["logp"], atol=2e-5)
    for gradient, slope in zip(gradients, wanted, strict=True):
        assert torch.allclose(gradient.double(), slope.double(), atol=1e-4 * float(slope.abs().max()))


def test_without_gradients_the_values_are_the_same():
    hidden, target = sample()
    with torch.no_grad():
        quiet = token_outputs(hidden, head(), target, reads=EVERY, teacher=teacher(), chunk=5)
    loud = token_outputs(hidden.requires_grad_(), head(), target, reads=EVERY, teacher=teacher(), chunk=5)
    for output in OUTPUTS:
        assert not quiet[output].requires_grad
        assert torch.equal(quiet[output], loud[output])


def test_entropy_and_divergences_are_those_of_torch_distributions():
    hidden, target = sample()
    other = teacher()
    found = token_outputs(hidden, head(), target, reads=EVERY, teacher=other, chunk=4)
    own_law = Categorical(logits=reference_logits(hidden, head()))
    other_law = Categorical(logits=reference_logits(other.hidden, other.head))
    assert torch.allclose(found["logp"].double(), own_law.log_prob(target), atol=1e-5)
    assert torch.allclose(found["entropy"].double(), own_law.entropy(), atol=1e-5)
    assert torch.allclose(found["forward_kl"].double(), kl_divergence(other_law, own_law), atol=1e-5)
    assert torch.allclose(found["reverse_kl"].double(), kl_divergence(own_law, other_law), atol=1e-5)


def test_worked_numbers():
    """Two words: the student says 3:1, the teacher 1:1. log 4/3, the entropy of a quarter, and both divergences."""
    odds = Head(weight=torch.tensor([[3.0], [1.0]]).log())
    even = Teacher(hidden=torch.tensor([[1.0]]), head=Head(weight=torch.zeros(2, 1)))
    found = token_outputs(torch.tensor([[1.0]]), odds, torch.tensor([0]), reads=EVERY, teacher=even)
    assert found["logp"].item() == pytest.approx(-0.287682)  # ln 3/4
    assert found["entropy"].item() == pytest.approx(0.562335)  # 3/4 ln 4/3 + 1/4 ln 4
    assert found["forward_kl"].item() == pytest.approx(0.143841)  # 1/2 ln (1/2)/(3/4) + 1/2 ln (1/2)/(1/4)
    assert found["reverse_kl"].item() == pytest.approx(0.130812)  # 3/4 ln 3/2 + 1/4 ln 1/2


def test_a_student_that_is_its_teacher_has_no_divergence():
    hidden, target = sample()
    found = token_outputs(hidden, head(), target, reads=EVERY, teacher=Teacher(hidden=hidden, head=head()))
    assert float(found["forward_kl"].abs().max()) <= 1e-6
    assert float(found["reverse_kl"].abs().max()) <= 1e-6


def test_extreme_logits_stay_finite():
    hidden, target = sample()
    huge = Head(weight=1e4 * head().weight)
    leaf = hidden.clone().requires_grad_()
    outputs = token_outputs(leaf, huge, target, reads=EVERY, teacher=Teacher(hidden=-hidden, head=huge))
    sum(value.sum() for value in outputs.values()).backward()
    assert all(value.isfinite().all() for value in outputs.values())
    assert leaf.grad.isfinite().all()


def test_the_softmax_is_float32_in_bf16():
    hidden, target = sample()
    low = Head(weight=head().weight.bfloat16())
    logp = token_outputs(hidden.bfloat16(), low, target)["logp"]
    logits = (hidden.bfloat16() @ low.weight.T).float()
    assert logp.dtype == torch.float32
    assert torch.allclose(logp, torch.log_softmax(logits, -1).gather(1, target[:, None])[:, 0], atol=1e-6)


def test_only_what_is_asked_for_comes_back():
    hidden, target = sample()
    assert token_outputs(hidden, head(), target).keys() == {"logp"}
    assert token_outputs(hidden, head(), target, reads=frozenset({"entropy"})).keys() == {"entropy"}


def test_no_scored_tokens_are_fine():
    hidden, target = sample()
    outputs = token_outputs(hidden[:0].bfloat16(), head(), target[:0], reads=frozenset({"logp", "entropy"}))
    assert all(value.shape == (0,) and value.dtype == torch.float32 for value in outputs.values())


def test_an_unknown_output_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"unknown outputs \['logits'\]; known are logp, entropy, forward_kl, reverse_kl"
    ):
        token_outputs(*sample()[:1], head(), sample()[1], reads=frozenset({"logits"}))


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl"])
def test_a_divergence_without_a_teacher_is_refused(name):
    hidden, target = sample()
    with pytest.raises(ValueError, match="a divergence needs a teacher"):
        token_outputs(hidden, head(), target, reads=frozenset({name}))


class Allocations(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        made = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.largest = max([self.largest, *made])
        return result


def memory_of(chunk):
    """Largest tensor made in forward and backward, and numbers kept in between. (N, V) is far above all else."""
    count, words = 64, 1000
    hidden = normal(count, 2, key="wide hidden").requires_grad_()
    wide = Head(weight=normal(words, 2, key="wide weight").requires_grad_())
    other = Teacher(hidden=normal(count, 2, key="wide other"), head=Head(weight=normal(words, 2, key="wide teacher")))
    kept = []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    with Allocations() as allocations:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            outputs = token_outputs(hidden, wide, torch.arange(count), reads=EVERY, teacher=other, chunk=chunk)
        kept_by_forward = sum(kept)
        sum(value.sum() for value in outputs.values()).backward()
    assert wide.weight.grad.abs().sum() > 0
    return allocations.largest, kept_by_forward, count * words


def test_the_logits_never_exist_as_a_whole():
    largest, kept, whole = memory_of(chunk=4)
    assert largest == 4 * 1000, "one chunk of logits is the largest tensor, forward and backward"
    assert kept < whole / 10, "logits are computed again, not kept"
    assert memory_of(chunk=64)[0] == whole, "the recorder sees logits where there are any"


def test_chunks_fit_their_memory(monkeypatch):
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", {"cpu": 4 * 1000 * 3 + 1})
    assert memory_of(chunk=None)[0] == 3 * 1000
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", {"cpu": 1})
    assert memory_of(chunk=None)[0] == 2 * 1000, "a chunk has at least one token; the weights are (1000, 2)"
