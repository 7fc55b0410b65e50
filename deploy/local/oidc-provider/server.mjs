// An OAuth2 and OpenID Connect server for tests: oidc-provider on the loopback, everything in memory.
//
//     node server.mjs PORT
//
// Clients register themselves (RFC 7591). Two properties of theirs are of this server:
// access_token_seconds, how long their access tokens last, and token_answer_ms, how long the token endpoint
// lets them wait for an answer that is already decided. Refresh tokens are spent by being used; a spent one that
// comes again ends everything that was granted with it (RFC 9700, 4.14). GET /journal?client=ID answers what the
// token endpoint did for a client, in order: [{grant, error}].
//
// People log in by whatever name they give, with any password: the name is who they are, and NAME@example.com their
// verified e-mail address.

import { setTimeout as wait } from "node:timers/promises";

import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const lasting = (_ctx, _token, client) => client.access_token_seconds ?? 3600;
const journal = new Map();

const provider = new Provider(`http://127.0.0.1:${port}`, {
  scopes: ["openid", "offline_access", "orders"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: id }),
  }),
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    registration: { enabled: true },
    revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
  },
  extraClientMetadata: { properties: ["access_token_seconds", "token_answer_ms"] },
  pkce: { required: () => false },
  rotateRefreshToken: true,
  ttl: { AccessToken: lasting, ClientCredentials: lasting, RefreshToken: 86400 },
});

function note(ctx, error = null) {
  const client = ctx.oidc.client?.clientId ?? "";
  journal.set(client, [...(journal.get(client) ?? []), { grant: ctx.oidc.params?.grant_type ?? "", error }]);
}
provider.on("grant.success", (ctx) => note(ctx));
provider.on("grant.error", (ctx, error) => note(ctx, error.error));

provider.use(async (ctx, next) => {
  if (ctx.path === "/journal") {
    ctx.body = journal.get(ctx.query.client) ?? [];
    return;
  }
  await next();
  if (ctx.oidc?.route === "token") {
    await wait(ctx.oidc.client?.token_answer_ms ?? 0);
  }
});

provider.listen(port, "127.0.0.1");
// It must not outlive the process that started it.
process.stdin.resume().on("end", () => process.exit(0));
