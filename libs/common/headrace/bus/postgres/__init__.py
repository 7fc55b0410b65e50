"""The bus on Postgres, for the embedded profile: tables, SKIP LOCKED, and NOTIFY in place of polling."""

from headrace.bus.postgres.bus import PostgresBus

__all__ = ["PostgresBus"]
