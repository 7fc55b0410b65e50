-- Waits, messages to runs, pauses, children and compensation.

ALTER TABLE runs
    -- Messages so far; `parked` tells up to which its writer had seen them.
    ADD COLUMN inbox_seq       integer NOT NULL DEFAULT 0,
    ADD COLUMN pause_requested boolean NOT NULL DEFAULT false,
    -- {outcome, error}: how the run will end once everything is undone. Set by the event that begins the undoing.
    ADD COLUMN compensating    jsonb,
    -- Immutable: whose `workflow` step this run is. A child's end locks both rows, in the order of their ids.
    ADD COLUMN parent_run_id   uuid,
    ADD COLUMN parent_step     text,
    ADD COLUMN depth           integer NOT NULL DEFAULT 0,
    -- Immutable: the ended run whose finished steps this one compensates.
    ADD COLUMN undoes_run_id   uuid;
CREATE INDEX runs_by_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

ALTER TABLE step_runs
    ADD COLUMN wait       jsonb,               -- what a WAITING step waits for: {kind, until, ...}
    ADD COLUMN round      integer NOT NULL DEFAULT 0,  -- of a repeat, from 0
    ADD COLUMN round_from integer NOT NULL DEFAULT 0,  -- the attempts made in the rounds before
    ADD COLUMN items      integer,             -- how many items a loop has, once it has begun
    -- The event that completed the step: what is undone is undone in the reverse of this order.
    ADD COLUMN done_epoch integer,
    ADD COLUMN done_seq   integer;

-- What people, other runs and external systems say to a run. Inserted under the lock of the run's row, folded by the
-- holder of its claim, marked as used by the transaction that applies the event that says so.
CREATE TABLE inbox (
    tenant_id  uuid NOT NULL,
    run_id     uuid NOT NULL,
    seq        integer NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('SIGNAL', 'DECISION', 'CHILD_ENDED', 'SETTLE')),
    step       text,                           -- the row key that it is for; a signal may have a name instead
    name       text,
    data       jsonb NOT NULL DEFAULT '{}',
    -- The same `once` is taken once: a callback's token, a signal's idempotency key.
    once       text,
    used       boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT headrace_now(),
    created_by uuid,
    PRIMARY KEY (run_id, seq),
    UNIQUE (run_id, once)
) PARTITION BY RANGE (run_id);
CREATE INDEX inbox_unused ON inbox (run_id, seq) WHERE NOT used;
SELECT headrace_confine('inbox');

-- Waits that somebody has to see: opened by applying `waiting`, closed by the step's or the run's end. `status` is
-- DECIDED from a person's decision until the run has taken it.
CREATE TABLE waits (
    tenant_id  uuid NOT NULL,
    run_id     uuid NOT NULL,
    step       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('APPROVAL', 'SIGNAL')),
    data       jsonb NOT NULL,                 -- as the event has it: title, roles, members, form, name, schema, ...
    status     text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'DECIDED', 'CLOSED')),
    opened_at  timestamptz NOT NULL,
    due_at     timestamptz,
    closed_at  timestamptz,
    -- {decision, by, at, reason, form}, once decided
    decision   jsonb,
    decided_by uuid,
    PRIMARY KEY (run_id, step)
) PARTITION BY RANGE (run_id);
CREATE INDEX waits_open ON waits (tenant_id, kind, run_id, step) WHERE status = 'OPEN';
SELECT headrace_confine('waits');

CREATE OR REPLACE FUNCTION headrace_ensure_partitions(months_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month date := date_trunc('month', headrace_now() AT TIME ZONE 'UTC')::date - interval '1 month';
    parent text;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace_ensure_partitions'));
    WHILE month <= (headrace_now() AT TIME ZONE 'UTC')::date + make_interval(months => months_ahead) LOOP
        FOREACH parent IN ARRAY ARRAY['runs', 'step_runs', 'attempts', 'events', 'inbox', 'waits'] LOOP
            name := parent || '_' || to_char(month, 'YYYYMM');
            IF to_regclass(name) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    name, parent, headrace_id_bound(month), headrace_id_bound((month + interval '1 month')::date));
                EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
                EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
            END IF;
        END LOOP;
        month := (month + interval '1 month')::date;
    END LOOP;
END
$$;
-- As 0007 does, for the function above was made anew.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION headrace_ensure_partitions(integer) SET search_path = %I, pg_temp', current_schema());
END
$$;
SELECT headrace_ensure_partitions(3);

GRANT SELECT, INSERT ON inbox TO headrace_api;
GRANT SELECT, UPDATE ON waits TO headrace_api;
GRANT SELECT, INSERT, UPDATE ON inbox, waits TO headrace_worker;
CREATE POLICY worker ON inbox TO headrace_worker USING (true);
CREATE POLICY worker ON waits TO headrace_worker USING (true);
