"""What a run gave up on: steps and compensations that failed with nothing to deal with it, and steps in doubt."""

from collections.abc import Sequence

from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.keys import Part, read_key
from headrace.workflow.state import ParkReason

from headrace_reporter.projection import RunRow

_sql = load("headrace_reporter")


async def write_dead_letters(db: Db, runs: Sequence[RunRow]) -> None:
    """Write them, after the rows of the steps and of their attempts; one for each step and kind of end."""
    dead = [(run.id, key, _source(key)) for run in runs for key in run.unhandled]
    dead += [(run.id, key, "in_doubt") for run in runs for key in run.in_doubt]
    in_doubt = [run.id for run in runs if run.parked and run.parked.reason is ParkReason.IN_DOUBT]
    if in_doubt:
        dead += [
            (row["run_id"], row["key"], "in_doubt") for row in await db.fetch(_sql.steps_in_doubt, in_doubt)
        ]
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
