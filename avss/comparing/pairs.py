"""Columns of candidate and base side by side; for agreement, what only the pair can tell."""

import numpy as np
from numpy.typing import NDArray

from avss.comparing.metrics import Columns, Floats
from avss.comparing.outcomes import KpiOutcomes, Outcomes
from avss.errors import InputError
from avss.user_code import user_function, user_numbers


def check_same_questions(candidate: Outcomes, base: Outcomes) -> None:
    """Raise InputError unless both were measured by the same suite on the same records."""
    if candidate.suite != base.suite:
        raise InputError("Candidate and base were measured by different KPI files: measure both.")
    for one, other in zip(candidate.kpis, base.kpis, strict=True):
        if one.records != other.records or one.inputs != other.inputs:
            raise InputError(
                f"KPI {one.name}: candidate and base were not asked the same questions. Measure "
                "both on the same records, with the same tokenizer and context length."
            )


def paired_columns(candidate: KpiOutcomes, base: KpiOutcomes) -> tuple[Columns, Columns]:
    """The columns that metrics read, of candidate and base.

    A base agrees with itself entirely, so its agreement is 1 and its divergence 0. A user's own
    pairing is asked the same way.
    """
    if candidate.pairing is not None:
        return _user_pairs(candidate, base), _user_pairs(base, base)
    if candidate.kind != "agreement":
        return candidate.columns, base.columns
    found = agreement_columns(candidate.columns, base.columns)
    return found, agreement_columns(base.columns, base.columns)


def _user_pairs(one: KpiOutcomes, base: KpiOutcomes) -> Columns:
    name, (metric,) = str(base.pairing), base.metrics
    where = f"KPI {base.name}, compare {name}"
    arguments = (one.columns[metric], base.columns[metric])
    if arguments[0].shape != arguments[1].shape:
        raise InputError(f"{where}: candidate and base gave rows of different lengths.")
    judge = user_function(name, where)
    return {metric: user_numbers(judge, arguments, len(base.records), where)}


def agreement_columns(candidate: Columns, base: Columns) -> dict[str, Floats]:
    """How far each answer is the base's: as far as the columns that both hold can tell."""
    found: dict[str, Floats] = {}
    if "top1" in base:
        found["top1_agreement"] = (candidate["top1"] == base["top1"]).astype(np.float64)
        found["next_token_kl"] = divergence(base["next_token"], candidate["next_token"])
    if "predicted" in base:
        found["label_agreement"] = (candidate["predicted"] == base["predicted"]).astype(np.float64)
    if "written" in base:
        found["generation_agreement"] = _shared_writing(candidate["written"], base["written"])
    return found


def differing(candidate: Columns, base: Columns) -> NDArray[np.bool_] | None:
    """Which examples are answered otherwise, (n,) of bool; None where no answer was kept.

    An answer is the written text, else the label or choice, else the likeliest next token.
    """
    for name in ("answer", "written", "predicted", "top1"):
        if name in base and name in candidate:
            one, other = candidate[name], base[name]
            same = (one == other) | (np.isnan(one) & np.isnan(other))
            moved: NDArray[np.bool_] = ~same.reshape(len(same), -1).all(axis=1)
            return moved
    return None


def divergence(base: Floats, candidate: Floats) -> Floats:
    """KL(base || candidate) in nats for each row of probabilities (n, k).

    Of tokens summed into buckets it is a lower bound of the tokens' own (data processing).
    """
    tiny = np.finfo(np.float64).tiny
    logs = np.log(np.maximum(base, tiny)) - np.log(np.maximum(candidate, tiny))
    sums: Floats = np.maximum((base * logs).sum(axis=1), 0.0)
    return sums


def _shared_writing(candidate: Floats, base: Floats) -> Floats:
    """Share of the longer answer that was written before the two part, (n,)."""
    same = (candidate == base).sum(axis=1)
    longest = np.maximum((~np.isnan(candidate)).sum(axis=1), (~np.isnan(base)).sum(axis=1))
    shares: Floats = np.where(longest > 0, same / np.maximum(longest, 1), 1.0)
    return shares
