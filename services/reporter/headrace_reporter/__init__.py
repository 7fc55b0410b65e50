"""The reporter: events to Postgres, log records to the log store."""
