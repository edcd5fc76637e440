"""Where the aliases of a line must point, as its record says, and what its versions must say."""

from collections.abc import Iterator

from policies.entries import AliasMoved, StepApproved
from policies.lifecycle import ChangeState, State
from policies.measurements import Measurements
from tasks.models.registry import CANDIDATE, CHAMPION, PREVIOUS
from tasks.record.documents import Documents


def expected_aliases(state: State) -> dict[str, str | None]:
    """The version of every alias that is ours; None where there must be none."""
    live, before, change = state.live, state.previous, state.change
    return {
        alias_in_use(state): _version(live),
        PREVIOUS: _version(before),
        CANDIDATE: _version(change) if change and _is_candidate(state, change) else None,
    }


def alias_in_use(state: State) -> str:
    """The name of the alias that says which version is in use."""
    moved = [one.over for one in state.moves if isinstance(one.over, AliasMoved)]
    promoted = state.live.promoted if state.live else None
    if promoted is not None:
        return promoted.alias
    return moved[-1].alias if moved else CHAMPION


def is_moving(state: State) -> bool:
    """Whether a move was decided and its entry is still to come: aliases may be on either side."""
    change = state.change
    promotion = change.promotion.settled if change and change.promotion else None
    decided = isinstance(promotion, StepApproved) and change is not None and not change.promoted
    return decided or state.open_move is not None


def version_tags(documents: Documents, change: ChangeState) -> dict[str, str]:
    """What a version says of itself in MLflow: digests, layers, figures; no business text."""
    holdout = change.holdout
    if holdout is None:
        raise ValueError("a model is confirmed before it is registered")
    found = documents.get_model(holdout.measurements, Measurements)
    return {
        "avss.change": change.id,
        "avss.base": change.opened.base_model,
        "avss.evidence": holdout.evidence,
        "avss.kept_layers": ",".join(str(layer) for layer in change.kept),
        "avss.layers": f"{len(change.kept)} of {change.original_layers}",
        **dict(_figures(found)),
    }


def _figures(found: Measurements) -> Iterator[tuple[str, str]]:
    """The worst KPI on the holdout, and size and cost, all against the base."""
    judged = [kpi for kpi in found.kpis if kpi.retention is not None]
    if judged:
        worst = min(judged, key=lambda kpi: kpi.retention or 0.0)
        yield "avss.retention", f"{worst.retention:.4f}"
        yield "avss.retention_kpi", worst.name
    sizes = found.resources
    for name, ratio in (("parameters", sizes.parameters), ("cost", sizes.money_per_month)):
        if ratio.value is not None:
            yield f"avss.{name}", f"{ratio.value:.4f}"


def _is_candidate(state: State, change: ChangeState) -> bool:
    if change.registered is None or change.promoted is not None:
        return False
    return _version(change) != _version(state.live)


def _version(change: ChangeState | None) -> str | None:
    return change.registered.version if change and change.registered else None
