"""python -m headrace_runner"""

from headrace_runner.main import main

main()
