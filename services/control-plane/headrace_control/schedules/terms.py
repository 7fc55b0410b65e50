"""What is wrong with the terms of a schedule by themselves."""

from headrace.errors import Problem

from headrace_control.schedules.cron import NoSuchZone, NotCron, read_cron
from headrace_control.schedules.deciding import MAX_MISSED
from headrace_control.schedules.inputs import input_problems
from headrace_control.schedules.model import Terms

CRON_MEND = "Write minute, hour, day of month, month and day of week, as `30 2 * * MON-FRI`; or `@daily`."


def terms_problems(terms: Terms) -> list[Problem]:
    """Of its input, cron, zone and limit."""
    problems = input_problems(terms.input)
    try:
        read_cron(terms.cron, terms.time_zone)
    except NotCron as error:
        problems.append(Problem("cron", f"this is no cron expression: {error}", CRON_MEND, "BAD_CRON"))
    except NoSuchZone:
        mend = "Write a name of the IANA database, as `Europe/Berlin` or `UTC`."
        problems.append(Problem("timeZone", "there is no such time zone", mend, "UNKNOWN_TIME_ZONE"))
    if not 1 <= terms.missed_limit <= MAX_MISSED:
        mend = f"Write a number from 1 to {MAX_MISSED}."
        problems.append(Problem("missedLimit", "out of range", mend))
    return problems
