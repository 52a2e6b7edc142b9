"""Objectives: one small file per family.

    sft             negative log-likelihood of answers, or of plain text
    doremi          plain text by domains whose weights follow a reference
    dpo             pairs, against a reference; conservative, robust, hinge, length-normalised, with an SFT term
    ipo             pairs, against a reference, with a finite best margin
    simpo           pairs, without a reference, by log-prob per token
    orpo            pairs, without a reference, with fine-tuning in the same stage
    plackett_luce   rankings of K answers, against a reference
    kto             single answers, each desirable or not, against a reference

`objective.py` is the contract, `preference.py` what those on preferences check and log.
"""
