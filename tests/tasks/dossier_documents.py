"""Evidence as the law writes it and documents as the science writes them, for one dossier."""

import json
from typing import Any

from avss.comparing.comparison import Comparison, MetricComparison, RareCases, SliceComparison
from avss.healing.report import HealingReport
from avss.scoring.scores import LayerScore, LayerScores
from avss.scoring.stability import RankInterval, Stability
from avss.selection import ProbeResult
from policies.evidence import RefusedAttempt, StepEvidence
from policies.measurements import (
    CalibrationFacts,
    DataFacts,
    DriftFacts,
    KpiFact,
    LayerFacts,
    Measured,
    Measurements,
    OutputDriftFact,
    ProofFact,
    Ratio,
    ResourceFacts,
)
from policies.policy import parse_policy
from policies.rules import judge, passed
from tasks.drift.report import DriftCheck, DriftReport

LAYERS = 12


POLICY = parse_policy(
    "name: trial\nkpis: {default: {min_retention: 0.9, worst_slice: {min_retention: 0.85}}}\n"
    "approvals: {step: {quorum: 2, roles: [owner, risk], at_least: {risk: 1}}}\n"
)


def measurements(step: int, removed: tuple[int, ...], retention: float) -> Measurements:
    kept = tuple(layer for layer in range(LAYERS) if layer not in removed)
    parent = tuple(sorted((*kept, removed[-1])))
    kpi = KpiFact(
        name="sentiment.auc",
        n=400,
        value=0.8 * retention,
        base_value=0.8,
        retention=retention,
        retention_low=retention - 0.02,
        confidence=0.95,
        higher_is_better=True,
        retention_before=Measured(value=1.0),
    )
    ratio = Ratio(value=1 - 0.07 * len(removed), high=1 - 0.06 * len(removed))
    return Measurements(
        step=step,
        attempt=2,
        split="validation",
        layers=LayerFacts(
            original_layers=LAYERS, base_kept=tuple(range(LAYERS)), parent_kept=parent, kept=kept
        ),
        calibration=CalibrationFacts(records=300, tokens=9000, rank_stability=Measured(value=0.9)),
        data=DataFacts(records=979, passed=True),
        data_drift=DriftFacts(against=None),
        score_drift=DriftFacts(against=None),
        output_drift=(
            OutputDriftFact(kpi="sentiment", measure="label_flip_rate", moved=Measured(value=0.04)),
        ),
        kpis=(kpi,),
        resources=ResourceFacts(
            parameters=Measured(value=ratio.value),
            bytes_on_disk=Measured(value=ratio.value),
            kv_bytes_per_token=Measured(value=ratio.value),
            prefill_seconds=ratio,
            decode_seconds=ratio,
            money_per_month=Measured(value=None, reason="no prices were given"),
        ),
        proof=ProofFact(passed=True, largest_difference=0.0),
    )


def evidence(step: int, removed: tuple[int, ...], retention: float = 0.97) -> dict[str, Any]:
    measured = measurements(step, removed, retention)
    verdicts = judge(measured, POLICY)
    document = StepEvidence(
        line="support",
        change="support-0001",
        step=step,
        attempt=2,
        policy=POLICY.digest,
        base_model="a" * 64,
        parent_model="b" * 64,
        candidate_model="c" * 64,
        kept_layers=measured.layers.kept,
        removed_layers=tuple(sorted(removed)),
        proposed_layer=removed[-1],
        documents={"scores": "d" * 64},
        measurements=measured,
        verdicts=verdicts,
        passed=passed(verdicts),
        refused_before=(
            RefusedAttempt(attempt=1, layer=8, model="e" * 64, failed=("kpi_retention",)),
        ),
    )
    return json.loads(document.model_dump_json())


def kpis_document() -> dict[str, Any]:
    def part(name: str, n: int, retention: float | None, low: float | None) -> SliceComparison:
        return SliceComparison(name, n, 0.7, 0.8, retention, low, None)

    metric = MetricComparison(
        name="sentiment.auc",
        n=400,
        value=0.776,
        base_value=0.8,
        retention=0.97,
        retention_low=0.95,
        higher_is_better=True,
        reason=None,
        needed_n=None,
        slices=(
            part("condition=Acne", 60, 0.93, 0.88),
            part("condition=Pain", 40, 0.88, 0.81),
            part("condition=Gout", 40, 0.80, 0.74),
        ),
        worst_slice=part("condition=Gout", 40, 0.80, 0.70),
        small_slices=3,
        broken=9,
        mended=4,
        mcnemar_p=0.2,
        left_out={},
        truncated=0,
        notes=(),
    )
    rare = RareCases("sentiment", 24, (17, 40), 1, False, None)
    return json.loads(json.dumps(Comparison(0.9, 2000, 0, (metric,), (rare,)).to_json()))


def scores_document() -> dict[str, Any]:
    layers = tuple(
        LayerScore(
            index=layer,
            variance=1.0,
            sparsity=0.1,
            near_zero=5,
            floored=False,
            avss=float(layer + 1),
            share=(layer + 1) / 65,
            block_influence=0.01 * layer,
            angular_distance=0.1,
        )
        for layer in range(LAYERS)
        if layer != 5
    )
    intervals = tuple(RankInterval(layer.index, 1, 6) for layer in layers)
    scores = LayerScores(
        "m", "contribution", 0.1, 300, 9000, layers, Stability(10, 0, 0.9, intervals)
    )
    return json.loads(json.dumps(scores.to_json()))


DOCUMENTS = {
    "scores": scores_document(),
    "probe": ProbeResult({3: 3.6, 0: 3.9, 8: 3.7}, 3.5, 4000, 3.0, 11.0).to_json()
    | {"scoring_forward_equivalents": 2.25},
    "healing": HealingReport("closed_form", 3.6, 3.55, 3.5, 8000, 2000).to_json(),
    "kpis": kpis_document(),
    "data_drift": DriftReport(
        "data",
        "f" * 64,
        {},
        (
            DriftCheck.judged("label", "jensenshannon", 0.1, 0.02, 0.01),
            DriftCheck.unsure("domain", "AUC", 0.6, "too few records"),
        ),
    ).to_json(),
}
