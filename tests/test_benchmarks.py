"""The one command of the benchmarks names files that are there and options that they take."""

from pathlib import Path

import pytest

from benchmarks.__main__ import COMMANDS
from benchmarks.overhead import timing

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", COMMANDS)
def test_every_benchmark_takes_what_it_is_given(name):
    words = COMMANDS[name].split()
    if words[0] == "-m":
        words = [words[1].replace(".", "/") + ".py", *words[2:]]
    source = (ROOT / words[0]).read_text()
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in source


def test_what_the_overhead_is_counted_beside_has_the_names_that_it_is_given():
    with timing() as clock:
        assert clock.calls == {}
