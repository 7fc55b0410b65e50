-- Runners show who they are by short-lived sessions of their own; what they do for a run, by a token of that claim.

CREATE TABLE runner_sessions (
    hash       bytea PRIMARY KEY,    -- SHA-256 of the session's token
    runner_id  uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT headrace_now()
);
CREATE INDEX runner_sessions_by_runner ON runner_sessions (runner_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON runner_sessions TO headrace_worker;

ALTER TABLE runs
    -- SHA-256 of the token of the claim made last. It is good for nothing once that claim is closed.
    ADD COLUMN claim_token bytea;
