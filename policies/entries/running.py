"""Entries about the job itself: faults, resumed runs, other approvers, another key."""

from policies.entries.body import Body
from policies.schema import Digest, Name, Text, Time


class RosterChanged(Body):
    """From here on, another roster says who may decide."""

    kind = "roster.changed"
    document_fields = ("roster",)

    roster: Digest
    previous: Digest


class JobKeyChanged(Body):
    """From the next entry on, only this key signs; so a key is replaced or withdrawn."""

    kind = "job_key.changed"

    public_key: Name
    """An OpenSSH public key line."""
    reason: Text
    compromised_since: Time | None = None
    """Since when somebody else may have had the key that is replaced; null: nobody is known to."""


class RunResumed(Body):
    """Another process goes on where one stopped."""

    kind = "run.resumed"
    document_fields = ("environment",)

    at: Name
    """The next action's name."""
    environment: Digest


class FaultRecorded(Body):
    """Something of ours failed; nothing of the data is in the message."""

    kind = "fault.recorded"

    stage: Name
    error: Name
    """The error's class."""
    message: Text
