-- phase: expand
-- Services that do not migrate look at their start whether the schema is one that their release works on.

GRANT SELECT ON schema_migrations TO headrace_worker;
