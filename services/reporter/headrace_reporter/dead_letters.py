"""What a run gave up on: steps and compensations that failed with nothing to deal with it, and steps in doubt."""

import base64
from collections.abc import Sequence
from typing import Any

import orjson
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.messages import Event
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.keys import Part, read_key
from headrace.workflow.state import EventKind, ParkReason

from headrace_reporter.changes import RunRow

_sql = load("headrace_reporter")

# Levels of JSON that a dead letter keeps of an event that is nested too deeply to be written.
_KEPT_DEPTH = 200
# Of a dead letter that is nobody's; of what is larger its beginning is kept.
MOST_BYTES = 65_536


async def write_dead_letters(db: Db, runs: Sequence[RunRow]) -> None:
    """Write them, after the rows of the steps and of their attempts; one for each step and kind of end. That of a doubt
    that was settled is closed, and makes room when the step comes into doubt again."""
    settled = [
        (run.id, event.step) for run in runs for event in run.events if event.kind is EventKind.SETTLED
    ]
    if settled:
        await db.execute(_sql.close_settled, [i for i, _ in settled], [key for _, key in settled])
    dead = [(run.id, key, _source(key)) for run in runs for key in run.unhandled]
    doubts = [(run.id, key) for run in runs for key in run.in_doubt]
    in_doubt = [run.id for run in runs if run.parked and run.parked.reason is ParkReason.IN_DOUBT]
    if in_doubt:
        doubts += [(row["run_id"], row["key"]) for row in await db.fetch(_sql.steps_in_doubt, in_doubt)]
    if doubts:
        await db.execute(_sql.drop_settled, [run_id for run_id, _ in doubts], [key for _, key in doubts])
        dead += [(run_id, key, "in_doubt") for run_id, key in doubts]
    if dead:
        await db.execute(
            _sql.add_dead_steps,
            [new_id() for _ in dead],
            [run_id for run_id, _, _ in dead],
            [key for _, key, _ in dead],
            [source for _, _, source in dead],
        )


def _source(key: str) -> str:
    return "compensation" if read_key(key).part is Part.UNDO else "step"


def kept(events: Sequence[Event]) -> JsonObject:
    """Events as a dead letter holds them, in base64 where jsonb would refuse them for the very reason why they
    could not be applied, and cut where they are nested too deeply to be written at all."""
    return kept_json([e.as_json() for e in events])


def kept_json(values: Sequence[Any]) -> JsonObject:
    """The same, of events as JSON, whatever that is."""
    whole = {"events": values}
    try:
        text = orjson.dumps(whole, default=str)
    except orjson.JSONEncodeError:  # JSON can be read that is nested deeper than it can be written
        text = orjson.dumps(_shallow(whole, _KEPT_DEPTH), default=str)
    if b"\\u0000" in text:
        return {"base64": base64.b64encode(text).decode(), "bytes": len(text)}
    kept: JsonObject = orjson.loads(text)
    return kept


def cut(body: JsonObject) -> JsonObject:
    """`body`, or of one that is larger than `MOST_BYTES` its beginning, in base64."""
    text = orjson.dumps(body)
    if len(text) <= MOST_BYTES:
        return body
    return beginning(text)


def beginning(content: bytes) -> JsonObject:
    return {"base64": base64.b64encode(content[:MOST_BYTES]).decode(), "bytes": len(content)}


def _shallow(value: Any, depth: int) -> Any:
    """`value` with what lies deeper than `depth` left out."""
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return "(nested too deeply to be kept)"
    if isinstance(value, dict):
        return {key: _shallow(item, depth - 1) for key, item in value.items()}
    return [_shallow(item, depth - 1) for item in value]
