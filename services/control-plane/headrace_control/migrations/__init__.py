"""The one owner of the database schema: numbered SQL files, applied by `headrace.postgres.migrate`."""
