"""What the services tell of themselves: traces, and the parts of metrics that several of them share."""
