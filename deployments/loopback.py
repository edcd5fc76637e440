"""One request to a server on this machine, past whatever proxy is configured."""

import urllib.request

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str, *, timeout: float = 5.0) -> bytes | None:
    """The body of the answer; None unless the server answers 200 within `timeout` seconds."""
    try:
        with _DIRECT.open(url, timeout=timeout) as answer:
            return bytes(answer.read()) if answer.status == 200 else None
    except OSError:
        return None
