"""Hooks: addresses of tenants that are told what happens."""
