-- What a version's class was found to be when it was published, and why an admin let it be published all the same.
-- Versions from before have neither: their class is found from what runners get whenever it is asked for.

ALTER TABLE workflow_versions
    ADD COLUMN classification jsonb,
    ADD COLUMN waiver text,
    ADD CHECK (waiver IS NULL OR (length(waiver) BETWEEN 1 AND 1000 AND classification IS NOT NULL));

CREATE FUNCTION headrace_keep_classification() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the class of a published workflow version is immutable';
END
$$;
CREATE TRIGGER keep_classification BEFORE UPDATE ON workflow_versions
    FOR EACH ROW
    WHEN (OLD.status <> 'DRAFT' AND (NEW.classification IS DISTINCT FROM OLD.classification
                                     OR NEW.waiver IS DISTINCT FROM OLD.waiver))
    EXECUTE FUNCTION headrace_keep_classification();
