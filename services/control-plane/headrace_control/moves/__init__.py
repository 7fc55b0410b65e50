"""Moves: unfinished runs go on by another version of their workflow."""
