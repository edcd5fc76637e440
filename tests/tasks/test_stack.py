"""The local stack: starts, stays, ends, and leaves nothing behind when something goes wrong."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deployments.home import Home, ProcessRecord, StackRecord
from deployments.services import MLFLOW, SEAWEEDFS, Service
from deployments.stack import Health, Stack
from tasks.errors import StackError
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore


def service(code: str, name: str = "fake", grace: float = 10.0) -> Service:
    """A service that runs Python `code`, with its port as `sys.argv[1]`."""
    return Service(
        name=name,
        purposes=("http",),
        health="/",
        command=lambda _, ports: [sys.executable, "-c", code, str(ports["http"])],
        settings=lambda *_: {},
        grace=grace,
    )


SERVE = """
import http.server, sys
http.server.HTTPServer(
    ("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""
HANG = "import time; time.sleep(600)"


@pytest.fixture
def stacks(tmp_path: Path):
    """Makes stacks in one home, and ends all of them after the test."""
    made = []

    def make(*services: Service) -> Stack:
        made.append(Stack(tmp_path / "home", services))
        return made[-1]

    yield make
    for stack in made:
        stack.down()


def pid_of(stack: Stack, name: str = "fake") -> int:
    return stack.home.record().services[name].pid


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_up_is_safe_to_repeat_and_down_ends_it(stacks):
    stack = stacks(service(SERVE))
    (first,) = stack.up()
    assert stack.up() == (first,) == stack.status()
    assert first.health is Health.up
    assert stack.down() == ("fake",)
    assert gone(first.pid)
    assert stack.down() == ()
    assert stack.status()[0].health is Health.down


def test_data_and_ports_survive_down_and_up(stacks):
    stack = stacks(SEAWEEDFS)
    (before,) = stack.up()
    ObjectStore("avss-work", client=new_client(stack.environment())).put("k", b"kept")
    stack.down()
    (after,) = stack.up()
    assert after.url == before.url
    assert ObjectStore("avss-work", client=new_client(stack.environment())).get("k") == b"kept"


def test_a_taken_port_is_told_and_another_one_chosen_with_the_same_data(stacks):
    stack = stacks(SEAWEEDFS)
    (before,) = stack.up()
    ObjectStore("avss-work", client=new_client(stack.environment())).put("k", b"kept")
    stack.down()
    told = []
    port = stack.home.record().ports["seaweedfs"]["http"]
    with socket.create_server(("127.0.0.1", port)):
        (after,) = stack.up(report=told.append)
    assert any(f"port {port} is taken" in message for message in told)
    assert after.url != before.url
    assert ObjectStore("avss-work", client=new_client(stack.environment())).get("k") == b"kept"


def test_a_service_killed_from_outside_is_seen_and_started_again(stacks):
    stack = stacks(service(SERVE))
    stack.up()
    killed = pid_of(stack)
    os.kill(killed, signal.SIGKILL)
    psutil.Process(killed).wait(5)
    assert stack.status()[0].health is Health.down
    stack.up()
    assert stack.status()[0].health is Health.up
    assert pid_of(stack) != killed


def test_a_service_that_does_not_answer_is_replaced(stacks):
    stack = stacks(service(SERVE, grace=0.5))
    stack.up()
    hung = pid_of(stack)
    os.kill(hung, signal.SIGSTOP)
    assert stack.status()[0].health is Health.unwell
    stack.up()
    assert gone(hung)
    assert stack.status()[0].health is Health.up


def test_a_pid_that_became_another_programs_is_left_alone(stacks):
    stack = stacks(service(SERVE))
    bystander = subprocess.Popen([sys.executable, "-c", HANG], start_new_session=True)
    try:
        stale = ProcessRecord(pid=bystander.pid, created=1.0, ports={"http": 1})
        stack.home.write(StackRecord(services={"fake": stale}))
        assert stack.status()[0].health is Health.down
        assert stack.down() == ()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_what_a_dead_service_left_running_is_ended_too(stacks):
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {HANG!r}])\n{SERVE}"
    stack = stacks(service(parent))
    stack.up()
    leader = psutil.Process(pid_of(stack))
    (child,) = leader.children()
    leader.kill()
    leader.wait(5)
    assert stack.down() == ("fake",)
    assert gone(child.pid)


def test_sockets_outside_the_home_are_removed(stacks):
    stack = stacks(SEAWEEDFS)
    stack.up()
    ports = stack.home.record().ports["seaweedfs"].values()
    stack.down()
    assert not [port for port in ports if list(Path("/tmp").glob(f"*-{port}.sock"))]  # noqa: S108


def test_a_service_that_will_not_end_is_ended(stacks):
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVE}"
    stack = stacks(service(stubborn, grace=0.5))
    stack.up()
    pid = pid_of(stack)
    assert stack.down() == ("fake",)
    assert gone(pid)


def test_a_failed_start_shows_the_log_without_secrets_and_ends_the_others(stacks):
    secret = Home(stacks().home.path).credentials().secret_key
    broken = service(f"import sys; sys.exit('cannot open the pod bay door, {secret}')", "broken")
    stack = stacks(service(SERVE), broken)
    told = []
    with pytest.raises(StackError, match="cannot open the pod bay door") as caught:
        stack.up(report=told.append)
    assert "broken ended while starting" in str(caught.value)
    assert secret not in str(caught.value)
    assert {status.health for status in stack.status()} == {Health.down}
    assert "fake: stopped" in told


def test_a_service_that_never_answers_meets_the_deadline(stacks):
    stack = stacks(service(HANG))
    started = time.monotonic()
    with pytest.raises(StackError, match="did not answer in time"):
        stack.up(deadline=1)
    assert time.monotonic() - started < 30
    assert stack.status()[0].health is Health.down


def test_interrupted_up_leaves_nothing_but_what_was_there(stacks):
    stacks(service(SERVE, "before")).up()
    stack = stacks(service(SERVE, "before"), service(SERVE, "first"), service(HANG, "second"))
    running = []

    def interrupt(message: str) -> None:
        if message == "first: ready":
            running.extend(record.pid for record in stack.home.record().services.values())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack.up(report=interrupt)
    assert len(running) == 3
    assert [status.health for status in stack.status()] == [Health.up, Health.down, Health.down]


def test_two_commands_do_not_work_on_one_home(stacks):
    stack = stacks(service(SERVE))

    def second(_: str) -> None:
        stacks(service(SERVE)).down()

    with pytest.raises(StackError, match="Another `avss stack` command"):
        stack.up(report=second)


def test_servers_outlive_the_program_that_started_them(stacks):
    stack = stacks(SEAWEEDFS)
    code = (
        "import sys, pathlib; from deployments.stack import Stack; "
        "from deployments.services import SEAWEEDFS; "
        "Stack(pathlib.Path(sys.argv[1]), (SEAWEEDFS,)).up()"
    )
    subprocess.run([sys.executable, "-c", code, str(stack.home.path)], check=True)
    assert stack.status()[0].health is Health.up
    assert stack.down() == ("seaweedfs",)


def test_servers_do_not_see_the_users_own_settings(stacks, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://production/api")
    monkeypatch.setenv("AWS_PROFILE", "production")
    stack = stacks(service(f"import os; print(sorted(os.environ), flush=True)\n{SERVE}"))
    stack.up()
    log = stack.home.log("fake").read_text()
    assert "PREFECT_API_URL" not in log
    assert "AWS_PROFILE" not in log
    assert "DO_NOT_TRACK" in log


def test_what_is_written_down_is_for_the_owner_only(stacks):
    stack = stacks(service(SERVE))
    stack.home.credentials()
    stack.up()
    for name in ("credentials.json", "stack.json"):
        assert (stack.home.path / name).stat().st_mode & 0o077 == 0
    assert stack.home.credentials().secret_key not in repr(stack.home.credentials())


def test_credentials_are_made_once(tmp_path: Path):
    assert Home(tmp_path).credentials() == Home(tmp_path).credentials()
    assert Home(tmp_path).credentials() != Home(tmp_path / "other").credentials()


def test_a_damaged_record_is_told(stacks):
    stack = stacks(service(SERVE))
    stack.home.folder()
    record = stack.home.path / "stack.json"
    record.write_text('{"services": 1}')
    with pytest.raises(StackError, match="is damaged"):
        stack.up()
    record.unlink()


def test_a_stack_that_was_never_started_has_no_environment(stacks):
    with pytest.raises(StackError, match="avss stack up"):
        stacks(SEAWEEDFS, MLFLOW).environment()


def test_only_the_ledgers_bucket_is_locked_and_the_data_is_versioned(s3):
    client = new_client()
    assert client.get_bucket_versioning(Bucket=s3.names.data)["Status"] == "Enabled"
    lock = client.get_object_lock_configuration(Bucket=s3.names.ledger)
    assert lock["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"
    with pytest.raises(client.exceptions.ClientError):
        client.get_object_lock_configuration(Bucket=s3.names.work)


def test_nobody_comes_in_without_credentials(s3):
    with pytest.raises(Exception, match="denied access"):
        ObjectStore(
            s3.names.work,
            client=new_client(
                s3.stack.environment()
                | {"AWS_ACCESS_KEY_ID": "x" * 20, "AWS_SECRET_ACCESS_KEY": "y" * 40}
            ),
        ).put("k", b"x")
