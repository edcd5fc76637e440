"""Values of fields as readers of JSON, tables and YAML give them, brought to one form."""

import math
import re
from typing import Any

import yaml


def is_null(value: Any) -> bool:
    """None and NaN: what readers of tables give for an empty cell."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def label_text(value: Any) -> str:
    """The text by which a label is known, however it was written.

    One label is `true` in JSON, `True` in a table that pandas wrote; `1` in JSON, `1.0` in a table
    with gaps: both give the same text here. Blanks around a text do not count.
    """
    text = str(value).strip()
    if text.casefold() in ("true", "false"):
        return text.casefold()
    whole = re.fullmatch(r"(-?\d+)\.0+", text)
    return whole[1] if whole else text


class PlainLoader(yaml.SafeLoader):
    """YAML in which yes, no, on and off are text: `labels: {yes: ..., no: ...}` means these."""


PlainLoader.yaml_implicit_resolvers = {
    first: [
        (
            tag,
            re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
            if tag.endswith(":bool")
            else regexp,
        )
        for tag, regexp in resolvers
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
