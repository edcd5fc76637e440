"""Who may decide."""

from datetime import UTC, datetime

import pytest

from policies.errors import PolicyError
from policies.keys import fingerprint, public_line
from policies.roster import load_roster, parse_roster

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def lines(make_key, *names):
    return [public_line(make_key(name).public_key()) for name in names]


def test_two_keys_are_one_person(make_key):
    one, two = lines(make_key, "laptop", "phone")
    roster = parse_roster(
        f"people: [{{name: Ann, roles: [risk], keys: [{{key: {one}}}, {{key: {two}}}]}}]"
    )
    for name in ("laptop", "phone"):
        holder = roster.holder(fingerprint(make_key(name).public_key()))
        assert holder.person.name == "Ann"
    assert roster.holder("SHA256:none") is None


def test_eligible_people_have_a_role_a_line_and_a_key_that_holds(make_roster):
    roster = make_roster(
        {"ann": ["risk"], "ben": ["risk"], "cid": ["product"], "dan": ["risk"]},
        ben={"lines": ["letters"]},
        dan={"also_known_as": ["dan@example.org"]},
    )

    def names(requester):
        found = roster.eligible(line="reviews", roles=("risk",), requester=requester, now=NOW)
        return [person.name for person in found]

    assert names("erin") == ["ann", "dan"]
    assert names(" DAN@example.org ") == ["ann"]


@pytest.mark.parametrize(
    ("dates", "fault"),
    [
        ("valid_from: 2026-03-03T00:00:00Z", "key_not_yet_valid"),
        ("valid_until: 2026-03-02T00:00:00Z", "expired_key"),
        ("revoked: 2026-03-01T00:00:00Z", "revoked_key"),
        ("valid_from: 2026-03-01T00:00:00Z", None),
    ],
)
def test_keys_hold_within_their_time(make_key, dates, fault):
    (key,) = lines(make_key, "ann")
    roster = parse_roster(
        f"people: [{{name: Ann, roles: [risk], keys: [{{key: {key}, {dates}}}]}}]"
    )
    assert roster.people[0].keys[0].fault_at(NOW) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("people: []", "people"),
        (
            "people: [{name: A, roles: [r], keys: [{key: nonsense}]}]",
            "expected an OpenSSH public key",
        ),
        ("people: [{name: A, roles: [], keys: [{key: KEY}]}]", "roles"),
        ("people: [{name: A, role: r, keys: [{key: KEY}]}]", "did you mean roles"),
        ("people: [{name: A, roles: [r], keys: [{key: KEY, revoked: 2026-01-01}]}]", "revoked"),
        (
            "people: [{name: A, roles: [r], keys: [{key: KEY}]}, "
            "{name: ' a', roles: [r], keys: [{key: KEY2}]}]",
            "two people are called a",
        ),
        (
            "people: [{name: A, roles: [r], keys: [{key: KEY}]}, "
            "{name: B, roles: [r], keys: [{key: KEY}]}]",
            "stands twice",
        ),
    ],
)
def test_a_roster_that_cannot_be_used_is_refused(make_key, text, message):
    one, two = lines(make_key, "one", "two")
    with pytest.raises(PolicyError, match=message):
        parse_roster(text.replace("KEY2", two).replace("KEY", one))


def test_a_roster_reads_back_from_its_document(make_roster, tmp_path):
    roster = make_roster({"ann": ["risk"]})
    (tmp_path / "approvers.yaml").write_bytes(roster.document())
    assert load_roster(tmp_path / "approvers.yaml").digest == roster.digest
    with pytest.raises(PolicyError, match="Name the roster"):
        load_roster(tmp_path / "none.yaml")
