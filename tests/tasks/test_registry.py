"""The registry on a real MLflow server."""

import math

import pytest

from tasks.errors import RegistryError
from tasks.models.mlflow_client import new_client
from tasks.models.registry import Registry
from tasks.models.runs import log_step

pytestmark = pytest.mark.stack

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def registry(stack) -> Registry:
    return Registry()


def register(registry: Registry, line: str, digest: str, **tags: str):
    return registry.register(line, digest=digest, uri=f"s3://avss-work/models/{digest}", tags=tags)


def test_an_unknown_line_has_nothing(stack, registry):
    assert registry.current(stack.unique) is None
    assert registry.versions(stack.unique) == ()
    assert stack.unique not in registry.lines()


def test_a_registered_model_has_no_alias_until_it_is_given_one(stack, registry):
    made = register(registry, stack.unique, A, change="c-0001")
    assert (made.version, made.digest, made.uri) == ("1", A, f"s3://avss-work/models/{A}")
    assert made.tags["change"] == "c-0001"
    assert made.aliases == ()
    registry.point(stack.unique, {"candidate": "1"})
    assert registry.current(stack.unique, "candidate").aliases == ("candidate",)
    assert registry.current(stack.unique) is None
    assert stack.unique in registry.lines()


def test_registering_again_finds_what_is_there(stack, registry):
    first = register(registry, stack.unique, A)
    assert register(registry, stack.unique, A) == first
    assert len(registry.versions(stack.unique)) == 1


def test_a_digest_with_another_address_is_refused(stack, registry):
    register(registry, stack.unique, A)
    with pytest.raises(RegistryError, match="Somebody changed it"):
        registry.register(stack.unique, digest=A, uri="s3://elsewhere/model")


def test_aliases_are_led_where_they_shall_point_as_often_as_one_likes(stack, registry):
    for digest in (A, B, C):
        register(registry, stack.unique, digest)
    shall = {"champion": "2", "previous": "1", "candidate": "3"}
    for _ in range(2):
        registry.point(stack.unique, shall)
        assert registry.aliases(stack.unique) == shall
    aliases = {it.version: it.aliases for it in registry.versions(stack.unique)}
    assert aliases == {"1": ("previous",), "2": ("champion",), "3": ("candidate",)}
    registry.point(stack.unique, {"champion": "3", "previous": None, "candidate": None})
    assert registry.aliases(stack.unique) == {"champion": "3"}
    assert registry.current(stack.unique).digest == C


def test_pointing_at_what_does_not_exist_is_refused_and_moves_nothing(stack, registry):
    register(registry, stack.unique, A)
    registry.point(stack.unique, {"champion": "1"})
    with pytest.raises(RegistryError):
        registry.point(stack.unique, {"previous": "1", "champion": "7"})
    assert registry.aliases(stack.unique) == {"champion": "1"}


def test_a_step_is_one_run_with_its_numbers(stack):
    metrics = {"perplexity": 41.5, "auc": None, "bad": math.nan}
    run_id = log_step(stack.unique, "c-0001", "step 1", metrics, tags={"layer": "21"})
    assert log_step(stack.unique, "c-0001", "step 1", {"perplexity": 1.0}) == run_id
    assert log_step(stack.unique, "c-0001", "step 2", {}) != run_id
    run = new_client().get_run(run_id)
    assert run.data.metrics == {"perplexity": 41.5}
    assert run.data.tags["layer"] == "21"
    assert run.info.run_name == "c-0001 step 1"
    assert run.info.status == "FINISHED"


def test_no_server_is_told_at_once(stack, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RegistryError, match="cannot be reached"):
        Registry()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(RegistryError, match="No MLflow server is configured"):
        Registry()
