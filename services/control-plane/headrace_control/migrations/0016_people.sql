-- People: members, their log-ins and sessions. And keys that may do less than their role.

-- What the key may do of what its role may; NULL: all of it.
ALTER TABLE api_keys ADD COLUMN permissions text[];

-- ---------------------------------------------------------------------------------------------------------
-- Members

CREATE TABLE members (
    tenant_id       uuid NOT NULL REFERENCES tenants (id),
    id              uuid NOT NULL,
    -- ASCII in lower case, so that no two spellings that look alike are two members.
    email           text NOT NULL CHECK (email = lower(email) AND email ~ '^[!-~]+@[!-~]+$' AND length(email) <= 254),
    name            text NOT NULL DEFAULT '',
    role            text NOT NULL CHECK (role IN ('ADMIN', 'DESIGNER', 'OPERATOR', 'APPROVER', 'VIEWER')),
    status          text NOT NULL DEFAULT 'INVITED' CHECK (status IN ('INVITED', 'ACTIVE', 'REMOVED')),
    -- Who the identity provider says that this is; bound when the invitation is accepted.
    issuer          text,
    subject         text,
    -- The invitation's code is only hashed; it ends by being used.
    code_hash       bytea UNIQUE,
    code_expires_at timestamptz,
    invited_by      text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT headrace_now(),
    joined_at       timestamptz,
    removed_at      timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK (status <> 'ACTIVE' OR (issuer IS NOT NULL AND subject IS NOT NULL AND joined_at IS NOT NULL)),
    CHECK ((status = 'REMOVED') = (removed_at IS NOT NULL)),
    CHECK ((code_hash IS NULL) = (code_expires_at IS NULL)),
    CHECK (code_hash IS NULL OR status = 'INVITED')
);
-- Who was removed may be invited anew.
CREATE UNIQUE INDEX members_one_per_email ON members (tenant_id, email) WHERE status <> 'REMOVED';
CREATE UNIQUE INDEX members_one_per_subject ON members (tenant_id, issuer, subject) WHERE status = 'ACTIVE';
SELECT headrace_confine('members');
GRANT SELECT, INSERT, UPDATE ON members TO headrace_api;

CREATE TABLE sessions (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    member_id    uuid NOT NULL,
    hash         bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT headrace_now(),
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT headrace_now(),
    ended_at     timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, member_id) REFERENCES members (tenant_id, id)
);
CREATE INDEX sessions_of_members ON sessions (tenant_id, member_id) WHERE ended_at IS NULL;
SELECT headrace_confine('sessions');
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO headrace_api;

-- What a finished log-in is handed over by, once, to whoever began it.
CREATE TABLE login_codes (
    tenant_id  uuid NOT NULL,
    hash       bytea NOT NULL UNIQUE,
    member_id  uuid NOT NULL,
    -- PKCE (RFC 7636, S256) of the client that began the log-in, and where the code was sent.
    challenge  text NOT NULL,
    redirect   text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, hash),
    FOREIGN KEY (tenant_id, member_id) REFERENCES members (tenant_id, id)
);
SELECT headrace_confine('login_codes');
GRANT INSERT ON login_codes TO headrace_api;

-- A log-in on its way, before anyone knows who it is. No role sees the table: it is reached by the two functions
-- below alone, each of which needs what only the browser that began it has.
CREATE TABLE logins (
    state_hash      bytea PRIMARY KEY,
    browser_hash    bytea NOT NULL,
    nonce           text NOT NULL,
    verifier        text NOT NULL,
    tenant          text,
    invitation_hash bytea,
    challenge       text NOT NULL,
    redirect        text NOT NULL,
    client_state    text NOT NULL,
    origin          text,
    expires_at      timestamptz NOT NULL
);
CREATE INDEX logins_by_expiry ON logins (expires_at);
CREATE INDEX logins_by_origin ON logins (origin);
ALTER TABLE logins ENABLE ROW LEVEL SECURITY;
ALTER TABLE logins FORCE ROW LEVEL SECURITY;

-- ---------------------------------------------------------------------------------------------------------
-- Who calls is asked before any tenant is known, so these look-ups step over the policies. Each answers about one
-- row, to whoever shows a secret of 256 bits, or what the identity provider has signed.

CREATE POLICY owner_finds_members ON members TO CURRENT_USER USING (true);
CREATE POLICY owner_finds_sessions ON sessions TO CURRENT_USER USING (true);
CREATE POLICY owner_takes_codes ON login_codes TO CURRENT_USER USING (true);
CREATE POLICY owner_keeps_logins ON logins TO CURRENT_USER USING (true) WITH CHECK (true);

DROP FUNCTION headrace_find_api_key(bytea);
CREATE FUNCTION headrace_find_api_key(key_hash bytea)
RETURNS TABLE (tenant_id uuid, id uuid, name text, role text, permissions text[], platform boolean)
LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE api_keys k SET last_used_at = headrace_now()
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.last_used_at IS NULL OR k.last_used_at < headrace_now() - interval '1 minute')
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
    SELECT k.tenant_id, k.id, k.name, k.role, k.permissions, t.platform
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    WHERE k.hash = key_hash AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > headrace_now());
$$;

-- The role and the state are the member's as they are now: a change holds from the next request on.
CREATE FUNCTION headrace_find_session(session_hash bytea, idle interval)
RETURNS TABLE (tenant_id uuid, session_id uuid, id uuid, name text, role text, platform boolean)
LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE sessions s SET last_used_at = headrace_now()
    WHERE s.hash = session_hash AND s.ended_at IS NULL AND s.expires_at > headrace_now()
      AND s.last_used_at > headrace_now() - idle
      AND s.last_used_at < headrace_now() - least(interval '1 minute', idle / 4);
    SELECT s.tenant_id, s.id, m.id, m.email, m.role, t.platform
    FROM sessions s
    JOIN members m ON m.tenant_id = s.tenant_id AND m.id = s.member_id
    JOIN tenants t ON t.id = s.tenant_id
    WHERE s.hash = session_hash AND s.ended_at IS NULL AND s.expires_at > headrace_now()
      AND s.last_used_at > headrace_now() - idle
      AND m.status = 'ACTIVE';
$$;

CREATE FUNCTION headrace_find_member(tenant_name text, member_issuer text, member_subject text)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql SECURITY DEFINER STABLE AS $$
    SELECT m.tenant_id, m.id
    FROM tenants t JOIN members m ON m.tenant_id = t.id
    WHERE t.name = tenant_name AND m.issuer = member_issuer AND m.subject = member_subject AND m.status = 'ACTIVE';
$$;

CREATE FUNCTION headrace_find_invitation(invitation_hash bytea)
RETURNS TABLE (tenant_id uuid, id uuid, email text)
LANGUAGE sql SECURITY DEFINER STABLE AS $$
    SELECT m.tenant_id, m.id, m.email FROM members m
    WHERE m.code_hash = invitation_hash AND m.status = 'INVITED' AND m.code_expires_at > headrace_now();
$$;

-- Single use: whoever takes a row has deleted it, and nobody takes it twice.
CREATE FUNCTION headrace_take_login_code(code_hash bytea)
RETURNS TABLE (tenant_id uuid, member_id uuid, challenge text, redirect text)
LANGUAGE sql SECURITY DEFINER AS $$
    DELETE FROM login_codes c WHERE c.hash = code_hash AND c.expires_at > headrace_now()
    RETURNING c.tenant_id, c.member_id, c.challenge, c.redirect;
$$;

CREATE FUNCTION headrace_take_login(login_state_hash bytea, login_browser_hash bytea)
RETURNS TABLE (nonce text, verifier text, tenant text, invitation_hash bytea, challenge text, redirect text,
               client_state text)
LANGUAGE sql SECURITY DEFINER AS $$
    DELETE FROM logins l
    WHERE l.state_hash = login_state_hash AND l.browser_hash = login_browser_hash AND l.expires_at > headrace_now()
    RETURNING l.nonce, l.verifier, l.tenant, l.invitation_hash, l.challenge, l.redirect, l.client_state;
$$;

-- False when `login_origin` has `most` of them on their way already. Takes away what has expired, a bounded lot.
CREATE FUNCTION headrace_begin_login(
    login_state_hash bytea, login_browser_hash bytea, login_nonce text, login_verifier text, login_tenant text,
    login_invitation_hash bytea, login_challenge text, login_redirect text, login_client_state text,
    login_origin text, lasts interval, most integer)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM logins WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM logins WHERE expires_at <= headrace_now() ORDER BY expires_at LIMIT 100
        FOR UPDATE SKIP LOCKED));
    DELETE FROM login_codes WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM login_codes WHERE expires_at <= headrace_now() LIMIT 100 FOR UPDATE SKIP LOCKED));
    IF (SELECT count(*) FROM logins WHERE origin = login_origin) >= most THEN
        RETURN false;
    END IF;
    INSERT INTO logins (state_hash, browser_hash, nonce, verifier, tenant, invitation_hash, challenge, redirect,
        client_state, origin, expires_at)
    VALUES (login_state_hash, login_browser_hash, login_nonce, login_verifier, login_tenant, login_invitation_hash,
        login_challenge, login_redirect, login_client_state, login_origin, headrace_now() + lasts);
    RETURN true;
END
$$;

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN (
            'headrace_find_api_key', 'headrace_find_session', 'headrace_find_member', 'headrace_find_invitation',
            'headrace_take_login_code', 'headrace_take_login', 'headrace_begin_login')
    LOOP
        -- As 0007 does.
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', found.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO headrace_api', found.name);
    END LOOP;
END
$$;
