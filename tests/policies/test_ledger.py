"""The chain of entries, and every way to tamper with it."""

import base64
import json
import random
from datetime import timedelta
from hashlib import sha256

import pytest

from policies import dsse
from policies.canonical import canonical_bytes
from policies.entries import BODIES, Entry, FaultRecorded, JobKeyChanged
from policies.errors import LawError, VerificationError
from policies.keys import public_line
from policies.ledger import PAYLOAD_TYPE, Chain, seal, verify_chain


@pytest.fixture
def record(finished):
    return list(finished.envelopes)


def check(finished, envelopes, key="job"):
    from_file = finished.signer if key == "job" else key
    return verify_chain(envelopes, line="reviews", key=from_file.public_key())


def test_the_record_holds(finished, record):
    assert [entry.sequence for entry in check(finished, record)] == list(range(len(record)))


@pytest.mark.parametrize("at", [0, 5, -1])
def test_an_edited_entry_is_found(finished, record, at):
    envelope = json.loads(record[at])
    payload = base64.b64decode(envelope["payload"]).replace(b"2026", b"2025")
    envelope["payload"] = base64.b64encode(payload).decode()
    record[at] = canonical_bytes(envelope)
    with pytest.raises(VerificationError, match="signature is not the job key's") as caught:
        check(finished, record)
    assert caught.value.sequence == at % len(record)


def test_a_dropped_entry_is_found(finished, record):
    del record[7]
    with pytest.raises(VerificationError, match=r"Entry 7: it says it is entry 8"):
        check(finished, record)


def test_swapped_entries_are_found(finished, record):
    record[3], record[4] = record[4], record[3]
    with pytest.raises(VerificationError, match="Entry 3: it says it is entry 4"):
        check(finished, record)


def test_a_duplicated_entry_is_found(finished, record):
    record.insert(6, record[5])
    with pytest.raises(VerificationError, match="Entry 6: it says it is entry 5"):
        check(finished, record)


def test_an_inserted_entry_breaks_the_chain_even_with_the_right_key(finished, record):
    chain = Chain("reviews", finished.signer.public_key())
    for envelope in record[:5]:
        chain.follow(envelope)
    entry = chain.draft(
        FaultRecorded(stage="x", error="E", message="m"), change="reviews-0001", time=finished.now
    )
    record[5] = seal(entry, finished.signer)
    with pytest.raises(VerificationError, match="Entry 6: it does not follow"):
        check(finished, record)


def test_a_chain_signed_by_another_key_is_found(finished, record, make_key):
    forged = [
        dsse.sign(PAYLOAD_TYPE, dsse.Envelope.parse(one).payload, make_key("mallory"))
        for one in record
    ]
    with pytest.raises(VerificationError, match="Entry 0: the signature"):
        check(finished, forged)
    with pytest.raises(VerificationError, match="Entry 9: the signature"):
        check(finished, [*record[:9], *forged[9:]])


def test_an_entry_of_another_line_is_found(finished, new_world):
    other = new_world(line="letters")
    other.open()
    with pytest.raises(VerificationError, match="belongs to line letters"):
        check(finished, other.envelopes)


def test_something_else_that_the_key_signed_is_no_entry(finished):
    with pytest.raises(VerificationError, match="no envelope of a ledger entry"):
        check(finished, [dsse.sign("other", b"{}", finished.signer)])


def sign_raw(finished, **changes):
    payload = json.loads(dsse.Envelope.parse(finished.envelopes[0]).payload)
    return dsse.sign(PAYLOAD_TYPE, canonical_bytes({**payload, **changes}), finished.signer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "change.imagined"}, "not of a known form: body, type"),
        ({"body": {}}, "not of a known form: body"),
        ({"sequence": "0"}, "unusual spelling"),
        ({"time": "2026-03-02T10:00:00+01:00"}, "unusual spelling"),
        ({"extra": 1}, "not of a known form: extra"),
        ({"format": "avss-ledger-9"}, "not of a known form: format"),
    ],
)
def test_a_signed_entry_of_another_form_is_found(finished, changes, message):
    with pytest.raises(VerificationError, match=message):
        check(finished, [sign_raw(finished, **changes)])


def test_time_never_goes_back(world):
    world.now -= timedelta(minutes=1)
    body = FaultRecorded(stage="x", error="E", message="m")
    assert world.append(body).time == world.chain.sealed[0].entry.time
    world.now -= timedelta(hours=1)
    with pytest.raises(LawError, match="Set the clock right"):
        world.append(body)


def test_a_clock_set_back_in_a_signed_chain_is_found(world):
    entry = world.chain.draft(
        FaultRecorded(stage="x", error="E", message="m"), change=world.change.id, time=world.now
    )
    early = entry.model_copy(update={"time": entry.time - timedelta(hours=1)})
    with pytest.raises(VerificationError, match="Entry 1: it is older"):
        world.chain.follow(seal(early, world.signer))


def test_the_jobs_key_can_be_replaced(world, make_key):
    old, new = world.signer, make_key("second")
    world.append(JobKeyChanged(public_key=public_line(new.public_key()), reason="yearly"))
    body = FaultRecorded(stage="x", error="E", message="m")
    with pytest.raises(VerificationError, match="signature"):
        world.append(body)
    world.signer = new
    world.append(body)
    assert len(verify_chain(world.envelopes, line="reviews", key=old.public_key())) == 3


def test_every_kind_of_entry_is_named_once():
    assert all(kind == body.kind for kind, body in BODIES.items())
    assert len(BODIES) == 31


def test_no_byte_of_a_record_can_change(finished):
    dice = random.Random(1)
    for _ in range(300):
        at = dice.randrange(len(finished.envelopes))
        content = bytearray(finished.envelopes[at])
        content[dice.randrange(len(content))] ^= dice.randrange(1, 256)
        with pytest.raises(VerificationError) as caught:
            check(finished, [*finished.envelopes[:at], bytes(content)])
        assert caught.value.sequence == at


def test_an_entry_reads_back_as_it_was(finished):
    for sealed in finished.chain.sealed:
        again = Entry.model_validate_json(canonical_bytes(sealed.entry))
        assert again == sealed.entry


def resumed(finished, kept, stored):
    chain = Chain("reviews", finished.signer.public_key())
    chain.resume(kept, stored.__getitem__)
    return chain


def payloads(envelopes):
    return [dsse.Envelope.parse(one).payload for one in envelopes]


def test_a_chain_goes_on_after_kept_payloads_as_if_it_had_read_everything(finished, record):
    chain = resumed(finished, payloads(record[:-4]), record)
    for envelope in record[-4:]:
        chain.follow(envelope)
    assert tuple(one.entry for one in chain.sealed) == check(finished, record)
    assert resumed(finished, [], record).sealed == []


def test_only_the_last_of_what_was_kept_is_asked_of_the_store(finished, record):
    asked = []
    chain = Chain("reviews", finished.signer.public_key())
    chain.resume(payloads(record), lambda at: asked.append(at) or record[at])
    assert asked == [len(record) - 1]


@pytest.mark.parametrize("at", [0, 5, -2, -1])
def test_no_altered_payload_is_taken_for_an_entry(finished, record, at):
    kept = payloads(record)
    kept[at] = kept[at].replace(b"2026", b"2025")
    with pytest.raises(VerificationError):
        resumed(finished, kept, record)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: kept[1:],
        lambda kept: [*kept[:3], *kept[4:]],
        lambda kept: [*kept[:3], kept[4], kept[3], *kept[5:]],
        lambda kept: [*kept[:-1], kept[-1][:-9]],
        lambda kept: [*kept, b""],
    ],
)
def test_kept_payloads_that_are_not_the_beginning_are_refused(finished, record, spoil):
    with pytest.raises(VerificationError):
        resumed(finished, spoil(payloads(record)), [*record, record[-1]])


def test_a_forged_past_is_not_taken_though_the_store_lies_along(finished, record, make_key):
    """The keeper of the file and of the store are one: a hand-over to their own key is forged."""
    mallory = make_key("mallory")
    chain = Chain("reviews", finished.signer.public_key())
    for envelope in record[:4]:
        chain.follow(envelope)
    handed = JobKeyChanged(public_key=public_line(mallory.public_key()), reason="x")
    forged, envelopes, change = payloads(record[:4]), list(record[:4]), "reviews-0001"
    previous = chain.sealed[-1].digest
    for sequence, body in ((4, handed), (5, FaultRecorded(stage="x", error="E", message="m"))):
        entry = chain.draft(body, change=change, time=finished.now)
        entry = entry.model_copy(update={"sequence": sequence, "previous": previous})
        envelopes.append(seal(entry, mallory))
        forged += payloads(envelopes[-1:])
        previous = sha256(forged[-1]).hexdigest()
    with pytest.raises(VerificationError, match="Entry 4: the signature"):
        resumed(finished, forged, envelopes)


def test_keys_that_were_handed_over_are_known_after_kept_payloads(new_world, make_key):
    world = new_world()
    world.open()
    old, second = world.signer, make_key("second")
    world.append(JobKeyChanged(public_key=public_line(second.public_key()), reason="lost"))
    world.signer = second
    world.append(FaultRecorded(stage="x", error="E", message="m"))
    world.append(FaultRecorded(stage="x", error="E", message="n"))
    asked = []
    chain = Chain("reviews", old.public_key())
    chain.resume(payloads(world.envelopes), lambda at: asked.append(at) or world.envelopes[at])
    assert asked == [1, 3]
    assert chain.keys == [old.public_key(), second.public_key()]
