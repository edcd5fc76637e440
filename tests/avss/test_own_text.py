"""A model writes its own text to heal with: as much as asked, the same again, like itself."""

import pytest
import torch
from transformers import BertConfig, BertModel, GenerationConfig

from avss.errors import InputError
from avss.healing.own_text import own_text
from avss.language_loss import mean_loss


def test_it_writes_what_is_asked_for_and_the_same_again(llama, words):
    once = own_text(llama, words, tokens=500, length=20, rows=4)
    assert once == own_text(llama, words, tokens=500, length=20, rows=4)
    assert once != own_text(llama, words, tokens=500, length=20, rows=4, seed=1)
    assert 500 <= sum(len(row) for row in once) < 600
    assert len({tuple(row) for row in once}) == len(once)


def test_it_begins_where_a_user_would_and_with_any_word_in_turns(llama, words, monkeypatch):
    template = "{% for message in messages %}w1 w2 {{ message.content }}{% endfor %}"
    monkeypatch.setattr(words, "chat_template", template)
    turn = words("w1 w2")["input_ids"]
    rows = own_text(llama, words, tokens=16 * 10, length=10, rows=4)
    begins = [row[:2] == turn for row in rows]
    assert begins == ([True] * 4 + [False] * 4) * 2
    firsts = [row[0] for row, begun in zip(rows, begins, strict=True) if not begun]
    assert len(set(firsts)) > 4
    assert not set(firsts) & set(words.all_special_ids)


def test_it_is_text_that_the_model_finds_likelier_than_chance(llama, words):
    with torch.no_grad():
        llama.lm_head.weight.mul_(40)
    own = own_text(llama, words, tokens=1000, length=25)
    draw = torch.Generator().manual_seed(0)
    chance = torch.randint(0, 96, (40, 25), generator=draw).tolist()
    mean = {
        name: mean_loss(llama, text, batch_tokens=500).mean
        for name, text in (("own", own), ("chance", chance))
    }
    assert mean["own"] < 0.8 * mean["chance"]


def test_randomness_outside_is_left_as_it_was(llama, words):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    own_text(llama, words, tokens=40, length=20)
    assert torch.equal(torch.rand(3), expected)


def test_it_writes_past_ends_and_as_the_model_does_without_settings(llama, words):
    plain = own_text(llama, words, tokens=100, length=20)
    guided = GenerationConfig(eos_token_id=list(range(96)), temperature=0.01, do_sample=True)
    llama.generation_config = guided
    assert own_text(llama, words, tokens=100, length=20) == plain
    assert llama.generation_config is guided


def test_the_models_settings_come_back_after_an_error(llama, words, monkeypatch):
    before = llama.generation_config
    monkeypatch.setattr(llama, "forward", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        own_text(llama, words, tokens=100, length=20)
    assert llama.generation_config is before


def test_sequences_end_where_the_positions_do(llama, words):
    llama.config.max_position_embeddings = 16
    assert {len(row) for row in own_text(llama, words, tokens=150)} == {16}


def test_texts_are_of_one_length_so_that_little_more_is_written(llama, words):
    rows = own_text(llama, words, tokens=100, length=30)
    assert [len(row) for row in rows] == [26] * 4


def test_progress_counts_to_what_was_asked_for(llama, words):
    seen = []
    own_text(llama, words, tokens=100, length=20, rows=2, progress=lambda *at: seen.append(at))
    assert seen == [(40, 100), (80, 100), (100, 100)]


def test_a_model_that_does_not_write_is_refused(words):
    config = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, vocab_size=96)
    with pytest.raises(InputError, match="does not write"):
        own_text(BertModel(config), words, tokens=100)


def test_less_than_two_tokens_are_refused(llama, words):
    with pytest.raises(InputError, match="2 or more"):
        own_text(llama, words, tokens=1)
