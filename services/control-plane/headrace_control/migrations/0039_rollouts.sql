-- Rollouts: a candidate version takes a share of a workflow's starts until it is promoted or rolled back.

-- Published, and not what a start that names no version runs: the candidate of a rollout, until it is promoted.
ALTER TABLE workflow_versions ADD COLUMN held_back boolean NOT NULL DEFAULT false;

CREATE TABLE rollouts (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    workflow_id  uuid NOT NULL,
    stable_id    uuid NOT NULL,                  -- the version of all other starts
    candidate_id uuid NOT NULL,
    status       text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'PROMOTED', 'ROLLED_BACK')),
    share        integer NOT NULL CHECK (share BETWEEN 0 AND 10000), -- hundredths of a percent
    key          text,                           -- a JSONPath into the input; NULL: by the run's id
    cohorts      jsonb NOT NULL,                 -- {name: [values of the key]}, which always go to the candidate
    salt         bytea NOT NULL,
    begun_at     timestamptz NOT NULL DEFAULT headrace_now(),
    ended_at     timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workflow_id) REFERENCES workflows (tenant_id, id),
    FOREIGN KEY (tenant_id, stable_id) REFERENCES workflow_versions (tenant_id, id),
    FOREIGN KEY (tenant_id, candidate_id) REFERENCES workflow_versions (tenant_id, id),
    CHECK (stable_id <> candidate_id),
    CHECK ((ended_at IS NULL) = (status = 'OPEN'))
);
CREATE UNIQUE INDEX rollouts_one_open ON rollouts (tenant_id, workflow_id) WHERE status = 'OPEN';
CREATE INDEX rollouts_newest ON rollouts (tenant_id, workflow_id, id DESC);
SELECT headrace_confine('rollouts');
GRANT SELECT, INSERT, UPDATE ON rollouts TO headrace_api;

-- What became of a rollout, in order; never changed.
CREATE TABLE rollout_changes (
    tenant_id  uuid NOT NULL,
    rollout_id uuid NOT NULL,
    number     integer NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('BEGUN', 'CHANGED', 'PROMOTED', 'ROLLED_BACK')),
    share      integer NOT NULL,
    cohorts    jsonb NOT NULL,
    note       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT headrace_now(),
    actor_kind text NOT NULL,
    actor_id   uuid NOT NULL,
    actor_name text NOT NULL,
    PRIMARY KEY (tenant_id, rollout_id, number),
    FOREIGN KEY (tenant_id, rollout_id) REFERENCES rollouts (tenant_id, id)
);
SELECT headrace_confine('rollout_changes');
GRANT SELECT, INSERT ON rollout_changes TO headrace_api;
