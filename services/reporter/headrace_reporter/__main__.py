"""python -m headrace_reporter"""

from headrace.starting import load_main

load_main("headrace_reporter.main")()
