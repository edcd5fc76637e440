"""Packs of every format version that was ever written: they verify for ever, byte for byte."""

import random
from pathlib import Path

import pytest

from policies.errors import VerificationError
from policies.pack import read_pack
from policies.verification import verify_pack

GOLDEN = Path(__file__).parent / "golden"
JOB_KEY = "SHA256:CAjMbwZCaULBUoqEdxkzX63QOtvdLaKNXAqy/W8Hsbg"
MUTATIONS = 10_000


@pytest.fixture(scope="module", params=sorted(path.name for path in GOLDEN.iterdir()))
def golden(request):
    return GOLDEN / request.param


def test_a_golden_pack_still_verifies(golden):
    earlier = (golden / "earlier-checkpoint").read_bytes()
    report = verify_pack(read_pack(golden / "pack"), job_key=JOB_KEY, earlier=earlier)
    assert (report.outcome, report.entries) == ("promoted", 32)
    assert "Entry 16: an answer did not count (self_approval)." in report.notices
    assert "Entry 22: the job's key was replaced (yearly replacement)." in report.notices
    assert any("40 verdicts" in sentence for sentence in report.checked)
    assert any("6 recorded decisions" in sentence for sentence in report.checked)


def test_ten_thousand_one_byte_mutations_are_all_detected(golden):
    """Every byte of every file is as likely as any other; each mutation must be refused."""
    pack = read_pack(golden / "pack")
    dice = random.Random(20260302)
    paths = list(pack)
    weights = [len(pack[path]) for path in paths]
    detected = 0
    for path in dice.choices(paths, weights, k=MUTATIONS):
        content = bytearray(pack[path])
        content[dice.randrange(len(content))] ^= dice.randrange(1, 256)
        try:
            verify_pack({**pack, path: bytes(content)})
        except VerificationError:
            detected += 1
    print(f"{detected} of {MUTATIONS} mutations detected")
    assert detected == MUTATIONS
