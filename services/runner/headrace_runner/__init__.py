"""The runner: claims runs, executes their steps, reports."""
