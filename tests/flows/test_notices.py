"""Notices through Prefect's own blocks: to a real HTTP server on this machine."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from prefect import flow

from flows.notices import Notice, asked, move_asked, move_over, reminder, tell
from policies.entries import DecisionRequested
from policies.lifecycle import Request
from tasks.run_file import RunFile
from tests.flows.parts import plain_run

NOTICE = Notice("line-0001/1/asked", "Decision wanted", "Answer until noon.")


def run_file(*blocks: str, language: str = "en") -> RunFile:
    told = {"notifications": {"blocks": list(blocks)}, "language": language}
    return RunFile.model_validate(plain_run("line", "w-bucket", "l-bucket", **told))


def told(webhook, run: RunFile, notice: Notice = NOTICE) -> int:
    """In a flow, as it is told."""

    @flow(name="telling")
    def telling() -> int:
        return tell(webhook.view, run, notice)

    return telling()


@pytest.mark.stack
def test_every_block_carries_a_notice_once_and_a_failing_one_again(webhook):
    run = run_file(webhook.slug, "custom-webhook/nobody-made-it")
    assert told(webhook, run) == 1
    assert told(webhook, run) == 0
    assert webhook.posts == [{"title": NOTICE.subject, "text": NOTICE.body}]
    webhook.status = 500
    other = Notice("line-0001/2/asked", "Another", "one")
    assert told(webhook, run, other) == 0
    webhook.status = 200
    assert told(webhook, run, other) == 1
    assert webhook.posts[-1]["title"] == "Another"


def question() -> SimpleNamespace:
    """An open question, as far as a notice looks at it."""
    asks = DecisionRequested(
        step=2, evidence="e" * 64, candidate="c" * 64, expires="2026-03-09T12:00:00Z"
    )
    request = Request(asks, asks.expires)
    return SimpleNamespace(id="line-0001", request=lambda step: request)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_notice_says_what_is_asked_by_when_and_how_to_answer(language):
    for notice in (
        asked(run_file(language=language), question(), 2),
        reminder(run_file(language=language), question(), 2),
    ):
        assert "line-0001" in notice.subject
        assert "2" in notice.subject
        assert "2026-03-09 12:00 UTC" in notice.body
        assert "e" * 64 in notice.body
        assert "avss approve line-0001 --step 2" in notice.body
        assert "avss reject line-0001 --step 2" in notice.body
    assert asked(run_file(language=language), question(), 2).key != notice.key


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("action", ["rollback", "promote"])
@pytest.mark.parametrize("outcome", ["moved", "rejected", "expired", "overtaken"])
def test_a_move_by_hand_is_told_when_it_is_asked_for_and_when_it_is_over(language, action, outcome):
    run = run_file(language=language)
    asks = SimpleNamespace(
        number=3,
        evidence="e" * 64,
        expires=datetime(2026, 3, 9, 12, tzinfo=UTC),
        move=SimpleNamespace(action=action, version="7"),
    )
    over = SimpleNamespace() if outcome == "moved" else SimpleNamespace(outcome=outcome)
    open_move = SimpleNamespace(change="line-0001", asked=asks, over=None)
    question = move_asked(run, open_move)
    assert "7" in question.subject
    assert "2026-03-09 12:00 UTC" in question.body
    assert "avss approve line-0001 --step alias" in question.body
    with pytest.raises(ValueError, match="still asked"):
        move_over(run, open_move)
    end = move_over(run, SimpleNamespace(change="line-0001", asked=asks, over=over))
    assert end.key != question.key
    assert "7" in end.subject
    others = [
        move_over(run, SimpleNamespace(asked=asks, over=SimpleNamespace(outcome=other))).subject
        for other in ("rejected", "expired", "overtaken")
        if other != outcome
    ]
    assert end.subject not in others
