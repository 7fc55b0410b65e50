"""python -m headrace_control"""

from headrace.starting import load_main

load_main("headrace_control.main")()
