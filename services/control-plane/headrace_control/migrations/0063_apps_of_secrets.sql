-- phase: expand
-- The apps, by their names, that a secret may be sent to. Null: any.

ALTER TABLE secrets ADD COLUMN apps text[];
