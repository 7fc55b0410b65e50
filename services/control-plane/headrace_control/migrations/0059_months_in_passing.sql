-- phase: expand
-- A month's tables are made under locks that nobody can share. While somebody reads `runs` for long, a dump above all,
-- whoever waits for such a lock has everyone behind it wait as well. It gives way instead, and is made an hour later: there
-- are three months of them ahead.
ALTER FUNCTION headrace_ensure_partitions(integer) SET lock_timeout = '300ms';
