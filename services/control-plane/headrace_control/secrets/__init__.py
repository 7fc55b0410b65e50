"""Secrets that workflows name in their env."""
