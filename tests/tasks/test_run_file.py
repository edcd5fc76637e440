"""Run files: what is wrong is named, with the nearest known name; paths are the file's own."""

import pytest
import yaml

from tasks.errors import RunFileError
from tasks.run_file import RunFile

GOOD = {
    "line": "support",
    "requester": "mia",
    "model": {"source": "model"},
    "data": {"uri": "s3://data/x", "fields": {"text": "body"}},
    "kpis": "kpis.yaml",
    "buckets": {"work": "w-bucket", "ledger": "l-bucket"},
}


def load(folder, **changes):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return RunFile.load(path)


def test_paths_are_seen_from_the_run_file(tmp_path):
    (tmp_path / "model").mkdir()
    run = load(tmp_path)
    assert run.seen(run.model.source) == str(tmp_path / "model")
    assert run.seen("kpis.yaml") == "kpis.yaml"  # there is no such file
    assert run.policy == "standard"


def test_what_is_recorded_of_a_run_holds_no_path_of_the_machine(tmp_path):
    (tmp_path / "model").mkdir()
    assert str(tmp_path) not in load(tmp_path).model_dump_json()


def test_resources_that_nobody_would_read_are_refused(tmp_path):
    with pytest.raises(RunFileError, match=r"execution: ray alone; add that, or leave them out"):
        load(tmp_path, resources={"gpus": 1})
    assert load(tmp_path, execution="ray", resources={"gpus": 1}).resources.gpus == 1


def test_a_hub_id_and_an_s3_address_stay_as_they_are(tmp_path):
    run = load(tmp_path)
    assert run.seen("org/name") == "org/name"
    assert run.seen("s3://b/m") == "s3://b/m"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"sorce": "x"}}, ["model.sorce", "source"]),
        ({"line": "Bad Name"}, ["line"]),
        ({"language": "fr"}, ["language", "en"]),
        ({"data": {"uri": "s3://b/x", "fields": {}}}, ["data.fields.text"]),
        ({"polcy": "strict"}, ["polcy", "policy"]),
    ],
)
def test_a_wrong_field_is_named(tmp_path, changes, words):
    with pytest.raises(RunFileError) as caught:
        load(tmp_path, **changes)
    assert all(word in str(caught.value) for word in words)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", ["- a list", "line: [unclosed", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path, content):
    path = tmp_path / "run.yaml"
    path.write_text(content)
    with pytest.raises(RunFileError):
        RunFile.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunFileError, match=r"nowhere\.yaml"):
        RunFile.load(tmp_path / "nowhere.yaml")
