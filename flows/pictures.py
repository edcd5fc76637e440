"""A step's ranking as a picture for Prefect's pages: an SVG that is its own address."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH, _HEIGHT, _FOOT, _GAP = 900, 220, 24, 0.2
_BAR, _MARKED, _INK = "#7489a0", "#bf4208", "#57616d"


def ranking_picture(scores: Mapping[str, Any], shortlist: Sequence[int]) -> str:
    """AVSS of every layer as bars by its original number, the short list marked: a `data:` address.

    Args:
        scores: the JSON contract of `avss score`.
        shortlist: original numbers of the layers that were proposed.
    """
    layers = sorted(scores["layers"], key=lambda layer: layer["index"])
    largest = max((layer["avss"] for layer in layers), default=0.0) or 1.0
    room = _WIDTH / max(len(layers), 1)
    every = max(1, len(layers) // 30)
    parts = []
    for at, layer in enumerate(layers):
        height = max(1.0, (_HEIGHT - 2 * _FOOT) * layer["avss"] / largest)
        color = _MARKED if layer["index"] in shortlist else _BAR
        x, width = room * (at + _GAP / 2), room * (1 - _GAP)
        parts.append(
            f'<rect x="{x:.1f}" y="{_HEIGHT - _FOOT - height:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" fill="{color}"/>'
        )
        if at % every == 0 or layer["index"] in shortlist:
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{_HEIGHT - 8}" fill="{color}">'
                f"{layer['index']}</text>"
            )
    title = f'<text x="0" y="14" fill="{_INK}" text-anchor="start">AVSS by layer</text>'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" font-family="sans-serif" font-size="12" text-anchor="middle">'
        f"{title}{''.join(parts)}</svg>"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
