"""Hold a snapshot against its data contract with Great Expectations."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.data.personal import Conduct
from tasks.data.snapshot import Snapshot, read_split
from tasks.data.snapshot_facts import SnapshotFacts, snapshot_facts
from tasks.data.snapshot_manifest import SnapshotManifest
from tasks.data.splits import SPLITS
from tasks.data.suites import ExpectationSpec, ExpectationSuite, Severity
from tasks.data.text_features import encoding_faults, language, main_script, words
from tasks.errors import DataError
from tasks.quiet import quiet_imports

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = {
    "element_count": "records",
    "missing_count": "missing",
    "unexpected_count": "unexpected",
    "observed_value": "observed",
}


@dataclass(frozen=True)
class ExpectationOutcome:
    """How one expectation fared; numbers only, never a value of a record."""

    type: str
    column: str | None
    severity: Severity
    passed: bool
    raised: bool
    """It could not be evaluated (a column is missing, say): that is a failure."""
    observed: Mapping[str, float]
    expected: Mapping[str, Any]
    because: str

    def __str__(self) -> str:
        if self.raised:
            return f"{self.type} of {self.column} could not be evaluated. {self.because}"
        seen = ", ".join(f"{name} {value:g}" for name, value in self.observed.items())
        expected = ", ".join(f"{name} {value}" for name, value in self.expected.items())
        return f"{self.because} {self.column or self.type}: {seen}; expected {expected or 'all'}."


@dataclass(frozen=True)
class ValidationReport:
    """A snapshot against a suite; `passed` when no critical expectation failed."""

    suite: str
    snapshot: str
    records: int
    outcomes: tuple[ExpectationOutcome, ...]

    @property
    def passed(self) -> bool:
        """Whether the change may go on."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """Critical expectations that failed, in words."""
        return self._failed("critical")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the approver should know, in words."""
        return self._failed("warning")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values: no rows, no random ids, the same for the same snapshot."""
        return {
            "suite": self.suite,
            "snapshot": self.snapshot,
            "records": self.records,
            "passed": self.passed,
            "failures": list(self.failures),
            "warnings": list(self.warnings),
            "expectations": [asdict(outcome) for outcome in self.outcomes],
        }

    def _failed(self, severity: Severity) -> tuple[str, ...]:
        return tuple(str(it) for it in self.outcomes if not it.passed and it.severity == severity)


def validate(
    snapshot: Snapshot,
    suite: ExpectationSuite | str | Path,
    *,
    now: datetime,
    min_records: int = 1,
    previous: SnapshotManifest | None = None,
    changed_during_pull: int = 0,
    personal: Conduct = "ignore",
) -> ValidationReport:
    """Check every expectation of a suite.

    Args:
        snapshot: what to check, all splits.
        suite: a suite, the name of one that ships, or a file.
        now: the time (with a zone) that ages are counted to.
        min_records: the policy's minimum; the suite's parameter `min_records`.
        previous: the last approved snapshot, for what compares with it.
        changed_during_pull: objects that got a newer version while they were pulled.
        personal: what personal data means; see `tasks.data.personal`.

    Raises:
        DataError: the suite names an expectation that does not exist, or gives it wrong arguments.
    """
    contract = suite if isinstance(suite, ExpectationSuite) else ExpectationSuite.load(suite)
    frame = _records_frame(snapshot, contract, now)
    labels = list(frame["label"].dropna()) if "label" in frame else None
    ages = list(frame["age_days"].dropna()) if "age_days" in frame else []
    languages = list(frame["text_language"])
    facts = snapshot_facts(
        snapshot.manifest, labels, ages, previous, languages, changed_during_pull
    )
    parameters = {"min_records": min_records}
    records = _run(frame, contract.records, f"{contract.name}.records", parameters)
    whole = _run(_facts_frame(facts), contract.snapshot, f"{contract.name}.snapshot", parameters)
    values = asdict(facts)
    outcomes = (
        *records,
        *(_with_fact(outcome, values) for outcome in whole),
        *personal_outcomes(snapshot.manifest, personal),
    )
    return ValidationReport(contract.name, snapshot.digest, snapshot.manifest.records, outcomes)


def personal_outcomes(
    manifest: SnapshotManifest, conduct: Conduct
) -> tuple[ExpectationOutcome, ...]:
    """What a scan for personal data found, as one more expectation; none where nobody looked."""
    looked = manifest.personal_data
    if looked is None:
        return ()
    return (
        ExpectationOutcome(
            type="expect_no_personal_data",
            column=None,
            severity="critical" if conduct == "block" else "warning",
            passed=not looked.found,
            raised=False,
            observed=dict(sorted(looked.found.items())),
            expected={"count": 0},
            because="Personal data was found and masked."
            if looked.masked
            else "Personal data stands in the records.",
        ),
    )


def _facts_frame(facts: SnapshotFacts) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame([asdict(facts)])


def _with_fact(outcome: ExpectationOutcome, facts: Mapping[str, Any]) -> ExpectationOutcome:
    """Show the fact itself instead of counts over one row."""
    value = facts.get(outcome.column or "")
    return replace(outcome, observed={} if value is None else {"observed": value})


def _records_frame(snapshot: Snapshot, contract: ExpectationSuite, now: datetime) -> "pd.DataFrame":
    """What the suite may look at: derived numbers, and no text that it does not name."""
    import pandas as pd

    named = set[str]().union(*(_column_names(spec) for spec in contract.records))
    columns: dict[str, list[Any]] = {}
    for split in SPLITS:
        for record in read_split(snapshot, split):
            row = {name: record[name] for name in record if name in named | {"label"}}
            row["text_characters"] = len(record["text"])
            row["text_words"] = len(words(record["text"]))
            row["text_script"] = main_script(record["text"])
            row["text_language"] = language(record["text"])
            row["text_encoding_faults"] = encoding_faults(record["text"])
            if "timestamp" in record:
                row["age_days"] = _age(record["timestamp"], now)
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    return pd.DataFrame(columns)


def _column_names(spec: ExpectationSpec) -> set[str]:
    given = [value for key, value in spec.kwargs.items() if key.startswith("column")]
    lists = [value if isinstance(value, list) else [value] for value in given]
    return {str(value) for values in lists for value in values}


def _age(timestamp: str | None, now: datetime) -> float | None:
    if timestamp is None:
        return None
    return (now - datetime.fromisoformat(timestamp)).total_seconds() / 86400


def _run(
    frame: "pd.DataFrame",
    specs: Sequence[ExpectationSpec],
    name: str,
    parameters: Mapping[str, Any],
) -> list[ExpectationOutcome]:
    """Run expectations one by one, so that each result belongs to its own."""
    if not specs:
        return []
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the context is made
    with quiet_imports():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    outcomes = []
    for spec in specs:
        result = batch.validate(
            _expectation(spec, name),
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
            expectation_parameters=dict(parameters),
        )
        outcomes.append(_outcome(spec, result.to_json_dict(), parameters))
    return outcomes


def _expectation(spec: ExpectationSpec, name: str) -> Any:
    with quiet_imports():
        import great_expectations.expectations as gxe
    kind = getattr(gxe, "".join(part.capitalize() for part in spec.type.split("_")), None)
    if kind is None:
        raise DataError(f"Expectation suite {name}: there is no expectation {spec.type}.")
    try:
        return kind(severity=spec.severity, **spec.kwargs)
    except (ValueError, TypeError) as error:
        problem = error.errors()[0] if hasattr(error, "errors") else {"loc": ("kwargs",)}
        field = ".".join(str(part) for part in problem["loc"])
        raise DataError(
            f"Expectation suite {name}, {spec.type}: argument {field} is wrong "
            f"({problem.get('msg', type(error).__name__)})."
        ) from None


def _outcome(
    spec: ExpectationSpec, result: dict[str, Any], parameters: Mapping[str, Any]
) -> ExpectationOutcome:
    numbers = dict(result.get("result") or {})
    raised = _raised(result.get("exception_info") or {})
    expected = {key: value for key, value in spec.kwargs.items() if key != "column"}
    for key, value in expected.items():
        if isinstance(value, dict) and "$PARAMETER" in value:
            expected[key] = parameters.get(value["$PARAMETER"])
    return ExpectationOutcome(
        type=spec.type,
        column=spec.kwargs.get("column"),
        severity=spec.severity,
        passed=bool(result["success"]) and not raised,
        raised=raised,
        observed={
            name: numbers[key]
            for key, name in _NUMBERS.items()
            if isinstance(numbers.get(key), int | float) and math.isfinite(numbers[key])
        },
        expected=expected,
        because=spec.because,
    )


def _raised(info: Mapping[str, Any]) -> bool:
    """Great Expectations tells it flat, or by metric."""
    nested = [it for it in info.values() if isinstance(it, dict)]
    return any(it.get("raised_exception") for it in [info, *nested])
