"""What a process tells of itself at /metrics."""


def told(metrics: str, name: str) -> int | None:
    """The value of a series without labels in Prometheus's text format; None: there is none of this name."""
    for line in metrics.splitlines():
        if line.startswith(f"{name} "):
            return int(float(line.removeprefix(name)))
    return None
