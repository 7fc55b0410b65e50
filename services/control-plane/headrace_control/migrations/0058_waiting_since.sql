-- phase: expand
-- Since when a dispatch waits that was sent before and that no runner claimed: its `due_at` is that of the last sweep, which
-- sends it again in its turn. Null for one that was not swept unclaimed.

ALTER TABLE dispatches ADD COLUMN waits_since timestamptz;
