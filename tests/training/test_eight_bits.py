"""AdamW with moments in 8 bits: the paper's rounding done by hand, what stays whole, a state that comes back to the
bit, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import LlamaConfig, LlamaForCausalLM

from burnish.batch import Branch, Tree
from burnish.errors import MissingExtra, StoreError, TrainingError
from burnish.models.language import LanguageModel
from burnish.objectives.sft import SFT
from burnish.training import eight_bits
from burnish.training.checkpoint import restore_checkpoint, save_checkpoint
from burnish.training.eight_bits import BLOCK, BYTES, SMALLEST, EightBits, large_matrices, require
from burnish.training.muon import Muon
from burnish.training.optimizer import AdamW, MasterOptimizer, moment_bytes
from burnish.training.part import Part, trainable_parameters
from burnish.training.source import Shuffled
from burnish.training.trainer import Trainer, Updates

functional = pytest.importorskip("bitsandbytes.functional", reason="the extra qlora is not installed")

SHAPE = (50, 90)
"""4,500 numbers: 17 blocks and a piece of one; as many blocks as there are rows would hide a mistake."""

SETTINGS = AdamW(learning_rate=0.05, beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.2, moments="8-bit")
CPU = torch.device("cpu")


def gradient(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fresh(settings: AdamW = SETTINGS, dtype: torch.dtype = torch.float32) -> MasterOptimizer:
    """A large matrix, and a vector beside it."""
    named = {"m": nn.Parameter(torch.ones(SHAPE, dtype=dtype)), "v": nn.Parameter(torch.ones(7, dtype=dtype))}
    return MasterOptimizer(named, settings, large={"m"})


def step(optimizer: MasterOptimizer, seed: int, factor: float = 1.0) -> None:
    for number, master in enumerate(optimizer.masters.values()):
        master.grad = gradient(seed + 100 * number, tuple(master.shape))
    optimizer.step(factor)


def rounded(values: Tensor, code: Tensor) -> Tensor:
    """Section 2.2 of the paper, in float64: each block by its largest, each number to the nearest of the code."""
    flat = torch.nn.functional.pad(values.flatten(), (0, -values.numel() % BLOCK)).view(-1, BLOCK)
    scale = flat.abs().amax(dim=1, keepdim=True)
    nearest = (flat / scale).unsqueeze(-1).sub(code).abs().argmin(dim=-1)
    return (code[nearest] * scale).flatten()[: values.numel()].view_as(values)


def by_the_paper(settings: AdamW, seeds: range) -> tuple[Tensor, Tensor, Tensor]:
    """The weight and both moments after some updates, the moments rounded after each; in float64."""
    signed, unsigned = (functional.create_dynamic_map(signed=signed).double() for signed in (True, False))
    weight, mean, square = torch.ones(SHAPE).double(), torch.zeros(SHAPE).double(), torch.zeros(SHAPE).double()
    for number, seed in enumerate(seeds, start=1):
        grad = gradient(seed).double()
        mean = settings.beta1 * mean + (1 - settings.beta1) * grad
        square = settings.beta2 * square + (1 - settings.beta2) * grad**2
        move = (mean / (1 - settings.beta1**number)) / (
            (square / (1 - settings.beta2**number)).sqrt() + settings.epsilon
        )
        weight = weight * (1 - settings.learning_rate * settings.weight_decay) - settings.learning_rate * move
        mean, square = rounded(mean, signed), rounded(square, unsigned)
    return weight, mean, square


def held(optimizer: MasterOptimizer) -> tuple[Tensor, Tensor]:
    """Both moments of the matrix as numbers."""
    assert optimizer.eight is not None
    state = optimizer.eight.state()
    found = []
    for entry, signed in (("mean", True), ("square", False)):
        numbers = functional.create_dynamic_map(signed=signed)[state[f"eight.{entry}.m"].long()]
        scale = state[f"eight.{entry}_scale.m"].repeat_interleave(BLOCK)[: numbers.numel()]
        found.append(numbers * scale.view_as(numbers))
    return found[0], found[1]


def test_moments_are_rounded_block_by_block_as_the_paper_says():
    optimizer = fresh()
    for seed in range(4):
        step(optimizer, seed)
    weight, mean, square = by_the_paper(SETTINGS, range(4))
    for found, expected in zip(
        (optimizer.masters["m"].detach(), *held(optimizer)), (weight, mean, square), strict=True
    ):
        off = (found.double() - expected).abs() > 1e-5 * expected.abs().clamp(min=1e-3)
        assert off.float().mean() < 0.05  # a number near the middle of two values of the code may go either way
        assert float((found - expected).norm() / expected.norm()) < 2e-3


def test_a_first_update_is_adamws_own_and_later_ones_lie_near_it():
    eight, whole = fresh(), fresh(replace(SETTINGS, moments="float32"))
    for seed in range(30):
        for optimizer in (eight, whole):
            step(optimizer, seed)
        gap = (eight.masters["m"] - whole.masters["m"]).detach().abs().max()
        assert gap < 1e-5 if seed == 0 else gap < 0.1
    moved = (whole.masters["m"] - 1).detach()
    apart = (eight.masters["m"] - whole.masters["m"]).detach()
    assert float(apart.norm() / moved.norm()) < 0.05
    assert torch.equal(eight.masters["v"], whole.masters["v"])  # vectors are left to torch


def test_an_outlier_spoils_its_own_block_alone():
    optimizer = fresh(replace(SETTINGS, beta1=0.9))
    spiked = gradient(0)
    spiked.flatten()[3] = 1e5
    optimizer.masters["m"].grad = spiked
    optimizer.step(1.0)
    error = (held(optimizer)[0] - 0.1 * spiked).flatten().abs()
    assert float(error[BLOCK:].max()) < 0.01
    assert float(error[4:BLOCK].median()) > 4 * float(error[BLOCK:].median())


def test_gradients_of_zeros_leave_zeros():
    """The first matrix of a fresh LoRA has none other in its first update."""
    optimizer = fresh(replace(SETTINGS, weight_decay=0.0))
    for _ in range(2):
        optimizer.masters["m"].grad = torch.zeros(SHAPE)
        optimizer.step(1.0)
    assert torch.equal(optimizer.masters["m"].detach(), torch.ones(SHAPE))
    assert all(float(moment.abs().max()) == 0 for moment in held(optimizer))
    optimizer.masters["m"].grad = torch.ones(SHAPE)
    optimizer.step(1.0)
    assert bool((optimizer.masters["m"] < 1).all())


OTHER = {"learning_rate": 0.01, "beta1": 0.5, "beta2": 0.5, "epsilon": 0.5, "weight_decay": 0.4, "moments": "float32"}


@pytest.mark.parametrize("name", [field.name for field in fields(AdamW)])
def test_every_setting_is_read(name: str):
    def after(settings: AdamW) -> Tensor:
        optimizer = fresh(settings)
        for seed in range(3):
            step(optimizer, seed)
        return optimizer.masters["m"].detach()

    assert not torch.equal(after(replace(SETTINGS, **{name: OTHER[name]})), after(SETTINGS))


def test_the_schedule_acts_and_what_has_no_gradient_stands_still():
    optimizer = fresh()
    step(optimizer, 0)
    before = optimizer.masters["m"].detach().clone()
    step(optimizer, 1, factor=0.0)
    assert torch.equal(optimizer.masters["m"].detach(), before)
    optimizer.step(1.0)
    assert torch.equal(optimizer.masters["m"].detach(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_state_comes_back_to_the_bit(dtype: torch.dtype):
    whole, killed = fresh(dtype=dtype), fresh(dtype=dtype)
    for seed in range(4):
        step(whole, seed)
    for seed in range(2):
        step(killed, seed)
    state = {name: value.clone() for name, value in killed.state().items()}
    entries = {"step", "mean", "mean_scale", "square", "square_scale"}
    assert {name for name in state if name.endswith(".m")} == {"master.m", *(f"eight.{one}.m" for one in entries)}
    assert state["eight.mean.m"].dtype == torch.uint8
    for key, value in state.items():
        assert value.ndim == 0 or len(killed.like(key)) == len(value), key
    resumed = fresh(dtype=dtype)
    resumed.restore(state)
    for seed in (2, 3):
        step(resumed, seed)
    found, expected = resumed.state(), whole.state()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(KeyError, match=r"eight\.square\.m"):
        fresh().restore({name: value for name, value in state.items() if name != "eight.square.m"})
    with pytest.raises(KeyError, match=r"eight\.mean\.m"):
        fresh(replace(SETTINGS, moments="float32")).like("eight.mean.m")


def language_model(*, tied: bool = False) -> LanguageModel:
    """A Llama whose layers' matrices have 4,096 weights and more, but for those of keys and values."""
    config = LlamaConfig(
        vocab_size=80,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LanguageModel(LlamaForCausalLM(config))


TREES = [
    Tree(id=str(n), prompt=[n + 1], branches=(Branch(tokens=[n + 2, 3, 4], weights=[1.0] * 3),)) for n in range(12)
]


def trainer_of(part: LanguageModel, settings: AdamW, *, muon: Muon | None = None) -> Trainer[Tree]:
    return Trainer({"policy": Part(module=part)}, SFT(), Updates(optimizer=settings, muon=muon), steps=8)


def test_layers_and_head_are_held_in_8_bits_and_embeddings_are_not():
    large = large_matrices(language_model())
    assert {name.rsplit(".", 2)[-2] for name in large} == {
        *("q_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
    }
    assert not any("lm_head" in name for name in large_matrices(language_model(tied=True)))
    frozen = language_model()
    frozen.model.lm_head.requires_grad_(False)
    assert not any("lm_head" in name for name in large_matrices(frozen))


def test_a_model_learns_as_with_whole_moments():
    losses = {}
    for moments in ("float32", "8-bit"):
        trainer = trainer_of(language_model(), AdamW(learning_rate=3e-3, moments=moments))
        losses[moments] = [trainer.step(TREES)["loss"] for _ in range(8)]
    assert losses["8-bit"][0] == losses["float32"][0]
    assert losses["8-bit"][-1] == pytest.approx(losses["float32"][-1], rel=0.02)
    assert losses["8-bit"][-1] < 0.7 * losses["8-bit"][0]


def test_muon_takes_the_layers_and_the_head_is_left_for_8_bits():
    settings = AdamW(moments="8-bit")
    optimizer = trainer_of(language_model(), settings, muon=Muon()).optimizers["policy"]
    assert optimizer.eight is not None
    assert [name.rsplit(".", 2)[-2] for name in optimizer.eight.masters] == ["lm_head"]
    with pytest.raises(
        TrainingError, match=r"no trained matrix beside embeddings \(and those of train\.muon\) has 4,096"
    ):
        trainer_of(language_model(tied=True), settings, muon=Muon())


def test_an_optimiser_of_large_matrices_alone_is_one():
    """As that of an adapter is: nothing is left for torch's AdamW."""
    matrix = nn.Parameter(torch.ones(SHAPE))
    optimizer = MasterOptimizer({"m": matrix}, SETTINGS, large={"m"})
    step(optimizer, 0)
    assert bool((matrix != 1).all())
    assert not any(name.startswith("adam.") for name in optimizer.state())


def test_a_run_goes_on_from_a_checkpoint_and_other_moments_are_refused(tmp_path: Path):
    def run(folder: Path | None, updates: int, moments: str = "8-bit") -> Trainer[Tree]:
        trainer = trainer_of(language_model(), AdamW(learning_rate=3e-3, moments=moments))
        source = Shuffled(TREES, batch_size=4, seed=1)
        if folder is not None:
            restore_checkpoint(folder, trainer, source)
        for _ in range(updates):
            batch = source.next({})
            assert batch is not None
            trainer.step(batch)
        if folder is not None:
            save_checkpoint(folder, trainer, source, {}, metrics_bytes=0)
        return trainer

    run(tmp_path / "cut", 2)
    cut, whole = (
        run(folder, count).optimizers["policy"].state() for folder, count in ((tmp_path / "cut", 3), (None, 5))
    )
    assert cut.keys() == whole.keys()
    assert all(torch.equal(cut[name], whole[name]) for name in whole)
    with pytest.raises(StoreError, match="does not fit this run"):
        run(tmp_path / "cut", 1, moments="float32")


def test_the_bytes_of_the_state_are_those_that_a_plan_counts():
    cases = [(AdamW(), None), (AdamW(moments="8-bit"), None), (AdamW(), Muon()), (AdamW(moments="8-bit"), Muon())]
    for settings, muon in cases:
        part = language_model()
        optimizer = trainer_of(part, settings, muon=muon).optimizers["policy"]
        step(optimizer, 0)
        found = sum(
            value.nbytes for name, value in optimizer.state().items() if not name.startswith("master.") and value.ndim
        )
        assert found == pytest.approx(moment_bytes(part, settings, muon), rel=1e-3)
    total = sum(parameter.numel() for parameter in trainable_parameters(language_model()).values())
    assert moment_bytes(language_model(), AdamW(), None) == 8 * total
    assert pytest.approx(2.03125) == BYTES


def test_pages_need_a_gpu():
    with pytest.raises(TrainingError, match=r"8-bit-paged, .* on the cpu; type --train\.optimizer\.moments 8-bit"):
        require("8-bit-paged", CPU)
    require("8-bit", CPU)


def test_a_library_that_cannot_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch):
    def cannot(*args: object, **settings: object) -> None:
        raise NotImplementedError("no kernel for this device")

    monkeypatch.setattr(eight_bits, "_adam", cannot)
    with pytest.raises(TrainingError, match=r"cannot do that on the cpu \(no kernel .*moments float32"):
        require("8-bit", CPU)
    require("float32", CPU)


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    require("float32", CPU)
    with pytest.raises(MissingExtra, match=r"burnish\[qlora\]"):
        require("8-bit", CPU)


def test_what_has_no_large_matrix_is_refused():
    with pytest.raises(TrainingError, match=f"has {SMALLEST:,} weights; leave it out"):
        MasterOptimizer({"v": nn.Parameter(torch.ones(9))}, SETTINGS)


def test_matrices_that_are_divided_among_processes_are_refused():
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        rows = distribute_tensor(torch.ones(64, 64), init_device_mesh("cpu", (2,)), [Shard(0)])
        with pytest.raises(TrainingError, match=r"--train\.divide nothing"):
            EightBits({"m": nn.Parameter(rows)}, rate=1.0, betas=(0.9, 0.9), epsilon=1e-8, decay=0.0, paged=False)
    finally:
        distributed.destroy_process_group()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("moments", ["8-bit", "8-bit-paged"])
def test_on_a_gpu_the_same_is_computed_and_comes_back(moments: str):
    """Large enough to be paged: bitsandbytes leaves what has fewer than 100,000 numbers on the GPU."""
    device, shape = torch.device("cuda"), (400, 300)
    require(moments, device)

    def one(where: torch.device, kind: str) -> MasterOptimizer:
        named = {"m": nn.Parameter(torch.ones(shape, device=where))}
        return MasterOptimizer(named, replace(SETTINGS, moments=kind), large={"m"})

    def go(optimizer: MasterOptimizer, seeds: range) -> MasterOptimizer:
        for seed in seeds:
            optimizer.masters["m"].grad = gradient(seed, shape).to(optimizer.masters["m"].device)
            optimizer.step(1.0)
        return optimizer

    whole, on_cpu = go(one(device, moments), range(4)), go(one(CPU, "8-bit"), range(4))
    gap = (whole.masters["m"].cpu() - on_cpu.masters["m"]).detach().abs()
    assert float(gap.mean()) < 1e-3
    state = {name: value.detach().cpu().clone() for name, value in go(one(device, moments), range(2)).state().items()}
    resumed = one(device, moments)
    resumed.restore(state)
    assert torch.equal(go(resumed, range(2, 4)).masters["m"], whole.masters["m"])
