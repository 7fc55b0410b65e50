-- How fast an app or one connection may be called, and what is known of connections in trouble.

-- {requestsPerSecond, burst}; a connection's stands instead of its app's.
ALTER TABLE apps ADD COLUMN limits jsonb;
ALTER TABLE connections ADD COLUMN limits jsonb;

-- One row for each connection that has limits or had trouble: the fleet's token bucket and circuit breaker. The breaker
-- is closed without `open_until`, open until then, and half open after: one probe at a time, until `probe_until`.
CREATE TABLE throttles (
    tenant_id     uuid NOT NULL,
    connection_id uuid NOT NULL,
    failures      integer NOT NULL DEFAULT 0,
    failed_at     timestamptz,
    openings      integer NOT NULL DEFAULT 0,   -- in a row
    open_until    timestamptz,
    probe_until   timestamptz,
    tokens        float8,
    refilled_at   timestamptz,
    PRIMARY KEY (tenant_id, connection_id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX throttles_open ON throttles (open_until) WHERE open_until IS NOT NULL;
SELECT headrace_confine('throttles');

GRANT SELECT ON throttles TO headrace_api;
GRANT SELECT, INSERT, UPDATE ON throttles TO headrace_worker;
CREATE POLICY worker ON throttles TO headrace_worker USING (true);
-- The limits, and nothing else of what tenants keep about their connections.
GRANT SELECT (tenant_id, id, app_id, limits) ON connections TO headrace_worker;
GRANT SELECT (tenant_id, id, limits) ON apps TO headrace_worker;
CREATE POLICY worker ON connections FOR SELECT TO headrace_worker USING (true);
CREATE POLICY worker ON apps FOR SELECT TO headrace_worker USING (true);
