-- What is known of refreshes that brought no token, for the whole fleet. All of it ends with the next token.
ALTER TABLE connections
    ADD COLUMN token_granted_at timestamptz,
    -- Why the last request for a token brought none, and from when on the endpoint is asked again.
    ADD COLUMN token_trouble    text,
    ADD COLUMN token_retry_at   timestamptz,
    ADD COLUMN token_failures   integer NOT NULL DEFAULT 0,
    -- Requests whose answer was lost: each may have spent the refresh token.
    ADD COLUMN token_doubts     integer NOT NULL DEFAULT 0;
