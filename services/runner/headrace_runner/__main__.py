"""python -m headrace_runner"""

from headrace.starting import load_main

load_main("headrace_runner.main")()
