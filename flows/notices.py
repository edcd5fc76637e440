"""Telling people through Prefect's notification blocks what is asked, by when, and how to answer.

A notice names lines, changes, steps and times. Figures, reasons and business text stay where access
to them is controlled: the dossier.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from prefect import get_run_logger
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block

from policies.entries import IncidentOpened
from policies.lifecycle import ChangeState, MoveState, Request
from policies.schema import Step
from tasks.record.line_view import LineView
from tasks.run_file import RunFile


@dataclass(frozen=True)
class Notice:
    """One message; `key` names the occasion, so that it is told once."""

    key: str
    subject: str
    body: str


def tell(view: LineView, run: RunFile, notice: Notice) -> int:
    """Send a notice through every block of the run file that did not carry it yet.

    A block that fails is logged and tried again at the next occasion; it never stops a change.

    Returns:
        How many blocks carried it now.
    """
    sent = 0
    told = view.work.below(f"notices/{notice.key}")
    for slug in run.notifications.blocks:
        mark = hashlib.sha256(slug.encode()).hexdigest()[:16]
        if told.exists(mark):
            continue
        try:
            _block(slug).notify(notice.body, notice.subject)
        except Exception as error:  # noqa: BLE001 - whatever a block's service raises
            get_run_logger().warning(
                "The notification block %s failed (%s); it is tried again by the next run.",
                slug,
                type(error).__name__,
            )
            continue
        told.put(mark, b"")
        sent += 1
    return sent


def asked(run: RunFile, change: ChangeState, step: Step) -> Notice:
    """People are asked for a decision."""
    return _question(run, change, step, "asked")


def reminder(run: RunFile, change: ChangeState, step: Step) -> Notice:
    """The same again, before the time is up."""
    return _question(run, change, step, "reminder")


def incident_opened(run: RunFile, incident: IncidentOpened) -> Notice:
    """The model in use was found below its floor."""
    texts, line, number = _TEXTS[run.language], run.line, incident.number
    body = texts["incident_body"].format(version=incident.version, line=line)
    return Notice(
        f"{line}/incident-{number}", texts["incident"].format(line=line, number=number), body
    )


def move_asked(run: RunFile, move: MoveState) -> Notice:
    """People are asked to put another version in use, by hand or for an incident."""
    texts, asked_for = _TEXTS[run.language], move.asked
    what = texts[asked_for.move.action].format(version=asked_for.move.version)
    lines = [
        texts["until"].format(until=f"{asked_for.expires:%Y-%m-%d %H:%M} UTC"),
        texts["evidence"].format(evidence=asked_for.evidence),
        texts["answer"],
        f"  avss approve {move.change} --step alias --key PATH --reason TEXT",
        f"  avss reject {move.change} --step alias --key PATH --reason TEXT",
    ]
    subject = texts["asked"].format(change=move.change, what=what)
    return Notice(f"{run.line}/move-{asked_for.number}", subject, "\n".join(lines))


def move_over(run: RunFile, move: MoveState) -> Notice:
    """Another version is in use now, or stays out of it."""
    if move.over is None:
        raise ValueError("the move is still asked for")
    texts, asked_for = _TEXTS[run.language], move.asked.move
    what = texts[asked_for.action].format(version=asked_for.version)
    outcome = texts[getattr(move.over, "outcome", "moved")]
    return Notice(
        f"{run.line}/move-{move.asked.number}-over",
        texts["over"].format(line=run.line, what=what, outcome=outcome),
        texts["over_body"].format(line=run.line),
    )


def found_otherwise(run: RunFile, findings: int, when: datetime) -> Notice:
    """Registry or files are not as the record says; told once a day."""
    texts = _TEXTS[run.language]
    body = texts["audit_body"].format(count=findings, line=run.line)
    return Notice(f"{run.line}/audit-{when:%Y-%m-%d}", texts["audit"].format(line=run.line), body)


def _question(run: RunFile, change: ChangeState, step: Step, kind: str) -> Notice:
    request = change.request(step)
    if request is None:
        raise ValueError("nobody was asked about this")
    texts = _TEXTS[run.language]
    what = texts["promotion"] if step == "promotion" else texts["step"].format(step=step)
    subject = texts[kind].format(change=change.id, what=what)
    return Notice(f"{change.id}/{step}/{kind}", subject, _body(texts, change, step, request))


def _body(texts: Mapping[str, str], change: ChangeState, step: Step, request: Request) -> str:
    asked_for = request.asked
    lines = [
        texts["override"] if asked_for.override else texts["passes"],
        texts["until"].format(until=f"{asked_for.expires:%Y-%m-%d %H:%M} UTC"),
        texts["evidence"].format(evidence=asked_for.evidence),
        texts["read"],
        f"  avss dossier {change.id} --step {step}",
        texts["answer"],
        f"  avss approve {change.id} --step {step} --key PATH --reason TEXT",
        f"  avss reject {change.id} --step {step} --key PATH --reason TEXT",
    ]
    return "\n".join(lines)


def _block(slug: str) -> NotificationBlock:
    block = Block.load(slug)
    if not isinstance(block, NotificationBlock):
        raise TypeError(f"{slug} is no notification block")
    return block


_TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "asked": "Decision wanted: {change}, {what}",
        "reminder": "Reminder, decision wanted: {change}, {what}",
        "promotion": "promotion",
        "step": "step {step}",
        "passes": "The rules let it pass.",
        "override": "THE RULES REFUSED IT. A yes would override them.",
        "until": "Answer until {until}; without an answer the request expires.",
        "evidence": "Evidence {evidence}",
        "read": "Read the page first:",
        "answer": "Then sign your answer with your own key:",
        "rollback": "rollback to version {version}",
        "promote": "version {version} in use",
        "over": "Line {line}: {what}: {outcome}",
        "over_body": "Versions and aliases now:\n  avss registry list {line}",
        "moved": "done",
        "rejected": "rejected",
        "expired": "expired without an answer",
        "overtaken": "overtaken by another promotion",
        "incident": "Incident {number} on line {line}",
        "incident_body": "On fresh data, version {version} is below the floor that its policy "
        "sets. What was measured:\n  avss status {line} and the line's experiment in MLflow\n"
        "Back to the version before:\n  avss registry rollback {line} --reason TEXT",
        "audit": "Line {line}: registry or files differ from the record",
        "audit_body": "{count} things are not as the record says. See them:\n"
        "  avss registry audit {line}",
    },
    "ja": {
        "asked": "承認依頼: {change}、{what}",
        "reminder": "再通知・承認依頼: {change}、{what}",
        "promotion": "本番昇格",
        "step": "ステップ {step}",
        "passes": "ルール判定は合格です。",
        "override": "ルール判定は不合格です。承認するとルールを上書きします。",
        "until": "回答期限: {until}。回答がなければ依頼は失効します。",
        "evidence": "証跡 {evidence}",
        "read": "まず資料をお読みください:",
        "answer": "次に、ご自身の鍵で署名して回答してください:",
        "rollback": "バージョン {version} への切り戻し",
        "promote": "バージョン {version} の使用",
        "over": "ライン {line}: {what}: {outcome}",
        "over_body": "現在のバージョンとエイリアス:\n  avss registry list {line}",
        "moved": "完了",
        "rejected": "却下",
        "expired": "回答がないまま失効",
        "overtaken": "別の昇格により取り消し",
        "incident": "インシデント {number}: ライン {line}",
        "incident_body": "新しいデータで、バージョン {version} がポリシーの下限を下回りました。"
        "測定結果:\n  avss status {line} および MLflow の同名の実験\n"
        "前のバージョンに戻すには:\n  avss registry rollback {line} --reason TEXT",
        "audit": "ライン {line}: レジストリまたはファイルが記録と一致しません",
        "audit_body": "記録と異なる点が {count} 件あります。確認:\n  avss registry audit {line}",
    },
}
