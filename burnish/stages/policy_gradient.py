"""The verbs of online training: REINFORCE, RLOO, GRPO, PPO, and DPO on fresh pairs; `online.py` has what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from transformers import PreTrainedModel

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.errors import TemplateError
from burnish.models.adapters import add_adapter
from burnish.models.language import LanguageModel
from burnish.models.load import load_model
from burnish.models.value import HeadStart, PolicyWithValue, policy_with_value, value_model, value_model_from_reward
from burnish.numerics import compute_dtype, default_device, seed_from
from burnish.objectives.dpo import DPO
from burnish.objectives.grpo import GRPO
from burnish.objectives.objective import Objective
from burnish.objectives.ppo import PPO
from burnish.objectives.reinforce import Reinforce
from burnish.sampling.kl_control import AdaptiveKL, FixedKL, KLControl, KLController
from burnish.stages.asked import Asked
from burnish.stages.online import OnlineStage
from burnish.stages.prepare import load_text
from burnish.stages.start import Module, Start, undivided
from burnish.text.rendering import TemplateSettings
from burnish.training.optimizer import AdamW
from burnish.training.parallel import Ranks, put_in_place
from burnish.training.part import Part, trainable_parameters
from burnish.training.rollouts import ReusedRollout, Valuation
from burnish.training.trainer import Trainer
from burnish.training.valuation import (
    GAE,
    Advantages,
    GroupBaseline,
    Measured,
    PairValuation,
    PolicyValuation,
    TokenRows,
)

COST_OF_KL = "what the KL from the reference costs in the reward, and its limit"
REUSED = "how answers are sampled, and how many updates they are worth"


@settings
class PolicyGradientStage(OnlineStage):
    """The fields of the policy gradients."""

    kl: KLControl = setting(FixedKL(weight=0.0), COST_OF_KL, discriminator="kind")

    def __post_init__(self) -> None:
        super().__post_init__()
        wanted = [name for name, on in (("kl.weight", self.kl.weight), ("kl.budget", self.kl.budget)) if on]
        wanted += ["objective.kl_weight"] if "reference_logp" in self.goal().needs else []
        if self.reference is None and wanted:
            raise ValueError(f"reference is none, and {wanted[0]} measures from it; set reference to start")
        answers = self.worth().num_prompts * self.rollout.num_samples
        if isinstance(self.kl, AdaptiveKL) and self.kl.horizon < answers:
            raise ValueError(
                f"a rollout has {answers} answers, and kl.horizon is {self.kl.horizon}, so one rollout would throw the "
                f"weight about; set kl.horizon to {answers} or more, 10000 is usual"
            )

    def advantages_by(self) -> Advantages:
        """How advantages are made."""
        return GroupBaseline()

    def critic_rows(self, trainer: Trainer[Tree]) -> Any:
        """The values of the states before each token, None without a critic."""
        return None

    def valuation(self, trainer: Trainer[Tree], start: Start, reference: TokenRows | None) -> Valuation:
        """Advantages of each token."""
        measured = Measured(
            policy=self.token_rows("logp", start.module, trainer),
            reference=reference,
            critic=self.critic_rows(trainer),
        )
        return PolicyValuation(measured, self.advantages_by(), KLController(self.kl), updates=self.worth().num_updates)


@settings
class GroupStage(PolicyGradientStage):
    """The fields of methods whose baseline is the answers beside."""

    advantages: GroupBaseline = setting(GroupBaseline(), "how advantages are made")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollout.num_samples < 2 and self.advantages.baseline not in ("rollout_mean", "none"):
            raise ValueError(
                f"advantages.baseline {self.advantages.baseline} compares the answers to one prompt, and "
                f"rollout.num_samples is {self.rollout.num_samples}; set it to 2 or more"
            )

    def advantages_by(self) -> Advantages:
        """As set."""
        return self.advantages


@settings
class ReinforceStage(GroupStage):
    """Train on the model's own answers by REINFORCE, with the rollout's mean reward as the baseline."""

    verb: ClassVar[str] = "reinforce"

    objective: Reinforce = setting(Reinforce(), "the loss")
    advantages: GroupBaseline = setting(GroupBaseline(baseline="rollout_mean"), "how advantages are made")

    def goal(self) -> Objective:
        """REINFORCE as set."""
        return self.objective


@settings
class RLOOStage(ReinforceStage):
    """Train on the model's own answers by REINFORCE, with the other answers to the prompt as the baseline."""

    verb: ClassVar[str] = "rloo"

    advantages: GroupBaseline = setting(GroupBaseline(baseline="leave_one_out"), "how advantages are made")


@settings
class GRPOStage(GroupStage):
    """Train on the model's own answers, each against the others to the same prompt."""

    verb: ClassVar[str] = "grpo"

    rollout: ReusedRollout = setting(ReusedRollout(), REUSED)
    objective: GRPO = setting(GRPO(), "the loss")

    def goal(self) -> Objective:
        """GRPO as set."""
        return self.objective


@settings
class Critic:
    """The model that says how much reward is to be expected from here."""

    model: str = setting(
        "start", "what it starts from: start (of this run), or a reward model", source=True, own_words=("start",)
    )
    shared: bool = setting(False, "one trunk for policy and critic, in place of a second model")
    head: HeadStart = setting("zero", "how a new value head starts; a reward model brings its own")
    optimizer: AdamW | None = setting(None, "AdamW's numbers for the critic; those of train.optimizer if not given")

    def __post_init__(self) -> None:
        if self.shared and self.model != "start":
            raise ValueError(
                f"critic.model is '{self.model}', and a shared trunk is the policy's; leave one of them out"
            )
        if self.shared and self.optimizer is not None:
            raise ValueError("a shared trunk has one optimiser, train.optimizer; leave critic.optimizer out")


@settings
class PPOStage(PolicyGradientStage):
    """Train on the model's own answers with a critic."""

    verb: ClassVar[str] = "ppo"

    rollout: ReusedRollout = setting(ReusedRollout(num_samples=1, batches=4, passes=4), REUSED)
    kl: KLControl = setting(FixedKL(), COST_OF_KL, discriminator="kind")
    advantages: GAE = setting(GAE(), "how advantages are made")
    critic: Critic = setting(Critic(), "the model that values states")
    objective: PPO = setting(PPO(), "the loss")

    def goal(self) -> Objective:
        """PPO as set."""
        return self.objective

    def advantages_by(self) -> Advantages:
        """As set."""
        return self.advantages

    def prepared(self, say: Callable[[str], None]) -> Asked:
        """The prompts.

        Raises:
            DataError: no prompt is short enough.
            TemplateError: the critic reads other tokens than the policy writes.
        """
        asked = super().prepared(say)
        if self.critic.model != "start":
            found = load_text(self.critic.model, TemplateSettings()).hash
            if found != asked.template_hash:
                raise TemplateError(
                    f"critic.model {self.critic.model} was made with the chat text {found}, and {self.model} speaks "
                    f"{asked.template_hash}: it would value other words than those that were said; set critic.model to "
                    "start, or to a reward model with the policy's tokenizer and template"
                )
        return asked

    def module(self, model: PreTrainedModel) -> Module:
        """The language model, with the critic's head on its trunk if they share it."""
        if not self.critic.shared:
            return super().module(model)
        return policy_with_value(
            model,
            layout=self.train.layout,
            temperature=self.rollout.decoding.temperature,
            start=self.critic.head,
            seed=self.seed,
        )

    def optimizers(self) -> Sequence[AdamW]:
        """Those of the policy, and of the critic where it has its own."""
        own = self.critic.optimizer
        return (*super().optimizers(), *([own] if own else []))

    def sampled_from(self, start: Start) -> LanguageModel:
        """The policy without the critic's head."""
        module = start.module
        return module.language if isinstance(module, PolicyWithValue) else super().sampled_from(start)

    def parts(self, start: Start) -> Mapping[str, Part]:
        """The policy, and the critic where it is a model of its own."""
        if self.critic.shared:
            return super().parts(start)
        return {**super().parts(start), "critic": self._critic(start)}

    def critic_rows(self, trainer: Trainer[Tree]) -> Any:
        """Values by the part that provides them."""
        name = self.main if self.critic.shared else "critic"
        return self.token_rows("value", trainer.parts[name].module, trainer)

    def _critic(self, start: Start) -> Part:
        """A second model with a value head, trained as the policy is: an adapter, or all weights."""
        layout = start.module.layout
        if self.critic.model == "start":
            module = value_model(load_model(self.model), layout=layout, start=self.critic.head, seed=self.seed)
        else:
            module = value_model_from_reward(self.critic.model, layout=layout)
        backbone = module.language.model
        if self.adapter is None:
            backbone.requires_grad_(True)
        else:
            add_adapter(backbone, self.adapter, seed=seed_from(self.seed, "critic"))
        exact = {name: value.detach() for name, value in trainable_parameters(module).items()}
        device = default_device()
        dtype = compute_dtype(self.train.precision, device)
        divided = self.train.divide
        put_in_place(module, module.language, device=device, dtype=dtype, ranks=Ranks(), divided=divided)
        return Part(module=module, optimizer=self.critic.optimizer, exact=undivided(exact, module))


@settings
class OnlineDPOStage(OnlineStage):
    """Train on fresh pairs: the best against the worst of the model's own answers to a prompt."""

    verb: ClassVar[str] = "online-dpo"

    rollout: ReusedRollout = setting(ReusedRollout(num_samples=2), REUSED)
    objective: DPO = setting(DPO(), "the loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollout.num_samples < 2:
            raise ValueError("a pair needs two answers to a prompt; set rollout.num_samples to 2 or more")
        if self.reference is None and "reference_logp" in self.goal().needs:
            raise ValueError("reference is none, and DPO measures from it; or set objective.reference_free to true")

    def goal(self) -> Objective:
        """DPO as set."""
        return self.objective

    def valuation(self, trainer: Trainer[Tree], start: Start, reference: TokenRows | None) -> Valuation:
        """The best against the worst answer."""
        return PairValuation(reference)
