"""The lines of the benchmark of choosing as a table and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from choosing_methods import ADAPTED, DISTILLED, HEALED

METRICS = {
    "text.token_perplexity": "perplexity of reviews",
    "sentiment.auc": "AUC of their sentiment",
    "question.accuracy_normalized": "right answers to questions (forgetting)",
    "answer.token_perplexity": "perplexity of answers (forgetting)",
}
STYLES: dict[str, dict[str, Any]] = {
    DISTILLED: {"color": "#0b6e4f"},
    HEALED: {"color": "#2a7de1"},
    "ours, no healing": {"color": "#8ab6f0"},
    ADAPTED: {"color": "#0b6e4f", "marker": "*", "ms": 11, "ls": ""},
    "SLEB": {"color": "#d1495b"},
    "Block Influence": {"color": "#e8a33d"},
    "angular distance": {"color": "#8e6bbf"},
    "last layers": {"color": "0.55", "ls": "--"},
    "AVSS as published": {"color": "black", "ls": "--"},
    "random": {"color": "0.6", "marker": "x", "ls": ""},
}


def report(lines: Sequence[dict[str, Any]], speeds: Sequence[dict[str, Any]], layers: int) -> str:
    """The table of all lines, the versions that wrote it, and what fewer layers save."""
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return "\n".join([table(lines, layers), "", versions, "", *map(_saved, speeds), ""])


def _saved(speed: dict[str, Any]) -> str:
    ratios = ", ".join(
        f"{one['name'].replace('_', ' ')} {one['ratio']:.2f} "
        f"[{one['ratio_low']:.2f}, {one['ratio_high']:.2f}]"
        for one in speed["speeds"]
    )
    size = speed["size"]["bytes_on_disk"] / speed["base_size"]["bytes_on_disk"]
    where = speed["with"]["processor"]
    return f"- {speed['removed']} layers fewer ({where}): {ratios}, bytes {size:.2f}"


def table(lines: Sequence[dict[str, Any]], layers: int) -> str:
    """The lines as Markdown: value, retention, and its lower limit in brackets."""
    head = ["method", "layers removed", *METRICS, "passes", "seconds"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in sorted(lines, key=lambda line: (line["removed"], line["method"])):
        share = f"{line['removed']} ({line['removed'] / layers:.0%})"
        cells = [line["method"], share, *(_cell(line["kpis"][metric]) for metric in METRICS)]
        passes = "" if line["passes"] is None else f"{line['passes']:.0f}"
        rows.append("| " + " | ".join([*cells, passes, f"{line['seconds']:.0f}"]) + " |")
    return "\n".join(rows)


def _cell(kpi: dict[str, Any]) -> str:
    if kpi["value"] is None or kpi["retention"] is None:
        return "not told"
    low = "?" if kpi["retention_low"] is None else f"{kpi['retention_low']:.3f}"
    return f"{kpi['value']:.4g}: {kpi['retention']:.3f} [{low}]"


def plot(lines: Sequence[dict[str, Any]], target: Path) -> None:
    """Retention against layers removed: a panel a measure, a curve a method from the base on.

    Ours are thick, with the lower 95 % limits as whiskers; random orders are crosses of one kind.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(11, 8), sharex=True, sharey=True)
    for panel, (metric, title) in zip(panels.flat, METRICS.items(), strict=True):
        for method, style in STYLES.items():
            points = sorted(
                (line["removed"], kpi["retention"], kpi["retention_low"])
                for line in lines
                if line["method"].startswith(method)
                and (kpi := line["kpis"][metric])["retention"] is not None
            )
            _curve(panel, method, points, style)
        panel.axhline(1.0, color="0.8", lw=0.8, zorder=0)
        panel.set(title=title, ylim=(-0.02, 1.35))
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("share of the base that is kept")
    for panel in panels[-1]:
        panel.set_xlabel("layers removed")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(target)


def _curve(panel: Any, method: str, points: Sequence[Any], style: dict[str, Any]) -> None:
    if not points:
        return
    own, scattered = method.startswith("ours"), style.get("ls") == ""
    at, kept = [point[0] for point in points], [point[1] for point in points]
    if own:
        below = [0 if low is None else value - low for _, value, low in points]
        panel.errorbar(at, kept, [below, [0] * len(at)], fmt="none", lw=1, ecolor=style["color"])
    if not scattered:
        at, kept = [0, *at], [1.0, *kept]
    given = {"marker": "o", "ms": 4, "lw": 2.2 if own else 1.1, "zorder": 3 if own else 2}
    panel.plot(at, kept, label=method, **(given | style))
