"""A line's pages as a static site: in the work bucket below `dossiers/`, and on this machine."""

from pathlib import Path

from policies.schema import Step
from tasks.home import home
from tasks.record.index_page import index_of
from tasks.record.line_view import LineView


def page_name(change: str, step: Step) -> str:
    """A dossier's place relative to the index."""
    return f"{change}/{step}.html"


def address_of(view: LineView, name: str) -> str:
    """Where a page of the line lies in S3 once it is published."""
    return view.work.below("dossiers").uri(f"{view.line}/{name}")


def publish(view: LineView, name: str, page: str) -> tuple[Path, str]:
    """Write a page of the line; returns where it is on this machine and in S3.

    Raises:
        StorageError: S3 cannot be reached or denies.
    """
    site, key = view.work.below("dossiers"), f"{view.line}/{name}"
    site.put(key, page.encode("utf-8"), "text/html; charset=utf-8")
    path = home() / "dossiers" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path, address_of(view, name)


def publish_index(view: LineView) -> None:
    """Write the line's index as its record stands now; it links to the dossiers beside it."""
    publish(view, "index.html", index_of(view))
