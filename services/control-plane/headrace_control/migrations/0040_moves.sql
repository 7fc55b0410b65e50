-- Runs that were moved to another version, in their order: [{from, to, at, actorKind, actorId, actorName, note, epoch,
-- seq}]. Epoch and seq are those of the last event before. They live and go with the run.
ALTER TABLE runs ADD COLUMN moves jsonb;
