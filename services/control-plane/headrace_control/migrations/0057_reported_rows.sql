-- phase: expand
-- What a reporter writes, as rows: one parameter for each table in place of one for each column, which costs both sides
-- less. Never altered, for the release before says them, too: another shape is another type. JSON is text here.

CREATE TYPE reported_event AS (
    tenant_id uuid, run_id uuid, epoch integer, seq integer, kind text, step text, at timestamptz, data text
);
CREATE TYPE reported_attempt AS (
    tenant_id uuid, run_id uuid, step text, number integer, epoch integer, outcome text, http_status integer, error text,
    address text, started_at timestamptz, duration_ms integer
);
CREATE TYPE reported_step AS (
    tenant_id uuid, run_id uuid, key text, status text, attempts integer, input text, output text, error text,
    in_flight boolean, retry_at timestamptz, started_at timestamptz, finished_at timestamptz, wait text, round integer,
    round_from integer, items integer, done_epoch integer, done_seq integer
);
CREATE TYPE reported_fence AS (id uuid, epoch integer, seq integer, progress boolean);
