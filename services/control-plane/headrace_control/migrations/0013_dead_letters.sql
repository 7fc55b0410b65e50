-- Steps and compensations that failed for good, and steps in doubt: one row each, however often it is told.
ALTER TABLE dead_letters ADD COLUMN step text;
CREATE UNIQUE INDEX dead_letters_of_steps ON dead_letters (run_id, step, source) WHERE step IS NOT NULL;
