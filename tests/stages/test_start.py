"""The model that a run starts from: its weights stand in memory of their own, tied ones still tied."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from burnish.models.adapters import Lora
from burnish.models.language import language_model
from burnish.models.load import load_model
from burnish.stages.start import learned, own_memory, started
from burnish.training.parallel import Ranks
from tests.models.tiny import tiny_model
from tests.stages.tiny_chat import write_model

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/maps")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("start") / "model")


def mapped_from(path: Path, tensor: torch.Tensor) -> bool:
    """Whether a tensor lies in a mapping of a file."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if line.endswith(str(path)):
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if begin <= tensor.data_ptr() < end:
                return True
    return False


@on_linux
def test_trained_weights_are_not_those_of_the_mapped_file(folder):
    file = folder / "model.safetensors"
    assert any(mapped_from(file, weight) for weight in load_model(str(folder)).parameters())
    start = started(str(folder), language_model, adapter=None, seed=0)
    assert not any(mapped_from(file, weight) for weight in start.plain.parameters())
    assert not any(mapped_from(file, value) for value in start.exact.values())
    assert all(weight.requires_grad for weight in start.plain.parameters())


@on_linux
def test_frozen_weights_stay_where_they_are(folder):
    start = started(str(folder), language_model, adapter=Lora(rank=2), seed=0)
    file = folder / "model.safetensors"
    assert any(mapped_from(file, weight) for weight in start.plain.parameters() if not weight.requires_grad)


def test_what_was_learned_on_a_gpu_is_saved_on_the_cpu(folder, monkeypatch):
    """What is read back to be compared is there too; bf16 products of two devices differ by more than is allowed."""
    start, seen = started(str(folder), language_model, adapter=None, seed=0), []
    masters = {name: torch.nn.Parameter(weight.detach() + 1) for name, weight in start.module.named_parameters()}
    monkeypatch.setattr(start.module, "to", lambda device: seen.append(device) or start.module)
    found = learned(start, masters, language_model, adapter=None, seed=0, ranks=Ranks())
    assert seen == ["cpu"]
    assert found is not None
    assert all(torch.equal(weight, masters[name]) for name, weight in found.module.named_parameters())


def test_values_and_ties_are_kept():
    model = tiny_model("gpt2")
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert own_memory(model).get_output_embeddings().weight is model.get_input_embeddings().weight
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
