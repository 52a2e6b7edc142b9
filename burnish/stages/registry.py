"""The stage kinds by verb, named and not imported, so that `burnish --help` waits for no library.

A user's own stage needs no entry: `use: path/to/file.py:Class` in a recipe, `burnish path/to/file.py:Class` on the
command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from burnish.config import imported, is_settings, nearest
from burnish.errors import ConfigError
from burnish.stages.stage import Stage


@dataclass(frozen=True)
class Entry:
    """Where a stage kind is.

    Attributes:
        place: `module:Class`.
        summary: what it does, in one phrase.
    """

    place: str
    summary: str


STAGES: Mapping[str, Entry] = {
    "python-docs": Entry("burnish.stages.python_docs:PythonDocsStage", "write Python's own documentation as documents"),
    "curate": Entry("burnish.stages.curate:CurateStage", "take a corpus through curation steps, on record"),
    "tokenizer": Entry("burnish.stages.tokenizer:TokenizerStage", "train a tokenizer, and measure its compression"),
    "tokenise": Entry("burnish.stages.tokenise:TokeniseStage", "turn documents into memory-mapped token files"),
    "mix": Entry("burnish.stages.mix:MixStage", "say how much of each domain of token files is drawn"),
    "import": Entry("burnish.stages.import_model:ImportStage", "bring a model into a plain Hugging Face directory"),
    "new-model": Entry("burnish.stages.new_model:NewModelStage", "make an untrained model from one dial, its depth"),
    "lengthen": Entry("burnish.stages.lengthen:LengthenStage", "give a model a longer context by scaled positions"),
    "pretrain": Entry("burnish.stages.pretrain:PretrainStage", "train a model on plain text"),
    "doremi": Entry("burnish.stages.doremi:DoremiStage", "find how much of each domain to draw, with a small model"),
    "scaling": Entry("burnish.stages.scaling:ScalingStage", "fit a scaling law to pretraining runs, and plan a budget"),
    "denoise": Entry("burnish.stages.denoise:DenoiseStage", "train a BERT or T5 to fill in what was hidden from it"),
    "sft": Entry("burnish.stages.sft:SFTStage", "fine-tune a model on demonstrations"),
    "reward": Entry("burnish.stages.reward:RewardStage", "train a reward model on preferences"),
    "classify": Entry("burnish.stages.classify:ClassifyStage", "fine-tune a model to tell classes of texts apart"),
    "tag": Entry("burnish.stages.tag:TagStage", "fine-tune a model to tag words, such as with entities"),
    "answer-spans": Entry("burnish.stages.answer_spans:AnswerSpansStage", "fine-tune an encoder to find answers"),
    "seq2seq": Entry("burnish.stages.seq2seq:Seq2seqStage", "fine-tune a T5 to turn a text into another"),
    "fisher": Entry("burnish.stages.fisher:FisherStage", "estimate what each weight matters, for ewc"),
    "dpo": Entry("burnish.stages.preference:DPOStage", "align a model with pairs, measured from a reference"),
    "ipo": Entry("burnish.stages.preference:IPOStage", "align with pairs towards a fixed margin"),
    "kto": Entry("burnish.stages.preference:KTOStage", "align with answers labelled good or bad"),
    "orpo": Entry("burnish.stages.preference:ORPOStage", "fine-tune and align with pairs at once"),
    "simpo": Entry("burnish.stages.preference:SimPOStage", "align with pairs, without a reference"),
    "plackett-luce": Entry("burnish.stages.preference:PlackettLuceStage", "align with rankings of any length"),
    "reinforce": Entry("burnish.stages.policy_gradient:ReinforceStage", "train on own answers by REINFORCE"),
    "rloo": Entry("burnish.stages.policy_gradient:RLOOStage", "train on own answers, each against the others' mean"),
    "grpo": Entry("burnish.stages.policy_gradient:GRPOStage", "train on own answers, each against its group"),
    "ppo": Entry("burnish.stages.policy_gradient:PPOStage", "train on own answers with a critic"),
    "online-dpo": Entry("burnish.stages.policy_gradient:OnlineDPOStage", "align with fresh pairs of own answers"),
    "merge-adapter": Entry("burnish.stages.merge_adapter:MergeAdapterStage", "put an adapter into its model's weights"),
    "instructions": Entry("burnish.stages.instructions:InstructionsStage", "mix many tasks into instruction data"),
    "word-tasks": Entry("burnish.stages.word_tasks:WordTasksStage", "write rows of small tasks, with wordings"),
    "prompts": Entry("burnish.stages.prompts:PromptsStage", "make prompts that ask for a format"),
    "tasks": Entry("burnish.stages.tasks:TasksStage", "make prompts from a task of reasoning-gym"),
    "sample": Entry("burnish.stages.sample:SampleStage", "sample a model's answers to prompts"),
    "repair": Entry("burnish.stages.repair:RepairStage", "make answers obey their format, by code"),
    "grade": Entry("burnish.stages.grade:GradeStage", "score answers"),
    "best": Entry("burnish.stages.best:BestStage", "keep the best of several graded answers"),
    "pairs": Entry("burnish.stages.pairs:PairsStage", "make preference pairs from graded answers"),
    "spin-pairs": Entry("burnish.stages.spin_pairs:SpinPairsStage", "pair demonstrations with a model's own answers"),
    "evaluate": Entry("burnish.stages.evaluate:EvaluateStage", "measure a model"),
    "evaluate-reward": Entry("burnish.stages.evaluate_reward:EvaluateRewardStage", "measure a reward model on pairs"),
    "evaluate-needle": Entry(
        "burnish.stages.evaluate_needle:EvaluateNeedleStage", "see whether a model finds a fact again in long texts"
    ),
    "evaluate-text": Entry("burnish.stages.evaluate_text:EvaluateTextStage", "measure a model on documents"),
    "ngram": Entry("burnish.stages.ngram:NGramStage", "measure an n-gram model on documents, to compare with"),
    "studio-export": Entry("burnish.stages.studio_export:StudioExportStage", "take a studio's agreed judgements"),
    "studio-priorities": Entry(
        "burnish.stages.studio_priorities:StudioPrioritiesStage", "show first what an ensemble of rewards disagrees on"
    ),
    "report": Entry("burnish.stages.report:ReportStage", "write one page about a set of runs"),
}


def stage_class(name: str) -> type[Stage]:
    """The settings class of a stage kind.

    Args:
        name: a verb, or `path/to/file.py:Class`, or `package.module:Class`.

    Raises:
        ConfigError: there is no such verb, or what is named is no stage.
    """
    if name not in STAGES and ":" not in name:
        raise ConfigError([f"there is no stage '{name}'; {nearest(name, STAGES)}"])
    cls = imported(STAGES[name].place if name in STAGES else name)
    if not issubclass(cls, Stage) or not is_settings(cls):
        raise ConfigError([f"'{name}' is no stage; mark the class @settings and let it inherit from Stage"])
    return cls
