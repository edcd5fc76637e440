"""All three servers together, as their clients see them."""

import json
import urllib.request

import pytest

from tasks.models.mlflow_client import new_client as mlflow_client
from tasks.s3.storage import ObjectStore

pytestmark = pytest.mark.stack


def test_mlflow_keeps_artifacts_in_s3(stack):
    client = mlflow_client()
    run = client.create_run(client.create_experiment(stack.unique))
    client.log_text(run.info.run_id, "ranking", "ranking.txt")
    stored = ObjectStore(stack.names.work, "mlflow")
    key = next(item.key for item in stored.list() if run.info.run_id in item.key)
    assert stored.get(key) == b"ranking"


def test_prefect_runs_a_flow_on_it(stack):
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    @flow(name=stack.unique)
    def double(number: int) -> int:
        return 2 * number

    with temporary_settings({PREFECT_API_URL: stack.stack.environment()["PREFECT_API_URL"]}):
        assert double(21) == 42
        with get_client(sync_client=True) as client:
            (run,) = [
                run
                for run in client.read_flow_runs()
                if client.read_flow(run.flow_id).name == stack.unique
            ]
    assert run.state.is_completed()


def test_the_pages_for_people_are_served(stack):
    for status in stack.stack.status():
        if status.name != "seaweedfs":
            with urllib.request.urlopen(status.url) as answer:  # noqa: S310 - our own server
                assert b"<html" in answer.read().lower()


def test_prefects_pages_ask_the_stacks_own_server(stack):
    api = stack.stack.environment()["PREFECT_API_URL"]
    page = api.removesuffix("/api") + "/ui-settings"
    with urllib.request.urlopen(page) as answer:  # noqa: S310 - our own server
        assert json.load(answer)["api_url"] == api
