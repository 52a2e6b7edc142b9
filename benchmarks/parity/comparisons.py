"""What is compared with what, and which of TRL's cases have no counterpart here."""

from __future__ import annotations

from benchmarks.parity.ours import Comparison
from burnish.objectives.dpo import DPO
from burnish.objectives.ipo import IPO
from burnish.objectives.kto import KTO
from burnish.objectives.orpo import ORPO
from burnish.objectives.plackett_luce import PlackettLuce
from burnish.objectives.reward import BradleyTerry
from burnish.objectives.sft import SFT
from burnish.objectives.simpo import SimPO

_SORTED = (
    "TRL's `aot` reads `label_smoothing`, and sorts the margins of policy and reference apart; where both have one "
    "order, as here, it is the conservative loss"
)
_CHOSEN = "TRL averages the added likelihood over all chosen tokens of a batch, we over pairs; equal on batches of one"
_SHIFTED = "TRL takes the mismatched answers of the same batch; with the same ones given, both estimates are equal"
_FLOOR = "the estimate of the KL is below 0 and counts as 0 on both sides"

COMPARISONS: tuple[Comparison, ...] = (
    Comparison(name="SFT", case="SFTTrainer", objective=SFT(), data="answers"),
    Comparison(name="DPO", case="DPOTrainer loss_type=sigmoid beta=0.1", objective=DPO(beta=0.1)),
    Comparison(name="DPO", case="DPOTrainer loss_type=sigmoid beta=0.5", objective=DPO(beta=0.5)),
    Comparison(
        name="DPO, smoothing not read",
        case="DPOTrainer loss_type=sigmoid beta=0.5 label_smoothing=0.1",
        objective=DPO(beta=0.5),
        note="TRL's `sigmoid` does not read `label_smoothing`; ours does, so it is left at 0 here",
    ),
    Comparison(
        name="DPO, conservative",
        case="DPOTrainer loss_type=aot beta=0.5 label_smoothing=0.1",
        objective=DPO(beta=0.5, label_smoothing=0.1),
        note=_SORTED,
    ),
    Comparison(
        name="DPO, robust",
        case="DPOTrainer loss_type=robust beta=0.5 label_smoothing=0.1",
        objective=DPO(beta=0.5, loss_kind="robust", label_smoothing=0.1),
    ),
    Comparison(
        name="DPO, hinge",
        case="DPOTrainer loss_type=hinge beta=0.5",
        objective=DPO(beta=0.5, loss_kind="hinge"),
    ),
    Comparison(
        name="DPO, length-normalised",
        case="DPOTrainer loss_type=sigmoid_norm beta=2.0",
        objective=DPO(beta=2.0, length_normalised=True),
    ),
    Comparison(
        name="DPO with likelihood",
        case="DPOTrainer loss_type=sigmoid+sft loss_weights=1.0+0.5 beta=0.1",
        objective=DPO(beta=0.1, sft_weight=0.5),
        theirs="rows",
        note=_CHOSEN,
    ),
    Comparison(
        name="DPO, reference-free",
        case="CPOTrainer loss_type=sigmoid beta=0.1 cpo_alpha=0.0",
        objective=DPO(beta=0.1, reference_free=True),
        note="TRL's DPO trainer has no such option; its CPO without the likelihood is this loss",
    ),
    Comparison(
        name="DPO, reference-free, conservative",
        case="CPOTrainer loss_type=sigmoid beta=0.1 cpo_alpha=0.0 label_smoothing=0.1",
        objective=DPO(beta=0.1, reference_free=True, label_smoothing=0.1),
        note="as above",
    ),
    Comparison(
        name="DPO, reference-free, with likelihood",
        case="CPOTrainer loss_type=sigmoid beta=0.1 cpo_alpha=1.0",
        objective=DPO(beta=0.1, reference_free=True, sft_weight=1.0),
        theirs="rows",
        note=f"this is CPO. {_CHOSEN}",
    ),
    Comparison(
        name="Plackett-Luce, K = 2",
        case="DPOTrainer loss_type=sigmoid beta=0.5",
        objective=PlackettLuce(beta=0.5),
        note="TRL has no Plackett-Luce; on two answers it is DPO",
    ),
    *(
        Comparison(
            name="IPO",
            case=f"DPOTrainer loss_type=ipo beta={tau}",
            objective=IPO(tau=tau),
            per_token=True,
            note="TRL divides each log-ratio by its answer's tokens, the paper (eq. 17) does not; equal once ours is "
            "given divided log-probs",
        )
        for tau in (0.1, 0.5)
    ),
    Comparison(
        name="KTO",
        case="KTOTrainer loss_type=kto beta=0.1",
        objective=KTO(beta=0.1, pool=6),
        data="unpaired",
        note=_FLOOR,
    ),
    Comparison(
        name="KTO, weighted",
        case="KTOTrainer loss_type=kto beta=0.5 desirable_weight=1.0 undesirable_weight=1.5",
        objective=KTO(beta=0.5, undesirable_weight=1.5, pool=6),
        data="unpaired",
        note=_FLOOR,
    ),
    Comparison(
        name="KTO, KL above 0",
        case="KTOTrainer loss_type=kto beta=0.1 exchanged",
        objective=KTO(beta=0.1, pool=6),
        data="exchanged",
        note=_SHIFTED,
    ),
    Comparison(
        name="KTO, weighted, KL above 0",
        case="KTOTrainer loss_type=kto beta=0.5 desirable_weight=1.0 undesirable_weight=1.5 exchanged",
        objective=KTO(beta=0.5, undesirable_weight=1.5, pool=6),
        data="exchanged",
        note=_SHIFTED,
    ),
    *(
        Comparison(
            name="SimPO",
            case=f"CPOTrainer loss_type=simpo beta={beta} simpo_gamma={gamma} cpo_alpha=0.0",
            objective=SimPO(beta=beta, gamma=gamma),
        )
        for beta, gamma in ((2.0, 1.0), (2.5, 0.0))
    ),
    *(
        Comparison(
            name="ORPO, odds ratio",
            case=f"ORPOTrainer beta={weight}",
            objective=ORPO(odds_weight=weight),
            term=("odds_ratio", "log_odds_ratio", -weight),
            note="TRL's likelihood covers the prompt too, averaged over the tokens of a batch; in the paper (eq. "
            "6) it is the answer's. So this is the other term alone; the tests rebuild TRL's sum as well",
        )
        for weight in (0.1, 1.0)
    ),
    Comparison(name="Bradley-Terry", case="RewardTrainer", objective=BradleyTerry()),
    Comparison(
        name="Bradley-Terry with margins", case="RewardTrainer margins", objective=BradleyTerry(score_margin=1.0)
    ),
    Comparison(
        name="Bradley-Terry, centred",
        case="RewardTrainer center_rewards_coefficient=0.01",
        objective=BradleyTerry(centring=0.01),
    ),
    Comparison(
        name="Bradley-Terry with margins, centred",
        case="RewardTrainer center_rewards_coefficient=0.1 margins",
        objective=BradleyTerry(score_margin=1.0, centring=0.1),
    ),
)

ABSENT: dict[str, str] = {
    "DPOTrainer loss_type=exo_pair beta=0.5 label_smoothing=0.1": "EXO",
    "DPOTrainer loss_type=nca_pair beta=0.5": "NCA",
    "DPOTrainer loss_type=bco_pair beta=0.5": "BCO",
    "DPOTrainer loss_type=sppo_hard beta=0.5": "SPPO",
    "DPOTrainer loss_type=apo_zero beta=0.5": "APO-zero",
    "DPOTrainer loss_type=apo_down beta=0.5": "APO-down",
    "DPOTrainer loss_type=discopop beta=0.5": "DiscoPOP",
    "KTOTrainer loss_type=apo_zero_unpaired beta=0.5": "APO-zero on single answers",
    "KTOTrainer loss_type=apo_zero_unpaired beta=0.5 exchanged": "APO-zero on single answers",
    "CPOTrainer loss_type=simpo beta=2.0 simpo_gamma=1.0 cpo_alpha=0.5": "SimPO with an added likelihood",
}
"""Stored cases of losses that Burnish does not have."""
