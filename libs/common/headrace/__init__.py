"""What at least two services need: the workflow core, wire messages, ports and their adapters."""
