"""The README shows what the demo really printed: told again from the demo's own evidence pack."""

from pathlib import Path

from flows.transcript import embedded, transcript
from policies.verification import verify_folder

ROOT = Path(__file__).parent.parent.parent
PACK = Path(__file__).parent / "golden" / "demo-pack"


def test_the_readme_shows_what_the_demo_printed():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert embedded(readme) == transcript(PACK)


def test_the_demos_pack_still_verifies():
    report = verify_folder(PACK)
    assert (report.change, report.outcome) == ("drug-reviews-0001", "promoted")
