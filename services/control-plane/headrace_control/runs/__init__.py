"""Runs: start, read, cancel, and watch them change."""
