"""Dry runs: asked for by designers, walked by runners, read as a report."""
