"""A classifier that tries to tell two sets of texts apart; that it can is drift."""

from collections.abc import Sequence

import numpy as np

from tasks.data.splits import normalized
from tasks.drift.chance import auc_noise
from tasks.drift.report import DriftCheck

_FOLDS = 5


def domain_check(
    now: Sequence[str], then: Sequence[str], threshold: float, level: float, seed: int
) -> DriftCheck:
    """Can a classifier of words tell, of texts it has not seen, which set they are from?

    The AUC is over five folds; a text that is in both sets, or twice in one, is in one fold.

    Args:
        now: texts of the current set.
        then: texts of the reference.
        threshold: the AUC from which on the sets differ.
        level: the quantile of what chance makes.
        seed: of the folds.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    texts = [*then, *now]
    side = np.repeat([0, 1], [len(then), len(now)])
    groups = np.unique([normalized(text) for text in texts], return_inverse=True)[1]
    folds = np.random.default_rng(seed).permutation(groups.max() + 1) % _FOLDS
    words = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=20000)
    model = LogisticRegression(C=1.0, class_weight="balanced", solver="liblinear")
    try:
        weights = words.fit_transform(texts)  # of both sets at once: it does not see the sides
        split = PredefinedSplit(folds[groups])
        chances = cross_val_predict(model, weights, side, cv=split, method="predict_proba")[:, 1]
    except ValueError:  # no word stands in two texts
        return DriftCheck.unsure(
            "domain", "domain_auc", threshold, "no words in common to learn from"
        )
    noise = auc_noise(len(then), len(now), level)
    auc = float(roc_auc_score(side, chances))
    return DriftCheck.judged("domain", "domain_auc", threshold, auc, noise)
