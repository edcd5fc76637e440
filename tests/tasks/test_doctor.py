"""Every check of the doctor, well and unwell, on real servers."""

from datetime import datetime, timedelta

import pytest

from policies.errors import DecisionError
from tasks import doctor
from tasks.doctor import diagnose
from tasks.errors import RunFileError, StorageError
from tasks.home import job_key_path
from tasks.models.signature import sign_model
from tasks.s3.storage import ObjectStore
from tests.flows.parts import write_key


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))
    for name in ("AVSS_JOB_KEY", "AVSS_MODEL_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.stack
def test_a_fit_installation_passes_every_check(stack):
    names = stack.names
    write_key(job_key_path())
    told = []
    checks = diagnose(
        work=names.work, ledger=names.ledger, data=names.data, report=lambda *of: told.append(of)
    )
    assert told == [(at + 1, 10) for at in range(10)]
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == 10
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
    with pytest.raises(RunFileError, match=r"has no key at .* ssh-keygen"):
        doctor.job_key()
    write_key(key)
    assert "owner only" in doctor.job_key()
    key.chmod(0o644)
    with pytest.raises(DecisionError, match="read by others"):
        doctor.job_key()


def test_a_model_key_is_used_or_could_be_made(tmp_path, monkeypatch):
    key = tmp_path / "new" / "model.pem"
    monkeypatch.setenv("AVSS_MODEL_KEY", str(key))
    assert "does not exist yet" in doctor.model_key()
    assert not key.parent.exists()  # nothing is made by looking
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    sign_model(tmp_path / "model")
    assert "can be used" in doctor.model_key()
    key.chmod(0o640)
    with pytest.raises(Exception, match="others may read"):
        doctor.model_key()
    key.write_text("hello")
    with pytest.raises(RunFileError, match="no unencrypted ECDSA P-256 key"):
        doctor.model_key()


def test_a_model_key_that_cannot_be_made_is_noticed(s3, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AVSS_MODEL_KEY", str(tmp_path / "file" / "model.pem"))
    checks = {it.name: it for it in diagnose(work=s3.names.work, ledger=s3.names.ledger)}
    assert not checks["model key"].ok
    for words in ("none can be made there", "openssl ecparam", "AVSS_MODEL_KEY"):
        assert words in checks["model key"].detail


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
