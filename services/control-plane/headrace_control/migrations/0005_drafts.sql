-- What designers see of their drafts: the text as they wrote it, one open draft per workflow, and no way to
-- lose a version that was published.

ALTER TABLE workflow_versions
    -- YAML or JSON, with its comments and order; NULL when the document came as a JSON value.
    ADD COLUMN source text CHECK (octet_length(source) <= 1048576);

CREATE UNIQUE INDEX workflow_versions_one_draft ON workflow_versions (tenant_id, workflow_id)
    WHERE status = 'DRAFT';

CREATE OR REPLACE FUNCTION headrace_keep_published() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'DRAFT' THEN
            RAISE EXCEPTION 'a published workflow version is immutable';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.status <> 'DRAFT' AND (
        NEW.document IS DISTINCT FROM OLD.document OR NEW.resolved IS DISTINCT FROM OLD.resolved
        OR NEW.source IS DISTINCT FROM OLD.source OR NEW.digest IS DISTINCT FROM OLD.digest
        OR NEW.version <> OLD.version OR NEW.workflow_id <> OLD.workflow_id OR NEW.status = 'DRAFT') THEN
        RAISE EXCEPTION 'a published workflow version is immutable';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_published_from_deletion BEFORE DELETE ON workflow_versions
    FOR EACH ROW EXECUTE FUNCTION headrace_keep_published();
