-- The bus of the embedded profile: messages in tables, woken by NOTIFY. Not tenant tables, so no row-level
-- security; the roles below are the only ones that may touch them, and headrace_bus sees nothing else.

CREATE TABLE bus_queues (
    name text PRIMARY KEY
);

-- One row per running consumption. Its holder says again and again that it lives; whoever finds it lapsed
-- gives its messages back. Time is the server's own: this is liveness, not the life of runs.
CREATE TABLE bus_consumers (
    id         uuid PRIMARY KEY,
    queue      text NOT NULL REFERENCES bus_queues (name),
    expires_at timestamptz NOT NULL
);

-- A message is free, or in the hands of a consumer. Reading is by (queue, id) only, so taking one changes no
-- indexed column and stays within its page.
CREATE TABLE bus_messages (
    queue       text NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    body        bytea NOT NULL,
    headers     text NOT NULL DEFAULT '',
    deliveries  integer NOT NULL DEFAULT 0,
    consumer_id uuid,
    -- Of a dead letter: where it stood, and why it was given up.
    origin      text,
    reason      text,
    PRIMARY KEY (queue, id),
    CHECK ((origin IS NULL) = (reason IS NULL))
) WITH (
    fillfactor = 80,
    -- Rows live for moments: vacuum by what has died, not by a share of a table that is mostly empty.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000
);

-- Bodies are read once and deleted; packing them costs more than it saves.
ALTER TABLE bus_messages ALTER COLUMN body SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON bus_queues, bus_consumers, bus_messages
    TO headrace_api, headrace_worker, headrace_bus;
