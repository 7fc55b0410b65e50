-- OAuth2 authorization codes (RFC 6749, 4.1): people agree at the provider, and a connection has its tokens by that.

ALTER TABLE connections
    ADD COLUMN authorized_at         timestamptz,
    ADD COLUMN authorized_by         text,
    -- When the refresh token ends, as far as the provider says so; without one, when the access token does.
    ADD COLUMN authorization_ends_at timestamptz;

CREATE FUNCTION headrace_connection_status(c connections, oauth_grant text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN c.token_error IS NOT NULL OR c.authorization_ends_at <= headrace_now() THEN 'NEEDS_AUTHORIZATION'
        WHEN oauth_grant = 'AUTHORIZATION_CODE' AND c.authorization_ends_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM connection_secrets s
            WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.field = 'refreshToken')
            THEN 'NEEDS_AUTHORIZATION'
        WHEN c.token_failures > 0 THEN 'FAILING'
        WHEN c.authorization_ends_at <= headrace_now() + interval '7 days' THEN 'EXPIRING'
        ELSE 'READY'
    END
$$;

-- One on its way: until the provider's answer comes it has the state, and from then on the code that it is finished by.
-- Its verifier and the provider's code are sealed among the connection's fields.
CREATE TABLE authorizations (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    connection_id uuid NOT NULL,
    -- Who began it, and alone may finish it.
    actor_kind    text NOT NULL,
    actor_id      uuid NOT NULL,
    state_hash    bytea UNIQUE,
    code_hash     bytea UNIQUE,
    redirect      text NOT NULL,
    client_state  text NOT NULL,
    -- Digest of whom it was begun with: where the code is taken to has to be the same.
    provider      bytea NOT NULL,
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CHECK ((state_hash IS NULL) <> (code_hash IS NULL))
);
CREATE INDEX authorizations_of_connections ON authorizations (tenant_id, connection_id);
SELECT headrace_confine('authorizations');
GRANT SELECT, INSERT, UPDATE, DELETE ON authorizations TO headrace_api;

-- The browser comes back with the state and nothing else, before any tenant is known. The answer is a tenant's id, to
-- whoever shows a secret of 256 bits.
CREATE POLICY owner_finds_authorizations ON authorizations TO CURRENT_USER USING (true);
CREATE FUNCTION headrace_find_authorization(state bytea) RETURNS uuid
LANGUAGE sql SECURITY DEFINER STABLE AS $$
    SELECT a.tenant_id FROM authorizations a WHERE a.state_hash = state AND a.expires_at > headrace_now();
$$;

DO $$
DECLARE
    name text := 'headrace_find_authorization(bytea)';
BEGIN
    -- As 0007 does.
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO headrace_api', name);
END
$$;
