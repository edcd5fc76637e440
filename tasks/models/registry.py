"""The model registry: a registered model is a line, a version is a published model folder.

Versions are known by the model's digest, so registering again finds what is there; aliases are led
where the record says, so that a crash between any two calls is mended by calling again. MLflow is
a view for people and serving systems; who decided what stands in the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tasks.errors import RegistryError
from tasks.models.mlflow_client import mapped_errors, new_client, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
DIGEST = "avss.digest"


@dataclass(frozen=True)
class ModelVersion:
    """One version of a line as the registry holds it."""

    line: str
    version: str
    uri: str
    digest: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return vars(self) | {"tags": dict(self.tags), "aliases": list(self.aliases)}


class Registry:
    """Versions and aliases at the server that `MLFLOW_TRACKING_URI` names.

    Every method raises RegistryError, never MLflow's errors.
    """

    def __init__(self, client: "MlflowClient | None" = None) -> None:
        self._client = client or new_client()
        self._server = tracking_uri()

    def register(
        self,
        line: str,
        *,
        digest: str,
        uri: str,
        tags: Mapping[str, str] = MappingProxyType({}),
        run_id: str | None = None,
    ) -> ModelVersion:
        """The version of this digest, made when missing; it has no alias until `point` gives one.

        `tags` (no business text) are brought up to date; `run_id` links a new version to its
        MLflow run.

        Raises:
            RegistryError: unreachable, or the digest is registered with another address.
        """
        from mlflow.exceptions import MlflowException

        with mapped_errors(self._server):
            try:
                self._client.create_registered_model(line)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            number = self._number(line, digest, uri)
            if number is None:
                made = self._client.create_model_version(
                    line, uri, run_id=run_id, tags={DIGEST: digest}, await_creation_for=0
                )
                number = str(made.version)
            for key, value in tags.items():
                self._client.set_model_version_tag(line, number, key, value)
        return self._get(line, number)

    def point(self, line: str, aliases: Mapping[str, str | None]) -> None:
        """Lead each alias to its version, or remove it (None). Safe to repeat.

        Raises:
            RegistryError: unreachable, or there is no such version; then no alias was moved.
        """
        with mapped_errors(self._server):
            for version in {one for one in aliases.values() if one is not None}:
                self._client.get_model_version(line, version)
            now = self.aliases(line)
            for alias, version in aliases.items():
                if version is None and alias in now:
                    self._client.delete_registered_model_alias(line, alias)
                elif version is not None and now.get(alias) != version:
                    self._client.set_registered_model_alias(line, alias, version)

    def current(self, line: str, alias: str = CHAMPION) -> ModelVersion | None:
        """The version that an alias names; None where the line or the alias does not exist."""
        number = self.aliases(line).get(alias)
        return self._get(line, number) if number is not None else None

    def versions(self, line: str) -> tuple[ModelVersion, ...]:
        """All versions of a line, the oldest first."""
        aliases = self.aliases(line)
        return tuple(
            _plain(found, aliases)
            for found in sorted(self._search(f"name = '{line}'"), key=lambda it: int(it.version))
        )

    def lines(self) -> tuple[str, ...]:
        """The names of all registered models, sorted."""
        names, token = [], None
        with mapped_errors(self._server):
            while token != "":
                page = self._client.search_registered_models(page_token=token)
                names += [model.name for model in page]
                token = page.token or ""
        return tuple(sorted(names))

    def _number(self, line: str, digest: str, uri: str) -> str | None:
        found = self._search(f"name = '{line}' and tag.`{DIGEST}` = '{digest}'")
        if not found:
            return None
        first = min(found, key=lambda it: int(it.version))
        if first.source != uri:
            raise RegistryError(
                f"Version {first.version} of {line} has the digest {digest} and the address "
                f"{first.source}, not {uri}. Somebody changed it; delete that version in MLflow."
            )
        return str(first.version)

    def _search(self, condition: str) -> list[Any]:
        found, token = [], None
        with mapped_errors(self._server):
            while token != "":
                page = self._client.search_model_versions(condition, page_token=token)
                found += list(page)
                token = page.token or ""
        return found

    def aliases(self, line: str) -> dict[str, str]:
        """The version of each alias; none where the line does not exist."""
        from mlflow.exceptions import MlflowException

        with mapped_errors(self._server):
            try:
                found = self._client.get_registered_model(line).aliases
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return {}
        return {alias: str(version) for alias, version in found.items()}

    def _get(self, line: str, number: str) -> ModelVersion:
        with mapped_errors(self._server):
            return _plain(self._client.get_model_version(line, number), self.aliases(line))


def _plain(found: Any, aliases: Mapping[str, str]) -> ModelVersion:
    number = str(found.version)
    return ModelVersion(
        line=found.name,
        version=number,
        uri=found.source,
        digest=found.tags.get(DIGEST, ""),
        tags=MappingProxyType(dict(found.tags)),
        aliases=tuple(sorted(alias for alias, version in aliases.items() if version == number)),
    )
