-- A function that acts as its owner looks names up in the temporary schema last: a session could shadow a table
-- there.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.prosecdef AND p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'headrace%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', found.name, current_schema());
    END LOOP;
END
$$;

-- Every session of the bus acts as headrace_bus, whichever service it belongs to.
REVOKE ALL ON bus_queues, bus_consumers, bus_messages FROM headrace_api, headrace_worker;
