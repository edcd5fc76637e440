"""What a simulated year found, as Markdown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.sizing import table


def report(found: Mapping[str, Any]) -> str:
    """What `benchmarks.year` writes as JSON, in tables for people."""
    audited, beside = found["audited"], found["beside_a_new_line"]
    facts = {
        "entries of the record": str(found["entries"]),
        "changes": ", ".join(f"{n} {name}" for name, n in sorted(found["outcomes"].items())),
        "packs verified": ", ".join(found["packs_verified"]),
        "audited, without a finding": f"{audited['versions']} versions, {audited['files']} files",
        "models kept of those made": f"{found['models_kept']} of {found['models_made']}",
    }
    spread = beside["old_over_new"]
    told = "nothing to compare" if spread is None else "{1} ({0} to {2})".format(*spread)
    return "\n\n".join(
        [
            table(["what", "found"], facts.items()),
            "Seconds of a change over the record's length: medians, and the slope (Theil-Sen) with "
            "its 95 % limits",
            table(
                ["changes", "number", "first half", "second half", "a thousand entries"],
                [[kind, *_trend(one)] for kind, one in found["curve"].items()],
            ),
            "After the year, the same change on its line and on a new one, in turns: entries, "
            "candidates tried, how it ended, seconds",
            table(
                ["old line", "new line"],
                [[_change(one) for one in turn] for turn in beside["turns"]],
            ),
            f"Old over new, of turns that tried as many candidates: {told}",
        ]
    )


def _trend(one: Mapping[str, Any]) -> list[str]:
    halves = [one["median_first_half"], one["median_second_half"]]
    slope = one.get("seconds_a_thousand_entries")
    return [
        str(one["changes"]),
        *("" if half is None else f"{half:.2f}" for half in halves),
        "" if slope is None else "{1:.2f} ({0:.2f} to {2:.2f})".format(*slope),
    ]


def _change(one: Mapping[str, Any]) -> str:
    return f"{one['entries']}, {one['attempts']}, {one['outcome']}, {one['seconds']}"
