"""YAML as our files may use it: one mapping, every key once, no anchors, no surprises."""

from typing import Any

import yaml

from policies.errors import PolicyError

LARGEST = 1_000_000


class _Strict(yaml.SafeLoader):
    """Refuses what silently means something else than it seems to."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="write the value out instead of an alias",
                problem_mark=self.get_mark(),
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem="this key stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(content: str | bytes, where: str) -> dict[str, Any]:
    """The mapping that the text holds.

    Raises PolicyError naming `where` and the line, never the text.
    """
    if len(content) > LARGEST:
        raise PolicyError(f"{where}: larger than {LARGEST:,} bytes; no such file is.")
    try:
        found = yaml.load(content, Loader=_Strict)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise PolicyError(f"{where}: {_place(error)}. Mend the file's YAML.") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise PolicyError(f"{where}: expected a mapping of fields, such as `name: standard`.")
    return found


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "not readable as YAML"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
