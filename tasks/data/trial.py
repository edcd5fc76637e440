"""Hold data against a contract without opening a change: for writing a suite, or a new export."""

import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path

from tasks.data.origins import origin_of
from tasks.data.personal import Conduct
from tasks.data.pull import Progress, chosen, pull
from tasks.data.readers import iter_records
from tasks.data.record_fields import PARTS
from tasks.data.snapshot import pin_snapshot
from tasks.data.source import DataSource, Fields
from tasks.data.suites import ExpectationSuite
from tasks.data.validation import ValidationReport, validate
from tasks.errors import DataError

_PEEK = 200


def check_data(
    uri: str,
    suite: str,
    named: Mapping[str, str],
    *,
    min_records: int = 1,
    personal: Conduct = "ignore",
    progress: Progress | None = None,
) -> ValidationReport:
    """Pin the data for a moment, check it, and leave nothing of it on this machine.

    Args:
        uri: a local file or folder, or an `s3://` address.
        suite: a suite that ships, or a file.
        named: part -> field of the source; other parts are the fields that have their names.
        min_records: the suite's parameter `min_records`, as a policy would give it.
        personal: what is done about personal data, as a policy would say.
        progress: see `tasks.data.pull.Progress`.

    Raises:
        DataError: the data or the suite cannot be read; names the file, field or record.
        StorageError: S3 cannot be reached or denies.
    """
    contract = ExpectationSuite.load(suite)
    with tempfile.TemporaryDirectory(prefix="avss-check-") as scratch:
        cache = Path(scratch)
        source = DataSource(uri=uri, fields=_fields(uri, named, cache))
        snapshot = pin_snapshot(source, cache=cache, progress=progress, personal=personal)
        return validate(
            snapshot, contract, now=datetime.now(UTC), min_records=min_records, personal=personal
        )


def _fields(uri: str, named: Mapping[str, str], cache: Path) -> Fields:
    """Which field is which part: as named, else by the names in the first records."""
    unknown = sorted(set(named) - set(PARTS))
    if unknown:
        raise DataError(
            f"There is no part {unknown[0]!r} of a record; expected {', '.join(PARTS)}."
        )
    origin = origin_of(DataSource(uri=uri, fields=Fields(text="text")))
    first = chosen(origin.list(), DataSource(uri=uri, fields=Fields(text="text")), date.max)[0]
    ((_, path),) = pull(origin, [first], cache / "objects")
    records = islice(iter_records(path, name=origin.name(first.key)), _PEEK)
    found = {field for _, record in records for field in record}
    own = {part: part for part in PARTS if part in found}
    return Fields(**{"text": "text"} | own | dict(named))
