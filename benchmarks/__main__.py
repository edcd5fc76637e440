"""The benchmarks of speed, memory and growth, one after the other; their tables go to `docs/`.

    python -m benchmarks [NAME ...]

Without names all are run, which takes most of an hour; the cores must be idle, or ratios of wall
times say little. Each writes what it printed, with its command and the versions, to
`docs/benchmarks/NAME.md` as soon as it is done. One that fails keeps its old table; its output is
shown, and the exit code is 1 in the end. Choosing and healing (`benchmarks/choosing.py`), which
takes hours, runs by itself.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers

from benchmarks.machine import processor
from deployments.seed import model_folder
from deployments.wheels import seed_cache

_TARGET = Path("docs/benchmarks")
COMMANDS = {
    "scoring": "benchmarks/scoring.py --model MODEL",
    "precision": "-m benchmarks.precision",
    "operators": "-m benchmarks.operators",
    "compiled": "-m benchmarks.compiled",
    "layer_by_layer": "benchmarks/layer_by_layer.py",
    "distilling": "-m benchmarks.distilling",
    "closed_form": "-m benchmarks.closed_form",
    "kpis": "benchmarks/kpis.py --records 16 --repeats 2",
    "s3_transfer": "-m benchmarks.s3_transfer",
    "ray_scaling": "benchmarks/ray_scaling.py --model MODEL",
    "verifying": "-m benchmarks.verifying",
    "year": "-m benchmarks.year --out SCRATCH/year.json --picture docs/year.svg",
    "growth": "-m benchmarks.growth --out docs/benchmarks/growth.svg",
    "overhead": "-m benchmarks.overhead --out SCRATCH/demo",
}
_PICTURES = {"year": "../year.svg", "growth": "growth.svg"}


def main() -> int:
    """Run what is asked for; 1 where a benchmark failed."""
    told = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=told)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMMANDS))
    names = parser.parse_args().names or list(COMMANDS)
    if unknown := sorted(set(names) - set(COMMANDS)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(COMMANDS)}")
    _TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        done = [_run(name, Path(scratch)) for name in names]
    return int(not all(done))


def _run(name: str, scratch: Path) -> bool:
    command = COMMANDS[name]
    print(f"{name}: python {command}", file=sys.stderr, flush=True)
    given = command.replace("SCRATCH", str(scratch))
    if "MODEL" in given:
        given = given.replace("MODEL", str(model_folder(seed_cache(), report=lambda _: None)))
    began = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, *given.split()], stdout=subprocess.PIPE, text=True, env=environment
    )
    minutes = (time.monotonic() - began) / 60
    print(f"{name}: exit {done.returncode} after {minutes:.1f} minutes", file=sys.stderr)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        return False
    (_TARGET / f"{name}.md").write_text(_page(name, command, done.stdout))
    return True


def _page(name: str, command: str, printed: str) -> str:
    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}, {processor()}."
    )
    picture = f"\n![{name}]({_PICTURES[name]})\n" if name in _PICTURES else ""
    return f"# {name}\n\n    python {command}\n\n{versions}\n\n{printed.strip()}\n{picture}"


if __name__ == "__main__":
    sys.exit(main())
