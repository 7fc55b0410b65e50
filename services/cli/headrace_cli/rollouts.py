"""`headrace rollouts`: a version that takes a share of a workflow's starts, until it is promoted or rolled back."""

from pathlib import Path
from typing import Annotated, Any

import typer
from headrace.errors import InvalidInput, NotFound, Problem

from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.document_file import read_workflow
from headrace_cli.output import cells, safe, table

_ROLLOUT = """id workflow status percent key cohorts { name values } stable { number } candidate { number }
  begunAt endedAt"""
_PUBLISH = mutation(
    "$document: JSON!, $note: String, $terms: RolloutInput!",
    "publishWorkflow(document: $document, note: $note, rollout: $terms)",
    "PublishedVersion",
    "created version { number } rollout { " + _ROLLOUT + " }",
)
_BEGIN = mutation(
    "$workflow: String!, $version: Int!, $terms: RolloutInput!, $note: String!",
    "beginRollout(workflow: $workflow, version: $version, input: $terms, note: $note)",
    "Rollout",
    _ROLLOUT,
)
_CHANGE = mutation(
    "$workflow: String!, $percent: Float, $cohorts: [CohortInput!], $note: String!",
    "changeRollout(workflow: $workflow, percent: $percent, cohorts: $cohorts, note: $note)",
    "Rollout",
    _ROLLOUT,
)
_PROMOTE = mutation(
    "$workflow: String!, $note: String!",
    "promoteRollout(workflow: $workflow, note: $note)",
    "Rollout",
    _ROLLOUT,
)
_ROLL_BACK = mutation(
    "$workflow: String!, $note: String!",
    "rollBackRollout(workflow: $workflow, note: $note)",
    "Rollout",
    _ROLLOUT,
)
_SHOW = (
    "query($workflow: String!) { rollout(workflow: $workflow) { "
    + _ROLLOUT
    + " changes { number kind percent note at actor { name } } } }"
)
_OUTCOME = """{ version { number } starts succeeded failed canceled unfinished failureRate failureRateLow
  failureRateHigh secondsP50 secondsP95 errors { code runs } deadLetters }"""
_COMPARE = (
    "query($workflow: String!) { rolloutComparison(workflow: $workflow) { since complete probability verdict rollout { "
    + _ROLLOUT
    + " } stable "
    + _OUTCOME
    + " candidate "
    + _OUTCOME
    + " } }"
)

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Its name.")]
Percent = Annotated[float, typer.Option(help="Of starts: 0 to 100, to a hundredth.")]
Key = Annotated[
    str | None, typer.Option(help="A JSONPath into the input: starts with the same value go the same way.")
]
Cohort = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=A,B", help="Values of the key that always go to the candidate; may be repeated."
    ),
]
Note = Annotated[str, typer.Option(help="Why; kept with the rollout.")]


def add_to(app: typer.Typer) -> None:
    rollouts = typer.Typer(no_args_is_help=True, help="Versions that take a share of a workflow's starts.")
    command(rollouts, "publish")(publish)
    command(rollouts, "begin")(begin)
    command(rollouts, "change")(change)
    command(rollouts, "promote")(promote)
    command(rollouts, "rollback")(roll_back)
    command(rollouts, "show")(show)
    command(rollouts, "compare")(compare)
    app.add_typer(rollouts, name="rollouts")


async def publish(
    session: Session,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A workflow document.")],
    percent: Percent = 0.0,
    key: Key = None,
    cohort: Cohort = None,
    note: Annotated[str | None, typer.Option(help="The version's.")] = None,
) -> None:
    """Publish a workflow as a candidate that takes no more than its share of starts from its first moment on."""
    terms = {"percent": percent, "key": key, "cohorts": _cohorts(cohort)}
    variables = {"document": read_workflow(file), "note": note, "terms": terms}
    async with session.client() as client:
        done = (await client.execute(_PUBLISH, variables))["done"]
    session.output.result(done)
    if done["rollout"] is None:
        session.output.say(f"version {done['version']['number']} is published already, and starts run it")
    else:
        session.output.say(_told(done["rollout"]))


async def begin(
    session: Session,
    workflow: Workflow,
    version: Annotated[int, typer.Option(help="A published version: the candidate.")],
    percent: Percent = 0.0,
    key: Key = None,
    cohort: Cohort = None,
    note: Note = "",
) -> None:
    """Let a published version take a share of the starts. The others run the newest of the other versions."""
    terms = {"percent": percent, "key": key, "cohorts": _cohorts(cohort)}
    await _act(session, _BEGIN, workflow, note, version=version, terms=terms)


async def change(
    session: Session,
    workflow: Workflow,
    percent: Annotated[float | None, typer.Option(help="Of starts: 0 to 100, to a hundredth.")] = None,
    cohort: Cohort = None,
    note: Note = "",
) -> None:
    """Give the candidate another share, or other cohorts; cohorts that are given replace all there were."""
    cohorts = None if cohort is None else _cohorts(cohort)
    await _act(session, _CHANGE, workflow, note, percent=percent, cohorts=cohorts)


async def promote(session: Session, workflow: Workflow, note: Note = "") -> None:
    """Let all starts run the candidate. Runs in flight end on their version."""
    await _act(session, _PROMOTE, workflow, note)


async def roll_back(session: Session, workflow: Workflow, note: Note = "") -> None:
    """Let all starts run the stable version. Runs in flight end on their version."""
    await _act(session, _ROLL_BACK, workflow, note)


async def show(session: Session, workflow: Workflow) -> None:
    """Tell of the workflow's open rollout, or its last one, and what was done to it."""
    async with session.client() as client:
        found = (await client.execute(_SHOW, {"workflow": workflow}))["rollout"]
    if found is None:
        raise NotFound("rollout")
    session.output.result(found)
    session.output.say(_told(found))
    for cohort in found["cohorts"]:
        session.output.say(f"[dim]{safe(cohort['name'])}: {safe(', '.join(cohort['values']))}[/]")
    shown = table("at", "what", "percent", "who", "why")
    for one in found["changes"]:
        shown.add_row(
            *cells(one["at"], one["kind"], f"{one['percent']:g}", one["actor"]["name"], one["note"])
        )
    session.output.show(shown)


async def compare(session: Session, workflow: Workflow) -> None:
    """Show how the runs of both versions fare."""
    async with session.client() as client:
        found = (await client.execute(_COMPARE, {"workflow": workflow}))["rolloutComparison"]
    if found is None:
        raise NotFound("rollout")
    session.output.result(found)
    session.output.say(_told(found["rollout"]))
    stable, candidate = found["stable"], found["candidate"]
    shown = table("", f"stable {stable['version']['number']}", f"candidate {candidate['version']['number']}")
    for name in ("starts", "succeeded", "failed", "canceled", "unfinished"):
        shown.add_row(*cells(name, stable[name], candidate[name]))
    shown.add_row(*cells("failure rate", _rate(stable), _rate(candidate)))
    for name, label in (("secondsP50", "seconds, half below"), ("secondsP95", "seconds, 95% below")):
        shown.add_row(*cells(label, _seconds(stable[name]), _seconds(candidate[name])))
    shown.add_row(*cells("errors", _errors(stable), _errors(candidate)))
    shown.add_row(*cells("dead letters", stable["deadLetters"], candidate["deadLetters"]))
    session.output.show(shown)
    session.output.say(_verdict(found))


async def _act(session: Session, document: str, workflow: str, note: str, **given: Any) -> None:
    async with session.client() as client:
        done = (await client.execute(document, {"workflow": workflow, "note": note, **given}))["done"]
    session.output.result(done)
    session.output.say(_told(done))


def _cohorts(given: list[str] | None) -> list[dict[str, Any]]:
    cohorts = []
    for one in given or ():
        name, equals, values = one.partition("=")
        if not equals:
            mend = "Write NAME=VALUE,VALUE."
            raise InvalidInput([Problem("--cohort", "a cohort has a name and values", mend)])
        cohorts.append({"name": name, "values": values.split(",")})
    return cohorts


def _told(rollout: dict[str, Any]) -> str:
    stable, candidate = rollout["stable"]["number"], rollout["candidate"]["number"]
    head = f"{safe(rollout['workflow'])}: {rollout['status']}"
    if rollout["status"] != "OPEN":
        return f"{head}, starts run {candidate if rollout['status'] == 'PROMOTED' else stable}"
    by = f", by {rollout['key']}" if rollout["key"] else ""
    share = f"candidate {candidate} takes {rollout['percent']:g}% of starts{safe(by)}"
    return f"{head}, {share}, the others run {stable}"


def _verdict(found: dict[str, Any]) -> str:
    said = {
        "WORSE": "the candidate fails more often",
        "BETTER": "the candidate fails less often",
        "UNDECIDED": "no difference of failures is shown",
    }[found["verdict"]]
    window = "" if found["complete"] else f"; only runs since {found['since']} are counted"
    return f"{said} (p = {found['probability']:.2g}){window}"


def _rate(outcome: dict[str, Any]) -> str:
    if outcome["failureRate"] is None:
        return ""
    low, high = outcome["failureRateLow"], outcome["failureRateHigh"]
    return f"{outcome['failureRate']:.2%} ({low:.2%} to {high:.2%})"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _errors(outcome: dict[str, Any]) -> str:
    return ", ".join(f"{one['code']} {one['runs']}" for one in outcome["errors"])
