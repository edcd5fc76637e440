"""What every entry's body has in common."""

from typing import ClassVar

from policies.schema import Frozen


class Body(Frozen):
    """What an entry says. `documents` are the digests whose content an evidence pack must hold."""

    kind: ClassVar[str]
    document_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def documents(self) -> tuple[str, ...]:
        """Digests of the documents that this entry rests on."""
        named = (getattr(self, name) for name in self.document_fields)
        return tuple(digest for digest in named if digest is not None)
