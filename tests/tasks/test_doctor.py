"""Every check of the doctor, well and unwell, on real servers."""

from datetime import datetime, timedelta

import pytest

from tasks import doctor
from tasks.doctor import diagnose
from tasks.errors import StorageError
from tasks.s3.storage import ObjectStore


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))


@pytest.mark.stack
def test_a_fit_installation_passes_every_check(stack):
    names = stack.names
    told = []
    checks = diagnose(
        work=names.work, ledger=names.ledger, data=names.data, report=lambda *of: told.append(of)
    )
    assert told == [(at + 1, 9) for at in range(9)]
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == 9
    assert list(ObjectStore(names.work, "doctor").list()) == []


def test_what_is_unwell_says_what_to_do(s3, monkeypatch):
    for name in ("DO_NOT_TRACK", "PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    checks = {check.name: check for check in diagnose(work="nowhere", ledger=s3.names.work)}
    for name in ("telemetry", "S3: work bucket", "S3: ledger bucket", "Prefect", "MLflow"):
        assert not checks[name].ok
    assert "DO_NOT_TRACK" in checks["telemetry"].detail
    assert "no bucket nowhere" in checks["S3: work bucket"].detail
    assert "versioning is off" in checks["S3: ledger bucket"].detail
    assert "PREFECT_API_URL" in checks["Prefect"].advice


def test_a_bucket_without_versions_is_no_place_for_data(s3):
    checks = {check.name: check for check in diagnose(work=s3.names.work, ledger="x", data="y")}
    assert not checks["S3: data bucket"].ok
    with pytest.raises(Exception, match="keeps no versions"):
        doctor.data_bucket(s3.names.work)


def test_a_clock_that_is_off_is_noticed(s3, monkeypatch):
    class Late(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(minutes=5)

    assert "agrees" in doctor.clock(s3.names.work)
    monkeypatch.setattr(doctor, "datetime", Late)
    with pytest.raises(Exception, match=r"(299|300|301) s away"):
        doctor.clock(s3.names.work)


def test_a_key_that_others_may_read_is_noticed(tmp_path, monkeypatch):
    key = tmp_path / "key"
    monkeypatch.setenv("AVSS_JOB_KEY", str(key))
    assert "does not exist yet" in doctor.job_key()
    key.touch(0o600)
    assert "owner only" in doctor.job_key()
    key.chmod(0o644)
    with pytest.raises(Exception, match="others may read"):
        doctor.job_key()


def test_a_package_outside_its_range_is_named(monkeypatch):
    assert "range that works" in doctor.packages()
    real = doctor.metadata.version
    monkeypatch.setattr(
        doctor.metadata, "version", lambda name: "3.1.0" if name == "pandas" else real(name)
    )
    with pytest.raises(Exception, match=r"pandas 3\.1\.0"):
        doctor.packages()


def test_servers_that_do_not_answer_are_named(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for check in (doctor.prefect, doctor.mlflow):
        with pytest.raises(Exception, match="cannot be reached"):
            check()


def test_an_s3_server_that_cannot_be_reached_is_named(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be reached"):
        doctor.work_bucket(s3.names.work)
