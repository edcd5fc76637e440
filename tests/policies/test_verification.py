"""Verifying an evidence pack: what holds, and every attack on it that needs no store."""

import pytest

from policies import entries as law
from policies.canonical import canonical_bytes
from policies.checkpoints import Checkpoint
from policies.errors import PolicyError, VerificationError
from policies.keys import fingerprint, public_line
from policies.pack import CHECKPOINT, JOB_KEY, MANIFEST, evidence_path, ledger_path
from policies.verification import verify_folder, verify_pack


@pytest.fixture(scope="module")
def pack(finished):
    return finished.pack(**{"dossier.html": b"<h1>Step 1</h1>"})


def checkpoint(world, size):
    digests = [sealed.digest for sealed in world.chain.sealed[:size]]
    return Checkpoint.over(world.line, digests).sign(world.signer)


def test_a_whole_change_verifies(finished, pack):
    seen = []
    report = verify_pack(pack, progress=lambda *of: seen.append(of))
    assert seen == [(at + 1, report.entries) for at in range(report.entries)]
    assert (report.line, report.change, report.outcome) == ("reviews", "reviews-0001", "promoted")
    assert report.entries == len(finished.envelopes)
    assert report.job_key == fingerprint(finished.signer.public_key())
    assert any("71 verdicts" in sentence for sentence in report.checked)
    assert any("7 recorded decisions" in sentence for sentence in report.checked)
    assert report.notices == ()
    assert canonical_bytes(report.to_json())


def test_it_says_what_was_not_established(finished, pack):
    bare = verify_pack(pack).not_established
    assert any(sentence.startswith("Whose key signed") for sentence in bare)
    assert any("cut off after the last entry" in sentence for sentence in bare)
    full = verify_pack(
        pack,
        job_key=fingerprint(finished.signer.public_key()),
        earlier=checkpoint(finished, 20),
    ).not_established
    assert set(full) < set(bare)
    assert len(full) == len(bare) - 2


def test_an_open_change_verifies_too(world):
    assert verify_pack(world.pack()).outcome == "open"
    world.run()
    world.decide("alice")
    assert verify_pack(world.pack()).outcome == "open"


def test_it_works_on_a_folder(pack, tmp_path):
    for path, content in pack.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert verify_folder(tmp_path).outcome == "promoted"
    (tmp_path / "link").symlink_to(tmp_path / "checkpoint")
    with pytest.raises(VerificationError, match="link is a link"):
        verify_folder(tmp_path)
    with pytest.raises(PolicyError, match="not a folder"):
        verify_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VerificationError, match=r"no manifest\.json"):
        verify_folder(tmp_path / "empty")


def test_every_file_is_needed_and_none_may_be_added(pack):
    for path in pack:
        with pytest.raises(VerificationError, match=r"missing|no manifest"):
            verify_pack({name: content for name, content in pack.items() if name != path})
    with pytest.raises(VerificationError, match=r"evidence/new was added"):
        verify_pack({**pack, "evidence/new": b"x"})


def test_a_pinned_key_must_be_the_one_that_signed(finished, pack, make_key):
    key = finished.signer.public_key()
    assert verify_pack(pack, job_key=fingerprint(key))
    assert verify_pack(pack, job_key=f"{public_line(key)} job@host\n")
    with pytest.raises(VerificationError, match="not by the one you expect"):
        verify_pack(pack, job_key=fingerprint(make_key("other").public_key()))


def test_a_pack_made_by_somebody_else_needs_the_pinned_key_to_be_found(finished, new_world):
    forged = new_world(job="mallory")
    forged.open()
    forged.approve_all()
    assert verify_pack(forged.pack())
    with pytest.raises(VerificationError, match="not by the one you expect"):
        verify_pack(forged.pack(), job_key=fingerprint(finished.signer.public_key()))


def test_a_record_cut_short_with_the_right_key_does_not_fit_an_earlier_checkpoint(
    finished, new_world
):
    kept = checkpoint(finished, len(finished.envelopes))
    short = new_world(good=finished.good)
    short.open()
    short.run()
    assert short.envelopes == finished.envelopes[: len(short.envelopes)]
    assert verify_pack(short.pack())
    with pytest.raises(VerificationError, match="entries were cut off"):
        verify_pack(short.pack(), earlier=kept)


def test_a_record_rewritten_with_the_right_key_does_not_fit_an_earlier_checkpoint(
    finished, new_world
):
    """The job's own key signs another history; only what was kept elsewhere shows it."""
    rewritten = new_world()
    rewritten.open()
    rewritten.approve_all()
    rewritten.open()
    rewritten.approve_all()
    assert len(rewritten.envelopes) > len(finished.envelopes)
    assert verify_pack(rewritten.pack())
    with pytest.raises(VerificationError, match="rewritten, though its signatures hold"):
        verify_pack(rewritten.pack(), earlier=checkpoint(finished, 40))


def test_a_checkpoint_that_the_job_did_not_sign_says_nothing(finished, pack, make_key):
    digests = [sealed.digest for sealed in finished.chain.sealed]
    forged = Checkpoint.over("reviews", digests).sign(make_key("mallory"))
    with pytest.raises(VerificationError, match="no signature of the expected key"):
        verify_pack(pack, earlier=forged)


def test_a_replaced_job_key_is_followed_and_told(world, make_key):
    old = world.signer
    world.append(
        law.JobKeyChanged(public_key=public_line(make_key("second").public_key()), reason="yearly")
    )
    earlier = checkpoint(world, 2)
    world.signer = make_key("second")
    world.approve_all()
    report = verify_pack(world.pack(), job_key=fingerprint(old.public_key()), earlier=earlier)
    assert report.outcome == "promoted"
    assert "Entry 1: the job's key was replaced (yearly)." in report.notices


def test_the_parts_of_a_pack_are_where_they_should_be(finished, pack):
    assert pack[ledger_path(3)] == finished.envelopes[3]
    policy = finished.state.closed[0].change.opened.policy
    assert pack[evidence_path(policy)] == finished.policy.document()
    assert {MANIFEST, JOB_KEY, CHECKPOINT, "extra/dossier.html"} < set(pack)
