"""The map from an evidence pack's documents to the duties that they serve, as files of the pack."""

import fnmatch
import json
from collections.abc import Collection, Iterator
from importlib import resources
from typing import Any

import yaml


def duties() -> dict[str, Any]:
    """The map as it ships: date, caveat, texts, and what each document serves."""
    found: dict[str, Any] = yaml.safe_load(
        (resources.files("tasks") / "record" / "duties.yaml").read_text(encoding="utf-8")
    )
    return found | {"as_of": found["as_of"].isoformat()}


def duties_files(files: Collection[str]) -> dict[str, bytes]:
    """The map of a pack with these files, for programs and for people, by path below `extra/`.

    Documents that the pack does not have are left out.
    """
    found = duties()
    kept = [one for one in found["documents"] if any(serves(one, path) for path in files)]
    plain = found | {"documents": kept}
    return {
        "duties.json": json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True).encode(),
        "duties.md": ("\n".join(_page(plain)) + "\n").encode(),
    }


def serves(document: dict[str, Any], path: str) -> bool:
    """Whether a line of the map is about the file at `path` of a pack."""
    return fnmatch.fnmatchcase(path, document["path"])


def _page(found: dict[str, Any]) -> Iterator[str]:
    yield f"# What these documents serve, as of {found['as_of']}\n"
    yield f"**{found['caveat'].strip()}**\n"
    for text in found["texts"].values():
        yield f"- **{text['name']}.** {text['note'].strip()}"
    for document in found["documents"]:
        yield f"\n## `{document['path']}`\n\n{document['what']}\n"
        for name, parts in document["serves"].items():
            told = "; ".join(f"{part}: {how}" for part, how in parts.items())
            yield f"- {found['texts'][name]['name']}: {told}"
