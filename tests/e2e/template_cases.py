"""The runs that each template is tried with, and how they have to end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LONGEST = "post-merger"
# What is filled in with an approval, by step.
FORMS: Mapping[str, Any] = {
    "manager": {"tier": "gold"},
    "report": {"findings": 2, "risk": "medium"},
    "committee": {"conditions": ["the founders stay"]},
}
Ops = Sequence[str | Sequence[str]]


@dataclass(frozen=True)
class Case:
    """One run. `undone` are the operations of the office that undo it, in order; those in a list in any order."""

    workflow: str
    ending: str
    input: Mapping[str, Any]
    rejects: str = ""
    signals: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    done: Sequence[str] = ()
    undone: Ops = ()

    @property
    def name(self) -> str:
        return f"{self.workflow}-{self.ending}"


PARTNER = {"partner": "Acme", "email": "a@acme.example"}
SIGNING = {"deal": "deal-1", "parties": ["a@a.example", "b@b.example"]}
MARKET = {"market": "north", "partners": ["one", "two"]}
STREAMS = ["create collections"] * 5
PHASE = ["create changes"] * 4
SEPARATED: Ops = ["revert changes", ["revert changes"] * 3]
TARGET = {"target": "Acme"}
OFFER = {**TARGET, "price": 100}
CASES = [
    Case(
        "partner-approval",
        "success",
        PARTNER,
        signals={"answer": {"accepted": True}},
        done=["create partners", "create drafts", "create terms", "create activations", "create messages"],
    ),
    Case(
        "partner-approval",
        "rejected",
        PARTNER,
        rejects="executive",
        signals={"answer": {"accepted": True}},
        code="REJECTED",
        done=["create partners", "create drafts", "create terms"],
        undone=["retract terms", "withdraw drafts", "drop partners"],
    ),
    Case(
        "partner-approval",
        "declined",
        PARTNER,
        signals={"answer": {"accepted": False}},
        code="PARTNER_DECLINED",
        done=["create partners", "create drafts", "create terms"],
        undone=["retract terms", "withdraw drafts", "drop partners"],
    ),
    Case(
        "due-diligence",
        "success",
        TARGET,
        done=[
            "create rooms",
            "create announcements",
            *STREAMS,
            "create registers",
            "create valuations",
            "create drafts",
            "create agreements",
        ],
    ),
    Case(
        "due-diligence",
        "rejected",
        TARGET,
        rejects="committee",
        code="REJECTED",
        done=[
            "create rooms",
            "create announcements",
            *STREAMS,
            "create registers",
            "create valuations",
            "create drafts",
        ],
        undone=[
            "withdraw drafts",
            "withdraw valuations",
            "strike registers",
            ["release collections"] * 5,
            "withdraw announcements",
            "archive rooms",
        ],
    ),
    Case(
        "signature",
        "success",
        SIGNING,
        signals={"signed": {"by": ["a", "b"]}},
        done=[
            "create announcements",
            "create requests",
            "create contracts",
            "create moves",
            "create packs",
            *["create messages"] * 2,
        ],
    ),
    Case(
        "signature",
        "expired",
        SIGNING,
        code="SIGNAL_TIMEOUT",
        done=["create announcements", "create requests"],
        undone=["void requests", "withdraw announcements"],
    ),
    Case(
        "offer-negotiation",
        "success",
        OFFER,
        signals={"response": {"answer": "counter", "price": 120}, "ruling": {"cleared": True}},
        done=["create rooms", "create terms", "create filings", "create agreements"],
    ),
    Case(
        "offer-negotiation",
        "declined",
        OFFER,
        signals={"response": {"answer": "decline"}},
        code="OFFER_DECLINED",
        done=["create rooms", "create terms", "create filings"],
        undone=[["retract terms", "withdraw filings"], "archive rooms"],
    ),
    Case(
        "market-launch",
        "success",
        MARKET,
        signals={"licence": {"granted": True}},
        done=[
            "create filings",
            *["create partners"] * 2,
            "create environments",
            "create announcements",
            *["create releases"] * 2,
        ],
    ),
    Case(
        "market-launch",
        "rejected",
        MARKET,
        rejects="scale",
        signals={"licence": {"granted": True}},
        code="REJECTED",
        done=[
            "create filings",
            *["create partners"] * 2,
            "create environments",
            "create announcements",
            "create releases",
        ],
        undone=[
            "roll-back releases",
            "withdraw announcements",
            ["drop partners", "drop partners", "tear-down environments"],
            "withdraw filings",
        ],
    ),
    Case(
        LONGEST,
        "success",
        {"company": "Acme"},
        done=["create announcements", *PHASE * 4],
    ),
    Case(
        LONGEST,
        "rejected",
        {"company": "Acme"},
        rejects="gate_30",
        code="REJECTED",
        done=["create announcements", *PHASE * 2],
        undone=[*SEPARATED, *SEPARATED, "withdraw announcements"],
    ),
    Case(
        "lead-qualification",
        "success",
        {"company": "large"},
        done=["create leads", "route leads", "create tasks"],
    ),
    Case(
        "lead-qualification",
        "rejected",
        {"company": "small"},
        code="LEAD_REJECTED",
        done=["create leads", "close leads"],
    ),
    Case(
        "compliance-scan",
        "success",
        {"controls": ["doors", "keys", "backups"]},
        done=["create reports"],
    ),
    Case(
        "compliance-scan",
        "rejected",
        {"controls": ["doors", "broken-lock"]},
        code="NOT_COMPLIANT",
        done=["create reports"],
    ),
    Case(
        "evidence-pack",
        "success",
        {"sources": ["contract", "minutes"]},
        done=["create packs"],
    ),
    Case(
        "evidence-pack",
        "rejected",
        {"sources": ["contract", "missing-minutes"]},
        code="SOURCE_MISSING",
    ),
]


# Approvals without a form.
NO_FORM = frozenset({"executive", "agreed", "board", "counter", "scale"})
