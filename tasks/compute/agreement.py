"""What must agree before answers are merged."""

from collections.abc import Sequence

from tasks.compute.worker import Maker
from tasks.environment import measuring_code
from tasks.errors import ComputeError


def agreed(model: str, makers: Sequence[Maker]) -> None:
    """Refuse to merge answers that were not all made with the same model and code.

    Raises:
        ComputeError: it names what differs, among the workers or from this machine.
    """
    told = {
        "model": "the same model: a worker's folder or bucket holds another one",
        "tokenizer": "the tokenizer: install the same versions on every node",
        "dtype": "the dtype: let every node have the same kind of device",
        "code": "their code: install this version of avss, torch and transformers on every node",
    }
    for name, what in told.items():
        values = {getattr(maker, name) for maker in makers}
        expected = {"model": {model}, "code": {"/".join(measuring_code())}}.get(name, values)
        if len(values) > 1 or values - expected:
            shown = ", ".join(sorted(value[:24] for value in values | expected))
            raise ComputeError(f"The cluster's workers do not agree on {what} ({shown}).")
