"""KPI outcomes are kept by what they depend on, and by nothing else."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from tasks.measuring.kept_outcomes import Kept, measure_or_recall

TEXT = {"name": "text", "kind": "perplexity", "text": "{said}"}
BYTES = TEXT | {"name": "bytes", "metrics": ["byte_perplexity"]}
RECORDS = [{"said": f"the parcel of order {number} was late"} for number in range(4)]


class Shelf:
    """Loads a tiny model, and counts how often."""

    def __init__(self, folder: Path, model: Any, tokenizer: Any) -> None:
        self.folder, self.model, self.tokenizer, self.loads = folder, model, tokenizer, 0

    def load(self) -> tuple[Any, Any]:
        self.loads += 1
        return self.model, self.tokenizer

    def measure(self, *kpis: dict[str, Any], records: Any = RECORDS, **other: Any) -> Kept:
        options = {"digest": "d1", "device": "cpu", "folder": lambda: self.folder} | other
        return measure_or_recall(self.load, load_kpis({"kpis": list(kpis)}), records, **options)


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    words = ["<pad>", "<unk>", *["the", "parcel", "of", "order", "0", "1", "2", "3", "was", "late"]]
    inner = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>"
    )
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(words), num_hidden_layers=1, **small)
    (tmp_path / "kept").mkdir()
    return Shelf(tmp_path / "kept", LlamaForCausalLM(config).eval(), tokenizer)


def test_the_same_question_is_asked_once(shelf):
    first, second = shelf.measure(TEXT), shelf.measure(TEXT)
    assert shelf.loads == 1
    assert (first.reused, second.reused) == ((), ("text",))
    assert second.outcomes.to_json() == first.outcomes.to_json()


def test_a_new_kpi_is_measured_beside_what_is_kept(shelf):
    shelf.measure(TEXT)
    both = shelf.measure(BYTES, TEXT)
    assert both.reused == ("text",)
    assert [kpi.name for kpi in both.outcomes.kpis] == ["bytes", "text"]
    assert both.outcomes.suite == load_kpis({"kpis": [BYTES, TEXT]}).digest


@pytest.mark.parametrize(
    "other",
    [
        {"digest": "d2"},
        {"digest": None},
        {"device": "cuda"},
        {"records": RECORDS[:3]},
        {"records": [{**RECORDS[0], "said": "something else"}, *RECORDS[1:]]},
        {"reuse": False},
    ],
)
def test_whatever_numbers_depend_on_is_measured_anew(shelf, other):
    shelf.measure(TEXT)
    assert shelf.measure(TEXT, **other).reused == ()
    assert shelf.loads == 2


def test_a_broken_or_foreign_file_is_measured_again(shelf):
    first = shelf.measure(TEXT)
    (path,) = shelf.folder.iterdir()
    for content in ("{", "{}", path.read_text().replace('"text"', '"other"')):
        path.write_text(content)
        again = shelf.measure(TEXT)
        assert again.reused == ()
        assert again.outcomes.to_json() == first.outcomes.to_json()
    assert [one.suffix for one in shelf.folder.iterdir()] == [".json"]


def test_no_record_text_is_kept(shelf):
    shelf.measure(TEXT)
    assert not any("parcel" in path.read_text() for path in shelf.folder.iterdir())


def test_a_user_s_function_is_called_every_time(shelf, tmp_path, monkeypatch):
    (tmp_path / "my_kpi.py").write_text("def one(model, tokenizer, records):\n    return [1.0] * 4")
    monkeypatch.syspath_prepend(tmp_path)
    own = {"name": "own", "kind": "custom", "function": "my_kpi:one", "higher_is_better": True}
    shelf.measure(own)
    assert shelf.measure(own).reused == ()


def test_without_a_place_to_keep_things_it_measures_all_the_same(shelf):
    def nowhere() -> Path:
        raise PermissionError("read-only")

    assert shelf.measure(TEXT, folder=nowhere).reused == ()
    shelf.measure(TEXT, folder=lambda: Path("/proc/nowhere"))
    assert shelf.measure(TEXT, folder=lambda: Path("/proc/nowhere")).reused == ()


def test_what_was_measured_before_a_failure_is_kept(shelf):
    with pytest.raises(InputError, match="there is no field 'missing'"):
        shelf.measure(TEXT, BYTES | {"text": "{missing}"})
    assert shelf.measure(TEXT, BYTES).reused == ("text",)
