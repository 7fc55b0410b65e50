"""Backfills: firings of a range of a schedule's time, started later."""
