"""What people say of a schedule: as it is checked, and as the audit digests it."""

from headrace.errors import Problem
from headrace.json_types import JsonObject

from headrace_control.schedules.cron import NoSuchZone, NotCron, read_cron
from headrace_control.schedules.deciding import MAX_MISSED
from headrace_control.schedules.inputs import input_problems
from headrace_control.schedules.model import Plan

CRON_MEND = "Write minute, hour, day of month, month and day of week, as `30 2 * * MON-FRI`; or `@daily`."


def plan_problems(plan: Plan) -> list[Problem]:
    """What is wrong with a plan by itself."""
    problems = input_problems(plan.input)
    try:
        read_cron(plan.cron, plan.time_zone)
    except NotCron as error:
        problems.append(Problem("cron", f"this is no cron expression: {error}", CRON_MEND, "BAD_CRON"))
    except NoSuchZone:
        mend = "Write a name of the IANA database, as `Europe/Berlin` or `UTC`."
        problems.append(Problem("timeZone", "there is no such time zone", mend, "UNKNOWN_TIME_ZONE"))
    if not 1 <= plan.missed_limit <= MAX_MISSED:
        mend = f"Write a number from 1 to {MAX_MISSED}."
        problems.append(Problem("missedLimit", "out of range", mend))
    return problems


def as_json(plan: Plan) -> JsonObject:
    """As the audit digests it."""
    return {
        "workflow": plan.workflow,
        "version": plan.version,
        "cron": plan.cron,
        "timeZone": plan.time_zone,
        "input": plan.input,
        "missed": plan.missed,
        "missedLimit": plan.missed_limit,
        "overlap": plan.overlap,
    }
