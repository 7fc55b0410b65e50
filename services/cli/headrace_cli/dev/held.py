"""python -m headrace_cli.dev.held SERVICE: load a service's code now, run it when standard input ends.

To load it is most of what a start takes, and is done while what the service needs is still being made.
"""

import sys

from headrace.starting import load_main

main = load_main(f"{sys.argv.pop(1)}.main")
sys.stdin.buffer.read()
main()
