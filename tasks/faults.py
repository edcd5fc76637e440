"""What may be said of an error where others read it: our own words, never a record's contents."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from tasks.errors import TaskError

_OURS = ("avss.", "policies.", "tasks.")


class StageError(TaskError):
    """A stage ended with an error that is not ours; its text is not told, for it may quote data."""


def guarded(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
    """The stage with foreign errors replaced, so that no log of a server keeps what they quote.

    `AVSS_DEBUG` lets them through.
    """

    @wraps(stage)
    def run(*arguments: Any) -> Any:
        try:
            return stage(*arguments)
        except Exception as error:
            if is_ours(error) or os.environ.get("AVSS_DEBUG"):
                raise
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_name}, line {place.tb_lineno}" if place else "?"
            raise StageError(
                f"The stage `{name}` failed with a {type(error).__name__} in {where}. Run it again "
                "as `avss --debug ...` for the whole error; what is recorded is kept."
            ) from None

    return run


def is_ours(error: BaseException) -> bool:
    """Whether the message is our own."""
    return type(error).__module__.startswith(_OURS)


def public_message(error: BaseException) -> str:
    """What the record says of an error."""
    return str(error)[:1900] if is_ours(error) else f"a {type(error).__name__} that is not ours"
