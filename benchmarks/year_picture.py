"""The picture of a simulated year: seconds a change over the length of the record."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.year_check import KINDS
from benchmarks.year_line import Lived


def draw(lived: Sequence[Lived], path: Path) -> None:
    """Write an SVG: a point a change, and what of it is reading the record."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    shown = [*KINDS.items(), ("more steps", lambda it: it.steps > 1)]
    for (kind, kept), mark in zip(shown, "os^", strict=True):
        chosen = [one for one in lived if kept(one)]
        if chosen:
            axes.plot(
                [it.entries for it in chosen], [it.seconds for it in chosen], mark, label=kind
            )
    entries = [one.entries for one in lived]
    axes.plot(entries, [one.reading for one in lived], ".-", label="of it: reading the record once")
    axes.set(xlabel="entries of the record", ylabel="seconds a change", ylim=(0, None))
    axes.set_title(f"{len(lived)} weekly changes of a tiny model, all servers on one machine")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "year", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)
