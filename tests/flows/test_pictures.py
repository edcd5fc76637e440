"""The picture that Prefect's pages show of a ranking."""

import base64
from xml.etree import ElementTree

import pytest

from flows.pictures import ranking_picture

SVG = "{http://www.w3.org/2000/svg}"


def drawn(scores: list[float], shortlist: tuple[int, ...] = ()) -> ElementTree.Element:
    layers = [{"index": 2 * at, "avss": score} for at, score in enumerate(scores)]
    address = ranking_picture({"layers": layers[::-1]}, shortlist)
    head, _, content = address.partition(",")
    assert head == "data:image/svg+xml;base64"
    assert len(address) < 60_000
    return ElementTree.fromstring(base64.b64decode(content))  # noqa: S314 - our own


def test_bars_stand_by_their_layers_number_and_the_short_list_is_marked():
    bars = drawn([1.0, 4.0, 2.0], (4,)).findall(f"{SVG}rect")
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights == pytest.approx([heights[1] / 4, heights[1], heights[1] / 2], rel=0.01)
    assert [bar.get("fill") == bars[2].get("fill") for bar in bars] == [False, False, True]
    texts = [text.text for text in drawn([1.0, 4.0, 2.0], (4,)).findall(f"{SVG}text")]
    assert texts == ["AVSS by layer", "0", "2", "4"]


@pytest.mark.parametrize("count", [0, 1, 200])
def test_any_depth_of_model_is_drawn(count: int):
    bars = drawn([0.0] * count).findall(f"{SVG}rect")
    assert len(bars) == count
    assert all(0 <= float(bar.get("x", "")) < 900 for bar in bars)
