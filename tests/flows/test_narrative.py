"""Every kind of entry is told, and every action has its stage."""

from typing import get_args

import pytest

from flows.narrative import TELLINGS
from flows.optimize import MISSION
from policies.entries import BODIES, CandidateBuilt
from policies.lifecycle import Action


def test_every_kind_of_entry_is_told():
    assert set(TELLINGS) == set(BODIES.values())


def test_every_action_has_its_stage():
    assert set(MISSION) == set(get_args(Action))


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"reason": "no next token", "method": "none"}, ["! none: no next token"]),
        (
            {
                "loss_before": 3.9,
                "loss_after": 3.6,
                "warnings": ["little text"],
                "tried": [
                    {"method": "none", "loss": 3.9, "reason": ""},
                    {"method": "closed_form", "loss": 3.6, "reason": "Layer 2 not healed."},
                ],
            },
            ["! closed_form: Layer 2 not healed."],
        ),
        ({"warnings": ["little text"], "tried": [{"method": "none"}]}, ["! little text"]),
    ],
)
def test_what_stood_in_the_way_of_healing_is_told(report, said):
    body = CandidateBuilt(
        step=1, attempt=1, layer=2, parent="a" * 64, model="b" * 64, healing="none", build="c" * 64
    )
    headline, *below = TELLINGS[CandidateBuilt](body, lambda _: report)
    assert "layer 2 taken out" in str(headline)
    assert [str(one) for one in below] == said
