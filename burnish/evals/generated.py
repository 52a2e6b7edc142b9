"""How close generated texts are to reference texts: ROUGE by rouge-score, BLEU and chrF by sacreBLEU.

ROUGE (Lin 2004) is the mean over texts of the F-measure of shared unigrams, bigrams and the longest common subsequence,
without stemming. BLEU (Papineni et al. 2002) and chrF (Popović 2015) are of the whole corpus; their signatures say how
they were computed, as Post 2018 asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burnish.errors import MissingExtra

ROUGE = ("rouge1", "rouge2", "rougeL")


def generation_scores(references: Sequence[str], generated: Sequence[str]) -> dict[str, Any]:
    """The figures of generated texts, each against one reference.

    Returns:
        `rouge1`, `rouge2`, `rougeL` between 0 and 1, `bleu` and `chrf` between 0 and 100, `exact` (the share that are
        the same as their reference), `rows`, and `signatures` of the scores of the corpus.

    Raises:
        MissingExtra: rouge-score or sacrebleu is not installed.
        ValueError: there is no text.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer  # slow to import
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingExtra("sacrebleu", "specialists") from error
    pairs = list(zip(references, generated, strict=True))
    if not pairs:
        raise ValueError("there is no text to measure")
    scorer = RougeScorer(list(ROUGE), use_stemmer=False)
    found = [scorer.score(reference, text) for reference, text in pairs]
    bleu, chrf = BLEU(), CHRF()
    return {
        **{name: sum(one[name].fmeasure for one in found) / len(found) for name in ROUGE},
        "bleu": float(bleu.corpus_score(list(generated), [list(references)]).score),
        "chrf": float(chrf.corpus_score(list(generated), [list(references)]).score),
        "exact": sum(reference == text for reference, text in pairs) / len(pairs),
        "rows": len(pairs),
        "signatures": {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())},
    }
