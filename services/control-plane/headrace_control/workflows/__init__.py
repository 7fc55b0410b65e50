"""Workflows and their versions: draft, validate, publish, compare, deprecate."""
