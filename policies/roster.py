"""The people who may decide: their roles, keys, and when those hold."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, ValidationError, field_validator, model_validator

from policies import canonical
from policies.errors import DecisionError, PolicyError
from policies.keys import fingerprint, parse_public_key
from policies.schema import Frozen, LineName, Name, Time, faults_of
from policies.yaml_file import parse_yaml


class RosterKey(Frozen):
    """One Ed25519 key of a person."""

    key: Annotated[str, Field(max_length=500)]
    """The OpenSSH public key line."""
    valid_from: Time | None = None
    """Decisions before count for nothing."""
    valid_until: Time | None = None
    """Decisions from then on count for nothing."""
    revoked: Time | None = None
    """When the key was withdrawn: nothing that is signed with it counts any more."""

    @field_validator("key")
    @classmethod
    def _readable(cls, line: str) -> str:
        try:
            parse_public_key(line)
        except DecisionError as error:
            raise ValueError(str(error)) from None
        return line

    @property
    def public(self) -> Ed25519PublicKey:
        """The key itself."""
        return parse_public_key(self.key)

    def fault_at(self, time: datetime) -> str | None:
        """Why the key does not hold at a time; None where it does."""
        if self.revoked is not None and time >= self.revoked:
            return "revoked_key"
        if self.valid_from is not None and time < self.valid_from:
            return "key_not_yet_valid"
        if self.valid_until is not None and time >= self.valid_until:
            return "expired_key"
        return None


class Person(Frozen):
    """Somebody who may decide. All their keys are theirs: two keys are one voice."""

    name: Name
    also_known_as: tuple[Name, ...] = ()
    """Other names of the same person, such as a login: a requester of that name is this person."""
    roles: Annotated[tuple[Name, ...], Field(min_length=1)]
    lines: Annotated[tuple[LineName | Literal["*"], ...], Field(min_length=1)] = ("*",)
    """The model lines they decide on; `*` is all."""
    keys: Annotated[tuple[RosterKey, ...], Field(min_length=1)]

    def is_known_as(self, name: str) -> bool:
        """Whether the name is theirs, whatever its case, blanks and invisible characters."""
        return _plain(name) in {_plain(own) for own in (self.name, *self.also_known_as)}

    def decides_on(self, line: str) -> bool:
        """Whether the line is theirs to decide on."""
        return "*" in self.lines or line in self.lines


@dataclass(frozen=True)
class Holder:
    """A key and whose it is."""

    person: Person
    key: RosterKey


class Roster(Frozen):
    """Everybody who may decide; the file is usually called approvers.yaml."""

    format: Literal["avss-roster-1"] = "avss-roster-1"
    people: Annotated[tuple[Person, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = Counter(
            name
            for person in self.people
            for name in {_plain(own) for own in (person.name, *person.also_known_as)}
        )
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"two people are called {twice[0]}")
        keys = Counter(fingerprint(key.public) for _, key in self._keys())
        if shared := sorted(key for key, count in keys.items() if count > 1):
            raise ValueError(f"the key {shared[0]} stands twice; a key belongs to one person")
        return self

    def _keys(self) -> Iterator[tuple[Person, RosterKey]]:
        return ((person, key) for person in self.people for key in person.keys)

    def holder(self, keyid: str) -> Holder | None:
        """Whose key has this fingerprint."""
        for person, key in self._keys():
            if fingerprint(key.public) == keyid:
                return Holder(person, key)
        return None

    def eligible(
        self, *, line: str | None, roles: tuple[str, ...], requester: str | None, now: datetime
    ) -> tuple[Person, ...]:
        """Those who could decide on a line now, having one of the roles and not having asked.

        `line` or `requester` None: on any line, whoever asks.
        """
        return tuple(
            person
            for person in self.people
            if (line is None or person.decides_on(line))
            and set(person.roles) & set(roles)
            and not (requester is not None and person.is_known_as(requester))
            and any(key.fault_at(now) is None for key in person.keys)
        )

    def document(self) -> bytes:
        """The canonical JSON that is stored as evidence; `digest` names it."""
        return canonical.canonical_bytes(self)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of `document()`."""
        return canonical.digest(self.document())


def parse_roster(content: str | bytes, where: str = "roster") -> Roster:
    """A roster from YAML or JSON text. Raises PolicyError naming every wrong field."""
    try:
        return Roster.model_validate(parse_yaml(content, where))
    except ValidationError as error:
        raise PolicyError(f"{where}: " + " ".join(faults_of(error, Roster))) from None


def load_roster(path: Path) -> Roster:
    """A roster from its file. Raises PolicyError where it cannot be used."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}. Name the roster of approvers.") from None
    return parse_roster(content, str(path))


def _plain(name: str) -> str:
    """The name without what is not seen in it: case, blanks, how its characters are coded."""
    seen = "".join(one for one in name if unicodedata.category(one) not in ("Cf", "Cc"))
    return " ".join(unicodedata.normalize("NFKC", seen).casefold().split())
