"""What must agree before answers are merged."""

from collections.abc import Collection

from tasks.compute.worker import Maker
from tasks.environment import measuring_code
from tasks.errors import ComputeError


def agreed(model: str, tokenizer: str, makers: Collection[Maker]) -> None:
    """Refuse to merge answers that were not all made with the same model and code.

    Args:
        model: digest of the model that was asked about.
        tokenizer: digest of the tokenizer that this machine makes pieces with.
        makers: what the answers depend on.

    Raises:
        ComputeError: it names what differs, among the workers or from this machine.
    """
    told = {
        "model": "the same model: a worker's folder or bucket holds another one",
        "tokenizer": "the tokenizer: install the same versions on every node",
        "dtype": "the dtype: let every node have the same kind of device",
        "code": "their code: install this version of avss, torch and transformers on every node",
    }
    known = {
        "model": {model},
        "tokenizer": {tokenizer},
        "code": {"/".join(measuring_code())},
    }
    for name, what in told.items():
        values = {getattr(maker, name) for maker in makers}
        expected = known.get(name, values)
        if len(values) > 1 or values - expected:
            shown = ", ".join(sorted(value[:24] for value in values | expected))
            raise ComputeError(f"The cluster's workers do not agree on {what} ({shown}).")
