"""A change's bill of materials in CycloneDX 1.6 (ECMA-424): model, base, data, KPIs, packages.

Written here and not by cyclonedx-python-lib, which has no model cards; its strict schema checks it
in the tests.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from policies.evidence import StepEvidence
from policies.lifecycle import ChangeState
from policies.measurements import KpiFact
from policies.model_signature import signed_files
from policies.schema import rfc3339
from tasks.record.line_view import LineView

_SPACE = uuid.UUID("6d0f2b0e-6f3c-5a55-9d57-3f6a9d3c9b1e")


def bill_of_materials(view: LineView, change: ChangeState, evidence: StepEvidence) -> bytes:
    """The ML-BOM of what a change made, from its record alone; the same each time.

    `evidence` is the last that was judged.
    """
    environment = view.documents.get(change.opened.environment)
    packages = list(_packages(environment))
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, f'{change.id} {change.model}')}",
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(view.record.entries[-1].time),
            "tools": {"components": [_tool(environment)]},
            "component": _model(view, change, evidence),
        },
        "components": [_base(change), _data(change), *packages],
        "dependencies": [
            {"ref": "model", "dependsOn": ["base", "data", *(one["bom-ref"] for one in packages)]}
        ],
    }
    return json.dumps(bom, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8")


def _model(view: LineView, change: ChangeState, evidence: StepEvidence) -> dict[str, Any]:
    removed = sorted(set(range(change.original_layers)) - set(change.kept))
    made = change.registered
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": change.line,
        "version": made.version if made else change.id,
        "description": f"The model of change {change.id}.",
        "components": list(_files(view, change)),
        "pedigree": {
            "ancestors": [_base(change, ref=None)],
            "notes": f"Without layers {removed} of the {change.original_layers} original ones.",
        },
        "modelCard": {
            "modelParameters": {
                "task": "text generation",
                "architectureFamily": "transformer",
                "datasets": [{"ref": "data"}],
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": list(_metrics(evidence))},
        },
        "properties": _properties(
            {
                "avss:model": change.model,
                "avss:change": change.id,
                "avss:kept-layers": ",".join(map(str, change.kept)),
                "avss:policy": change.opened.policy,
                "avss:split": evidence.measurements.split,
            }
        ),
    }


def _files(view: LineView, change: ChangeState) -> Iterator[dict[str, Any]]:
    """The model's files, as its signature names them; none where it was not registered."""
    made = change.registered
    if made is None or made.signature is None:
        return
    for name, sha256 in signed_files(view.documents.get(made.signature)).items():
        yield {
            "type": "file",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": sha256}],
        }


def _metrics(evidence: StepEvidence) -> Iterator[dict[str, Any]]:
    for kpi in evidence.measurements.kpis:
        if kpi.value is not None:
            yield {"type": kpi.name, "value": f"{kpi.value:.6g}"}
        yield from _retained(kpi)


def _retained(kpi: KpiFact) -> Iterator[dict[str, Any]]:
    parts = [(None, kpi.retention, kpi.retention_low)]
    parts += [(one.slice, one.retention, one.retention_low) for one in kpi.slices]
    for name, value, low in parts:
        if value is not None:
            yield {
                "type": f"retention of {kpi.name} against the base",
                "value": f"{value:.6g}",
                **({"slice": name} if name else {}),
                **({"confidenceInterval": {"lowerBound": f"{low:.6g}"}} if low is not None else {}),
            }


def _base(change: ChangeState, ref: str | None = "base") -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        **({"bom-ref": ref} if ref else {}),
        "name": f"base of {change.line}",
        "properties": _properties({"avss:model": change.opened.base_model}),
    }


def _data(change: ChangeState) -> dict[str, Any]:
    snapshot = change.snapshot
    known = {"avss:manifest": snapshot.manifest} if snapshot else {}
    records = f"{snapshot.records} records" if snapshot else "not pinned"
    return {
        "type": "data",
        "bom-ref": "data",
        "name": "business data",
        "data": [{"type": "dataset", "name": "snapshot", "description": records}],
        "properties": _properties(known),
    }


def _tool(environment: Mapping[str, Any]) -> dict[str, Any]:
    commit = {"avss:commit": environment["commit"]} if environment["commit"] else {}
    return {
        "type": "application",
        "name": "avss",
        "version": environment["avss"],
        "properties": _properties(commit),
    }


def _packages(environment: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, version in sorted(environment["packages"].items()):
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
