"""What a world of the law is made of: keys, people, a policy, and measurements that pass it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies import measurements
from policies.keys import public_line
from policies.roster import Roster

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = """
name: test
limits: {max_layers_removed: 3, max_share_removed: null, attempts_per_step: 2}
calibration: {min_records: 10, min_rank_stability: null}
data: {min_records: 10}
kpis:
  default: {min_retention: 0.9, worst_slice: null, max_drop_per_step: null}
approvals:
  step: {quorum: 2, roles: [product, risk], at_least: {risk: 1}, expires_hours: 48}
  promotion: {quorum: 1, roles: [risk], expires_hours: 48}
"""
PEOPLE = {"alice": ["product"], "bob": ["risk"], "carol": ["risk", "product"], "dave": ["audit"]}


def key_of(name: str) -> Ed25519PrivateKey:
    """The same key for the same name, always."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def roster_of(people: Mapping[str, list[str]], **more: Any) -> Roster:
    """A roster whose people have one key each, named like them; `more` adds fields a person."""
    return Roster.model_validate(
        {
            "people": [
                {
                    "name": name,
                    "roles": roles,
                    "keys": [{"key": public_line(key_of(name).public_key())}],
                    **more.get(name, {}),
                }
                for name, roles in people.items()
            ]
        }
    )


def measured(value: float | None, reason: str = "") -> measurements.Measured:
    return measurements.Measured(value=value, reason=reason)


def kpi(**changes: Any) -> measurements.KpiFact:
    """A KPI that passes every gate of the standard policy."""
    values: dict[str, Any] = {
        "name": "sentiment.auc",
        "n": 200,
        "value": 0.8,
        "base_value": 0.81,
        "retention": 0.99,
        "retention_low": 0.97,
        "confidence": 0.95,
        "higher_is_better": True,
        "retention_before": measured(1.0),
    }
    return measurements.KpiFact(**{**values, **changes})


def facts(
    layers: measurements.LayerFacts | None = None, **changes: Any
) -> measurements.Measurements:
    """Measurements that pass the standard policy, for a step that removes one layer of 30."""
    every = tuple(range(30))
    layers = layers or measurements.LayerFacts(
        original_layers=30,
        base_kept=every,
        parent_kept=every,
        kept=tuple(layer for layer in every if layer != 7),
    )
    ratio = measurements.Ratio(value=0.97, high=1.0)
    values: dict[str, Any] = {
        "step": 1,
        "attempt": 1,
        "split": "validation",
        "layers": layers,
        "calibration": measurements.CalibrationFacts(
            records=500, tokens=60_000, rank_stability=measured(0.9)
        ),
        "data": measurements.DataFacts(records=900, passed=True),
        "data_drift": measurements.DriftFacts(against=None),
        "score_drift": measurements.DriftFacts(against=None),
        "output_drift": (
            measurements.OutputDriftFact(
                kpi="sentiment", measure="label_flip_rate", moved=measured(0.05)
            ),
        ),
        "kpis": (kpi(),),
        "resources": measurements.ResourceFacts(
            parameters=measured(0.9),
            bytes_on_disk=measured(0.9),
            kv_bytes_per_token=measured(0.9),
            prefill_seconds=ratio,
            decode_seconds=ratio,
            money_per_month=measured(0.9),
        ),
        "proof": measurements.ProofFact(passed=True, largest_difference=0.0),
    }
    return measurements.Measurements(**{**values, **changes})
