"""Does a server answer? One request, told apart from one that nobody answers."""

import urllib.error
import urllib.request


def answer_of(url: str, *, timeout: float = 10.0) -> int | None:
    """The HTTP status of a GET; None where nobody answers within `timeout` seconds."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - our own settings
            return int(answer.status)
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code
    except (OSError, ValueError):
        return None
