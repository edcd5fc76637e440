"""An order of records whose every beginning is a stratified sample."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from tasks.data.splits import order_of

_RANGE = 2**63


def stratified(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records in an order that may be cut off at any budget: strata keep their shares.

    A stratum is a segment and a label. Its records are spread evenly over the whole, from a start
    that is the stratum's own hash, so small strata are no rarer at the beginning than elsewhere.
    The order is a function of the records alone: the hash of the ids is its seed.

    Args:
        records: in the order of `order_of` their ids, as `read_split` gives them.
    """
    strata: defaultdict[Hashable, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        strata[record.get("segment"), record.get("label")].append(record)
    placed = []
    for stratum, members in strata.items():
        start = order_of(repr(stratum)) / _RANGE
        for number, record in enumerate(members):
            placed.append(((number + start) / len(members), order_of(record["id"]), record))
    return [record for _, _, record in sorted(placed, key=lambda it: it[:2])]
