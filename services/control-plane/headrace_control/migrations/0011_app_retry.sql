-- How calls of an app are made again where neither step nor action says: a retry policy as designers write it.
ALTER TABLE apps ADD COLUMN retry jsonb;
