"""Results of calls, kept for later calls of the same kind: see the steps' `cache`."""

from collections.abc import Sequence

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_reporter.changes import Result, RunRow
from headrace_reporter.lasting import dump

_sql = load("headrace_reporter")


async def write_results(db: Db, runs: Sequence[RunRow]) -> None:
    """Keep them, in the transaction that applies their events: what the fence keeps out is kept for nobody. The last
    one of a slot counts. In the slots' order, since other batches may fill the same."""
    last: dict[tuple[object, bytes], tuple[RunRow, Result]] = {}
    for run in runs:
        for result in run.results:
            last[run.tenant_id, result.slot] = run, result
    if not last:
        return
    kept = sorted(last.values(), key=lambda one: (one[0].tenant_id, one[1].slot))
    await db.execute(
        _sql.keep_results,
        [run.tenant_id for run, _ in kept],
        [result.slot for _, result in kept],
        [result.action for _, result in kept],
        [run.id for run, _ in kept],
        [result.step for _, result in kept],
        [dump(result.output) for _, result in kept],
        [result.ttl_ms for _, result in kept],
    )
