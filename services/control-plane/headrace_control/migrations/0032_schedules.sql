-- Schedules: workflows that start by the clock; what came of each firing; and backfills of a range.

CREATE TABLE schedules (
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    id           uuid NOT NULL,
    name         text NOT NULL,
    workflow_id  uuid NOT NULL,
    version      integer,                        -- NULL: the newest published one
    cron         text NOT NULL,
    time_zone    text NOT NULL,                  -- of the IANA database
    input        jsonb NOT NULL,                 -- texts in it may hold expressions over the firing
    missed       text NOT NULL CHECK (missed IN ('SKIP', 'FIRE_ONCE', 'FIRE_ALL')),
    missed_limit integer NOT NULL CHECK (missed_limit > 0),
    overlap      text NOT NULL CHECK (overlap IN ('ALLOW', 'SKIP', 'QUEUE_ONE', 'CANCEL_PREVIOUS')),
    -- For whom its runs start: who made it, or changed it last.
    acts_for     uuid NOT NULL,
    paused       boolean NOT NULL DEFAULT false,
    error        jsonb,                          -- why Headrace paused it: {code, message}
    next_at      timestamptz,                    -- NULL of one that is paused, or never fires again
    queued_at    timestamptz,                    -- the firing that waits for runs of earlier ones to end
    created_at   timestamptz NOT NULL DEFAULT headrace_now(),
    updated_at   timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id, workflow_id) REFERENCES workflows (tenant_id, id),
    CHECK (NOT paused OR (next_at IS NULL AND queued_at IS NULL))
);
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_queued ON schedules (queued_at) WHERE queued_at IS NOT NULL;
SELECT headrace_confine('schedules');
GRANT SELECT, INSERT, UPDATE, DELETE ON schedules TO headrace_api;
-- The worker looks which are due; the tenant's own transaction fires them.
GRANT SELECT ON schedules TO headrace_worker;
CREATE POLICY worker ON schedules FOR SELECT TO headrace_worker USING (true);

CREATE TABLE schedule_backfills (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    schedule_id uuid NOT NULL,
    -- As the schedule had them when it was asked for: what is counted is what is started.
    cron        text NOT NULL,
    time_zone   text NOT NULL,
    from_at     timestamptz NOT NULL,
    until_at    timestamptz NOT NULL,            -- not with it
    done_to     timestamptz NOT NULL,            -- firings up to and with this one have been started
    total       integer NOT NULL,
    started     integer NOT NULL DEFAULT 0,
    at_once     integer NOT NULL CHECK (at_once > 0),
    status      text NOT NULL CHECK (status IN ('RUNNING', 'STOPPED', 'DONE')),
    error       jsonb,                           -- why Headrace stopped it
    look_at     timestamptz NOT NULL DEFAULT headrace_now(),
    created_at  timestamptz NOT NULL DEFAULT headrace_now(),
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, schedule_id) REFERENCES schedules (tenant_id, id) ON DELETE CASCADE,
    CHECK (from_at < until_at),
    CHECK ((finished_at IS NOT NULL) = (status = 'DONE'))
);
CREATE INDEX schedule_backfills_running ON schedule_backfills (look_at) WHERE status = 'RUNNING';
CREATE INDEX schedule_backfills_newest ON schedule_backfills (tenant_id, schedule_id, id DESC);
SELECT headrace_confine('schedule_backfills');
GRANT SELECT, INSERT, UPDATE, DELETE ON schedule_backfills TO headrace_api;
GRANT SELECT ON schedule_backfills TO headrace_worker;
CREATE POLICY worker ON schedule_backfills FOR SELECT TO headrace_worker USING (true);

-- One row for each firing that came to anything, or for all that were missed in a row (`at` to `last_at`).
CREATE TABLE schedule_firings (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    schedule_id uuid NOT NULL,
    backfill_id uuid,
    at          timestamptz NOT NULL,
    last_at     timestamptz,
    outcome     text NOT NULL CHECK (outcome IN ('STARTED', 'QUEUED', 'SKIPPED', 'MISSED', 'FAILED')),
    run_id      uuid,
    error       jsonb,
    -- The run is, as far as was looked, unfinished; and others have to mind it.
    open        boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT headrace_now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, schedule_id) REFERENCES schedules (tenant_id, id) ON DELETE CASCADE,
    CHECK ((run_id IS NOT NULL) = (outcome = 'STARTED')),
    CHECK (NOT open OR run_id IS NOT NULL)
);
CREATE UNIQUE INDEX schedule_firings_once ON schedule_firings
    (tenant_id, schedule_id, coalesce(backfill_id, '00000000-0000-0000-0000-000000000000'), at);
CREATE INDEX schedule_firings_newest ON schedule_firings (tenant_id, schedule_id, id DESC);
CREATE INDEX schedule_firings_open ON schedule_firings (tenant_id, schedule_id) WHERE open;
CREATE INDEX schedule_firings_by_age ON schedule_firings (created_at);
SELECT headrace_confine('schedule_firings');
GRANT SELECT, INSERT, UPDATE, DELETE ON schedule_firings TO headrace_api;
GRANT SELECT, DELETE ON schedule_firings TO headrace_worker;
CREATE POLICY worker ON schedule_firings TO headrace_worker USING (true);

-- What started a run, unless somebody asked for it: {kind, name, firingAt, backfill}.
ALTER TABLE runs ADD COLUMN trigger jsonb;
