"""Questions at a terminal: a bad answer is told and asked for again, before anything is written."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import typer

from flows.terminal import terminal

PARTS = ("text", "id", "label", "timestamp", "segment", "answer")
Used = TypeVar("Used")


class Questions:
    """Asks for what was not given; `quiet` takes defaults, and says what it cannot do without."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._screen = terminal(stderr=True)

    def text(self, what: str, option: str, given: str | None, default: str | None = None) -> str:
        """One answer, whatever it is."""
        if given is not None:
            return given
        if self._quiet and default is not None:
            return default
        if self._quiet:
            raise typer.BadParameter(f"{what} is needed here.", param_hint=option)
        answer: str = typer.prompt(what, default=default, err=True)
        return answer

    def good(
        self,
        what: str,
        option: str,
        given: str | None,
        use: Callable[[str], Used],
        default: str | None = None,
    ) -> Used:
        """What `use` makes of an answer; what it refuses as bad input is asked for again."""
        return self._until_good(
            lambda: use(self.text(what, option, given, default)), once=given is not None
        )

    def fields(self, records: Sequence[Mapping[str, Any]], given: Sequence[str]) -> dict[str, str]:
        """Which field plays which part: given, else as detected, confirmed one by one."""
        from tasks.starting.detecting import detect

        chosen = dict(_pair(one) for one in given)
        found = detect(records) | chosen
        if not self._quiet:
            known = list(dict.fromkeys(name for record in records for name in record))
            self._say(f"The data has the fields {', '.join(known)}.")
            for part in PARTS:
                if part not in chosen:
                    found[part] = self._field(part, found.get(part, "-"), known)
        return {part: found[part] for part in PARTS if found.get(part, "-") not in ("-", "")}

    def approvers(self, given: Sequence[str], roles: str) -> list[Any]:
        """The people who may decide; `roles` are those that the policy asks for."""
        from tasks.starting.writing import Approver

        people = [Approver.parse(one) for one in given]
        while not self._quiet and not given:
            name = typer.prompt("Approver's name (- when all are named)", default="-", err=True)
            if name == "-":
                break
            people.append(self._until_good(partial(_person, name, roles)))
        return people

    def _field(self, part: str, guess: str, known: Sequence[str]) -> str:
        while True:
            name: str = typer.prompt(f"Field for {part} (- for none)", default=guess, err=True)
            if name in known or (name == "-" and part != "text"):
                return name
            self._say(
                f"Expected one of {', '.join(known)}" + ("." if part == "text" else ", or -.")
            )

    def _until_good(self, attempt: Callable[[], Used], *, once: bool = False) -> Used:
        while True:
            try:
                return attempt()
            except Exception as error:
                if self._quiet or once or getattr(error, "exit_code", None) != 2:
                    raise
                self._say(str(error))

    def _say(self, message: str) -> None:
        self._screen.print(message, markup=False)


def _person(name: str, roles: str) -> Any:
    from tasks.starting.writing import Approver

    theirs = typer.prompt(f"Roles of {name} (the policy asks for {roles})", err=True)
    key = typer.prompt(f"Public key file of {name}", default="~/.ssh/id_ed25519.pub", err=True)
    return Approver.parse(f"{name}:{theirs}:{key}")


def _pair(text: str) -> tuple[str, str]:
    part, equals, name = text.partition("=")
    if part not in PARTS or not equals:
        raise typer.BadParameter(
            f"{text!r}: expected PART=FIELD with one of {', '.join(PARTS)}.", param_hint="--field"
        )
    return part, name
