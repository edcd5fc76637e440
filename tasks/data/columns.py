"""One Arrow type a column, whatever number of objects the records came from."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tasks.data.formats import Record, kind_of
from tasks.data.record_fields import PARTS
from tasks.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


class ColumnTypes:
    """Learns the type of every column while records pass; numbers widen, nothing else mixes."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, tuple[type, str]]] = {}
        self._nested: dict[str, pa.DataType] = {}

    def learn(self, record: Record, place: str) -> None:
        """Take in a record.

        Raises:
            DataError: a column holds another kind of value than before; names both places.
        """
        for column, value in record.items():
            seen = self._seen.setdefault(column, {})
            if value is None:
                continue
            kind = kind_of(value)
            if kind not in seen:
                for other, (_, where) in seen.items():
                    raise DataError(
                        f"{place}: field {column!r} is {kind}, but {other} at {where}. "
                        "Give the field one type everywhere."
                    )
                seen[kind] = (type(value), place)
            elif isinstance(value, float):
                seen[kind] = (float, place)
            if isinstance(value, list | dict):
                self._learn_nested(column, value, place)

    def schema(self) -> "pa.Schema":
        """Parts first, then the source's own columns by name."""
        import pyarrow as pa

        names = [part for part in PARTS if part in self._seen]
        names += sorted(set(self._seen) - set(names))
        return pa.schema([(name, self._type(name)) for name in names])

    def _type(self, column: str) -> "pa.DataType":
        import pyarrow as pa

        if column in self._nested:
            return self._nested[column]
        plain = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
        kinds = [kind for kind, _ in self._seen[column].values()]
        return plain[kinds[0]] if kinds else pa.string()

    def _learn_nested(self, column: str, value: Any, place: str) -> None:
        import pyarrow as pa

        try:
            found = pa.schema([(column, pa.array([value]).type)])
            known = pa.schema([(column, self._nested.get(column, pa.null()))])
            both = pa.unify_schemas([known, found], promote_options="permissive")
        except pa.ArrowException:
            raise DataError(
                f"{place}: the values inside field {column!r} have other types than in earlier "
                "records. Give them one type everywhere."
            ) from None
        self._nested[column] = both.field(column).type


def to_batch(records: Iterable[Record], schema: "pa.Schema") -> "pa.RecordBatch":
    """Records as an Arrow batch; a column that a record lacks is null there.

    Raises:
        DataError: a value does not fit its column (an integer beyond 64 bits, say).
    """
    import pyarrow as pa

    rows = list(records)
    arrays = []
    for field in schema:
        try:
            arrays.append(pa.array([row.get(field.name) for row in rows], type=field.type))
        except (pa.ArrowException, OverflowError):
            raise DataError(
                f"Field {field.name!r} holds a value that {field.type} cannot hold."
            ) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
