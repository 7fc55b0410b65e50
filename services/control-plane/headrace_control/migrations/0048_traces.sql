-- phase: expand
-- The span in which a run was accepted (W3C Trace Context), of one that is traced; nothing otherwise, which costs
-- nothing: a column without a default is added without a look at the rows, and a null takes no room.
ALTER TABLE runs ADD COLUMN traceparent text;
