-- phase: expand
-- Which deployment this database is, told apart from all others for as long as it lives, in its backups too: what others
-- have to know whose they are (the queues of a bus) is marked with it.

CREATE TABLE deployment (
    id       uuid NOT NULL DEFAULT gen_random_uuid(),
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);
INSERT INTO deployment DEFAULT VALUES;
GRANT SELECT ON deployment TO headrace_worker;

-- Of the bus: whose the queues of a namespace are. The bus of one deployment may be another's database.
CREATE TABLE bus_owners (
    namespace  text PRIMARY KEY,
    deployment uuid NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON bus_owners TO headrace_bus;
