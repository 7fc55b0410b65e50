"""Jobs that could not be read: a runner has no database, so the control plane writes them into the audit."""

from collections.abc import Mapping

from headrace.refusals.tally import Tally

from headrace_runner.control_plane import ControlPlane


def refused_jobs(control_plane: ControlPlane, queue: str) -> Tally[str]:
    """Counts those of `queue` by the reason, which is one of a few; what is not told yet when the runner dies, is in
    the dead letters alone."""

    async def tell(noted: Mapping[str, int]) -> None:
        await control_plane.refused_messages(
            [{"queue": queue, "reason": reason, "times": times} for reason, times in noted.items()]
        )

    return Tally(tell, lambda _: "more than can be told")
