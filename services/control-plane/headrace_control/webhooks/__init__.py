"""Webhooks: signed messages of external systems, each of which starts a run."""
