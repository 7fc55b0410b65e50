"""python -m headrace_control"""

from headrace_control.main import main

main()
