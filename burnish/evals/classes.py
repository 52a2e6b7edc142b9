"""How well classes are predicted: accuracy, F1 of each class and their mean, by scikit-learn.

    F1_c = 2 P_c R_c / (P_c + R_c)        macro-F1 = mean over the classes that occur, as label or as prediction

A class that is never predicted has a precision of 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from burnish.errors import MissingExtra


def class_scores(labels: Sequence[str], predicted: Sequence[str]) -> dict[str, Any]:
    """The figures of predictions.

    Args:
        labels: of each row.
        predicted: as many.

    Returns:
        `accuracy`, `macro_f1`, `majority_accuracy` (what the commonest label alone would get), `rows`, and under
        `classes` precision, recall, F1 and count of each class that occurs.

    Raises:
        MissingExtra: scikit-learn is not installed.
        ValueError: there is no row.
    """
    try:
        from sklearn.metrics import accuracy_score, precision_recall_fscore_support  # slow to import
    except ImportError as error:
        raise MissingExtra("scikit-learn", "specialists") from error
    if not labels:
        raise ValueError("there is no prediction to measure")
    names = sorted({*labels, *predicted})
    columns = precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0.0)
    rows = zip(names, *columns, strict=True)
    classes = {
        name: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "count": int(count)}
        for name, precision, recall, f1, count in rows
    }
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": sum(one["f1"] for one in classes.values()) / len(classes),
        "majority_accuracy": Counter(labels).most_common(1)[0][1] / len(labels),
        "rows": len(labels),
        "classes": classes,
    }
