"""Leases on real S3: one holder at a time, taken over when the holder is gone or its time is up."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tasks.errors import LeaseError
from tasks.record.lease import Claim, Lease, _machine, held_by


def lease(s3, **options) -> Lease:
    return Lease(s3.work(), "line", **{"holder": "this test", **options})


def leave(s3, **changes) -> None:
    """A claim that somebody left, a number above what is there."""
    own = psutil.Process()
    claim = Claim(
        **{
            "holder": "the other run",
            "machine": "another machine",
            "pid": own.pid,
            "started": own.create_time(),
            "until": datetime.now(UTC) + timedelta(minutes=1),
            **changes,
        }
    )
    store = s3.work().below("leases/line")
    number = max((int(one.key.split(".")[0]) for one in store.list()), default=0) + 1
    store.put(f"{number:012d}.json", claim.model_dump_json().encode())


def test_a_second_run_is_told_who_works_and_until_when(s3):
    with lease(s3), pytest.raises(LeaseError, match=r"this test works on line until 20.* UTC"):
        lease(s3).__enter__()
    assert held_by(s3.work(), "line") is None
    with lease(s3):
        assert held_by(s3.work(), "line") == "this test"


def test_of_many_at_once_one_holds_it(s3):
    start = threading.Barrier(8)

    def attempt(_: int) -> bool:
        mine = lease(s3)
        start.wait()
        try:
            with mine:
                time.sleep(1)
                return True
        except LeaseError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_one_on_another_machine_is_waited_for_until_its_time_is_up(s3):
    leave(s3)
    with pytest.raises(LeaseError, match="the other run"):
        lease(s3).__enter__()
    leave(s3, until=datetime.now(UTC) - timedelta(seconds=1))
    with lease(s3):
        pass


def test_a_dead_process_of_this_machine_is_taken_over_from_at_once(s3):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    leave(s3, machine=_machine(), pid=process.pid, started=started)
    with pytest.raises(LeaseError):
        lease(s3).__enter__()
    process.communicate(b"\n")
    with lease(s3):
        pass


def test_it_is_renewed_while_it_is_held_and_only_the_newest_claim_is_kept(s3):
    with lease(s3, lasts=timedelta(seconds=1)) as held:
        time.sleep(2)
        held.check()
        assert held_by(s3.work(), "line") == "this test"
    assert len(list(s3.work().list("leases/line"))) <= 2


def test_whoever_was_taken_over_from_is_told(s3):
    with lease(s3, lasts=timedelta(seconds=1)) as held:
        leave(s3)
        deadline = time.monotonic() + 30
        while not held._lost and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(LeaseError, match="the other run"):
            held.check()
    assert held_by(s3.work(), "line") == "the other run"


def test_a_claim_that_cannot_be_read_holds_nobody_up(s3):
    s3.work().below("leases/line").put("000000000007.json", b"{}")
    with lease(s3):
        assert held_by(s3.work(), "line") == "this test"
