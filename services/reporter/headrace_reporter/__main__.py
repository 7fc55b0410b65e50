"""python -m headrace_reporter"""

from headrace_reporter.main import main

main()
