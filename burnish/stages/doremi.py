"""`burnish doremi`: how much of each domain to draw, found by a small model before a large one is trained.

    mixture, reference ──► a proxy that draws every domain alike and minds most where it is behind the reference
                       ──► the means of its domain weights ──► mixture.json, which `pretrain` reads

burnish pretrain --model runs/small --data runs/mix --steps 2000 --out runs/reference
burnish doremi --model runs/small --reference runs/reference --data runs/mix --steps 2000 --out runs/doremi
burnish pretrain --model runs/large --data runs/doremi --steps 20000 --out runs/base

The objective is in `burnish/objectives/doremi.py`, the weights in `burnish/data/mixing/reweighting.py`. The weights of
the mixture that is given have no part in it; its bounds hold for the proxy, and for the mixture that is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.data.curate.atomic import write_json
from burnish.data.mixing.draws import Draws
from burnish.data.mixing.mixture import MIXTURE, Mixture, read_mixture, write_mixture
from burnish.data.mixing.reweighting import ONE_HOT, DomainWeights, effective_domains
from burnish.errors import ConfigError, DataError, ModelError
from burnish.models.frozen import ReferenceModel
from burnish.models.language import language_model
from burnish.models.load import load_model, load_tokenizer, require_whole
from burnish.numerics import compute_dtype, default_device
from burnish.objectives.balance import Balanced
from burnish.objectives.doremi import DoReMi
from burnish.objectives.objective import Objective
from burnish.objectives.sft import CausalLM
from burnish.stages.prepare import Prepared
from burnish.stages.pretrain import PretrainStage
from burnish.stages.stage import Work
from burnish.stages.start import Start
from burnish.stages.streamed import Streamed
from burnish.stages.updates import held_out_probes, run_updates
from burnish.store import Code
from burnish.text.tokenizer import Encoder
from burnish.training.parallel import Ranks, put_in_place
from burnish.training.part import Part
from burnish.training.reweighted import Reweighted
from burnish.training.source import Source
from burnish.training.trainer import Probe, Trainer

WEIGHTS = "weights.json"
"""The same weights as settings for `burnish mix`, for token files of another tokenizer."""


@settings
class DoremiStage(PretrainStage):
    """Find the weights of domains by a proxy's excess losses; the proxy is kept as `model/`."""

    verb: ClassVar[str] = "doremi"

    reference: str = setting(..., "model that was trained on the mixture as it is; of the proxy's size", source=True)
    step_size: float = setting(1.0, "eta: how fast the weights follow the excess losses, per nat", gt=0)
    smoothing: float = setting(
        1e-3, "c: share of the weights that is spread evenly; without any they collapse", ge=0, le=1
    )

    def goal(self) -> Objective:
        """Causal language modelling by weighted domains."""
        return DoReMi(domains=tuple(self._mixture().parts))

    def code(self) -> tuple[Code, ...]:
        """The objective with its parts and what an architecture adds, and what makes weights of its excess losses."""
        return (DoReMi, CausalLM, Balanced, DomainWeights, Reweighted)

    def prepared(self, say: Callable[[str], None]) -> Prepared:
        """The domains of the mixture, read as the run goes; all checks on them and on the reference.

        Raises:
            BurnishError: the run could not succeed.
        """
        self._check_domains()
        require_whole(self.reference)
        found = super().prepared(say)
        if Encoder(load_tokenizer(self.reference)).digest != Encoder(found.tokenizer).digest:
            raise ModelError(
                f"the reference {self.reference} and the model {self.model} have different tokenizers, so their losses "
                "are not of the same tokens; name a reference that was trained on this mixture"
            )
        return found

    def drawn(self, draws: Draws) -> Draws:
        """Every domain alike."""
        return Draws([dataclasses.replace(domain, weight=1.0) for domain in draws.domains], seed=self.seed)

    def num_steps(self, prepared: Prepared) -> int:
        """Updates of the whole run; all of them have every domain.

        Raises:
            ConfigError: a domain would be used up before the end.
        """
        steps = super().num_steps(prepared)
        assert isinstance(prepared, Streamed)
        most = prepared.draws.steady
        if most is not None and steps * self.train.batch_size > most:
            bounded = [domain for domain in prepared.draws.domains if domain.most is not None]
            first = min(bounded, key=lambda domain: domain.most or 0)
            raise ConfigError(
                [
                    f"{steps} updates of {self.train.batch_size} segments would use up '{first.name}', which has "
                    f"{first.num_segments} segments for {first.max_epochs:g} epochs at most, and every domain is drawn "
                    f"alike; set steps to {most // self.train.batch_size} or less, or raise its bound "
                    f"(burnish mix --bounds.{first.name})"
                ]
            )
        return steps

    def source(self, prepared: Prepared) -> Reweighted:
        """Segments of every domain alike, with weights that follow the updates."""
        assert isinstance(prepared, Streamed)
        names = [domain.name for domain in prepared.draws.domains]
        weights = DomainWeights(names, step_size=self.step_size, smoothing=self.smoothing)
        return Reweighted(self.mixed(prepared), weights)

    def parts(self, start: Start) -> Mapping[str, Part]:
        """The frozen reference, and the proxy."""
        plain = load_model(self.reference).requires_grad_(False)
        module = ReferenceModel(language_model(plain, layout=self.train.layout))
        device = default_device()
        dtype = compute_dtype(self.train.precision, device)
        put_in_place(module.language, plain, device=device, dtype=dtype, ranks=Ranks(), divided=self.train.divide)
        return {"reference": Part(module=module, frozen=True), **super().parts(start)}

    def train_on(self, prepared: Prepared, trainer: Trainer[Tree], start: Start, work: Work) -> None:
        """The updates, with the weights of each on record; then the mixture."""
        stream = self.source(prepared)
        source: Source[Tree] = self.fed(stream, start.plain.config)
        weights: Probe[Tree] = Probe(every=1, look=lambda _: stream.metrics())
        probes = [weights, *held_out_probes(prepared, self.train)]
        run_updates(trainer, source, self.train, work, verb=self.verb, probes=probes)
        if work.leads:
            self._finish_weights(stream.weights, work)

    def _finish_weights(self, weights: DomainWeights, work: Work) -> None:
        """Write the mixture, and say what it is worth."""
        mixture, means = self._mixture(), weights.means
        tokens = {name: str(files.folder) for name, files in mixture.files.items()}
        write_mixture(work.out, tokens, means, {name: part.max_epochs for name, part in mixture.parts.items()})
        write_json(work.out / WEIGHTS, {"weights": means})
        work.record({"weights": means, "last_weights": weights.now, "effective_domains": effective_domains(means)})
        given = sum(part.weight for part in mixture.parts.values())
        for name, part in mixture.parts.items():
            last = f"{weights.now[name]:.4f} in the last update"
            work.say(f"{name}: weight {means[name]:.4f}, {part.weight / given:.4f} in {self.data}; {last}")
        if warning := collapse({"the mixture": means, "the last update": weights.now}):
            work.say(f"{warning}; {self._remedy()}")

    def _remedy(self) -> str:
        return (
            f"raise --smoothing (it is {self.smoothing:g}), lower --step_size (it is {self.step_size:g}), or compare "
            "the reference: it may be too well or too badly trained on that domain"
        )

    def _mixture(self) -> Mixture:
        """The mixture that is given.

        Raises:
            DataError: there is none.
        """
        folder = Path(self.data).expanduser()
        if not (folder / MIXTURE).is_file():
            raise DataError(
                f"{self.data} is no mixture: found no {MIXTURE} in it; name token files of several domains with "
                "burnish mix, and give its folder"
            )
        return read_mixture(folder)

    def _check_domains(self) -> None:
        """Refuse what no weights can be found for.

        Raises:
            ConfigError: a batch could not have every domain, or the reference is the start.
            DataError: there is one domain, or its tokens have changed.
        """
        mixture = self._mixture()
        names = ", ".join(mixture.parts)
        if len(mixture.parts) < 2:
            raise DataError(f"the mixture {self.data} has one domain, {names}; weights are between two or more")
        mistakes = []
        if self.train.batch_size < len(mixture.parts):
            mistakes.append(
                f"train.batch_size is {self.train.batch_size}, and an update needs a segment of each of the "
                f"{len(mixture.parts)} domains ({names}); set it to {2 * len(mixture.parts)} or more"
            )
        if self.reference == self.model:
            mistakes.append(
                f"the reference is {self.reference}, the model that the proxy starts from, so nothing would be in "
                "excess; train it on the mixture first (burnish pretrain) and name that run"
            )
        if mistakes:
            raise ConfigError(mistakes)


def collapse(weights: Mapping[str, Mapping[str, float]]) -> str:
    """What to say of weights of which one domain has nearly all, by where they are from; "" if there are none."""
    found = [
        f"'{name}' has {share:.1%} of the weight in {where}"
        for where, shares in weights.items()
        for name, share in shares.items()
        if share > ONE_HOT
    ]
    return f"the domain weights have collapsed: {', '.join(found)}" if found else ""
