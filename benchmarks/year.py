"""A simulated year of a model line: 52 weekly changes in minutes, on the real local stack.

    python -m benchmarks.year --out year.json --picture docs/year.svg

A tiny random model, fresh data every week that drifts slowly (and once suddenly), people who
approve, reject or say nothing, jobs that die, a base that is retrained every quarter, one rollback,
a clean-up a month. In the end the record must verify, the audit must be clean, storage must be
what the policy says, and a change must not take longer because the history is longer: after the
year, changes on its line and the same ones on new lines are timed in turns.
Time is simulated by `tasks.clock` alone; everything else is what production runs.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from benchmarks.life import Life
from benchmarks.year_beside import TURNS, beside
from benchmarks.year_check import check, curve
from benchmarks.year_line import WEEK, Year
from benchmarks.year_picture import draw
from benchmarks.year_report import report
from benchmarks.year_story import QUARTER, WEEKS, whole_year
from tasks.s3.storage import ObjectStore

_BASES = WEEKS // QUARTER


def main() -> None:
    """Live the year and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("year.json"))
    parser.add_argument("--picture", type=Path, help="an SVG of time over the record's length")
    parser.add_argument("--weeks", type=int, default=WEEKS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avss-year-") as scratch, stack(Path(scratch)) as made:
        year = made("year", 1, given.seed)
        for number, week in enumerate(whole_year(given.seed)[: given.weeks], 1):
            year.live([week])
            print(json.dumps(asdict(year.lived[-1])), file=sys.stderr, flush=True)
            if number % 4 == 0:
                print(f"clean-up: {year.clean_up()} things went", file=sys.stderr, flush=True)
        year.clean_up()
        found = check(year, Path(scratch) / "packs")
        lived = list(year.lived)
        found["beside_a_new_line"] = beside(
            year,
            lambda week: made(f"new-{week}", week, given.seed, year.offset - WEEK),
            first_base=_BASES - 1,
        )
    found |= {"outcomes": Counter(one.outcome for one in lived), "curve": curve(lived)}
    given.out.write_text(json.dumps(found | {"weeks": [asdict(one) for one in lived]}, indent=2))
    if given.picture:
        draw(lived, given.picture)
    print(report(found))


@contextmanager
def stack(scratch: Path) -> Iterator[Callable[..., Year]]:
    """A local stack of its own, and what makes lines on it, each the tests' tiny world."""
    from deployments.buckets import BucketNames
    from deployments.services import ALL
    from deployments.stack import Stack

    servers = Stack(scratch / "stack", ALL)
    servers.up(deadline=300)
    try:
        os.environ |= servers.environment() | {"AVSS_HOME": str(scratch / "year" / "home")}
        from tests.conftest import Servers
        from tests.flows.parts import tiny_model
        from tests.flows.world import new_world

        def line(name: str, week: int, seed: int, offset: timedelta = timedelta()) -> Year:
            folder, names = scratch / name, BucketNames()
            folder.mkdir()
            world = new_world(Servers(servers, names, name), folder)
            for base in range(_BASES + TURNS):
                tiny_model(folder / f"model-{base}", layers=8, seed=base)
            data = ObjectStore(names.data, f"{name}/weeks")
            return Year(Life(folder, world.line), data, seed, first=week, offset=offset)

        yield line
    finally:
        servers.down()


if __name__ == "__main__":
    main()
