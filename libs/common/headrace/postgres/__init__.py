"""Postgres plumbing: pools, named SQL, migrations. No query of any slice lives here."""
