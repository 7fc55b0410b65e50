"""Whom a document's approvals name, and whether they are there."""

from collections.abc import Collection, Iterator, Sequence

from headrace.workflow.document import Document

from headrace_control.workflows.gates import Notice


def deciders(document: Document) -> Sequence[str]:
    """Every member and key that an approval names, once."""
    return sorted({name for _, name in _named(document)})


def unknown_deciders(document: Document, unknown: Collection[str]) -> list[Notice]:
    """A notice for each place that names one of `unknown`. No problem: they may be invited, or issued, later."""
    return [
        Notice(
            path,
            f"`{name}` is no member, and none is invited by this address: invite them, or they can not decide"
            if "@" in name
            else f"there is no API key `{name}`: issue one, or name a member by e-mail address",
            "UNKNOWN_MEMBER",
        )
        for path, name in _named(document)
        if name in unknown
    ]


def _named(document: Document) -> Iterator[tuple[str, str]]:
    for n, step in enumerate(document.steps):
        for m, name in enumerate(step.approval.members if step.approval is not None else ()):
            yield f"steps[{n}].approval.members[{m}]", name
