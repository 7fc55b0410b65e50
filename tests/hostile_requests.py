"""Requests that nobody well-meaning sends: GraphQL made from the schema and then spoilt, and bytes that are no HTTP."""

import json
import random
import string
from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
)
from graphql_operations import operation, root_fields

TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\u202e\u0000\ufeff",
    "é" * 300,
    "𝔘" * 100,
    "x" * 20_000,
    "../../../../etc/passwd",
    "'; DROP TABLE runs; --",
    '" OR ""="',
    "%s%n%x",
    "${jndi:ldap://x}",
    "{{ ''.__class__.__mro__ }}",
    "{% for x in range(9**9) %}{% endfor %}",
    "<script>alert(1)</script>",
    "\r\nset-cookie: a=b",
    "-1",
    "1e400",
    "null",
    "hr_00000000_" + "x" * 43,
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "{00000000-0000-0000-0000-000000000000}",
    "WyJydW5zIiwieCJd",
    "WyJydW5zIiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIl0",
    "W1tbW1tbW10",
    "http://169.254.169.254/",
    "file:///etc/passwd",
    "(a+)+$",
)
NUMBERS = (0, -1, 1, 200, 201, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, 1e-320)
TIMES = (
    "2030-01-31T12:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2030-02-30T00:00:00Z",
    "2030-01-31T12:00:00",
    "now",
    "",
)


class Hostile:
    """Makes them from a seed, so that a failure can be had again."""

    def __init__(self, schema: GraphQLSchema, seed: int) -> None:
        self.random = random.Random(seed)
        self._roots = root_fields(schema)

    def graphql(self) -> bytes:
        """The body of a POST."""
        name = self.random.choice([one for one in self._roots if not one.startswith("subscription")])
        root = self._roots[name]
        query, variables = operation(name, root, self._arguments(root), self.random.choice((0, 0, 1, 2)))
        chance = self.random.random()
        if chance < 0.3:
            query = self._spoilt(query)
        elif chance < 0.4:
            variables = {self.random.choice(TEXTS): self.value(2) for _ in range(3)}
        body: Any = {"query": query, "variables": variables}
        if self.random.random() < 0.1:
            body = self.random.choice(
                (
                    [body],
                    {**body, "operationName": self.value(1)},
                    {**body, "extensions": {"persistedQuery": self.value(2)}},
                    {"query": self.value(1), "variables": self.value(1)},
                    self.value(4),
                )
            )
        sent = json.dumps(body, default=str).encode()
        if self.random.random() < 0.05:
            at = self.random.randrange(len(sent))
            sent = sent[:at] + self.random.randbytes(self.random.randrange(8)) + sent[at:]
        return sent

    def message(self) -> str | bytes:
        """A message on a websocket."""
        shape = self.random.random()
        if shape < 0.1:
            return self.random.randbytes(self.random.randrange(2_000))
        if shape < 0.3:
            return json.dumps(self.value(3), default=str)
        kind = self.random.choice(
            ("subscribe", "complete", "ping", "pong", "connection_init", "next", "error")
        )
        message: dict[str, Any] = {"type": kind}
        if self.random.random() < 0.9:
            message["id"] = (
                self.random.choice(("1", "2", *TEXTS)) if self.random.random() < 0.8 else self.value(1)
            )
        if self.random.random() < 0.9:
            message["payload"] = {"query": "{ tenant { name } }"} if kind == "subscribe" else self.value(2)
        return json.dumps(message, default=str)

    def raw(self, token: str) -> bytes:
        """What is sent on a bare socket; some of it knows the `token`."""
        line = self.random.choice(
            (
                "POST /graphql",
                "POST /internal/claims",
                "GET /health",
                "GET /ready",
                "POST /callbacks/x",
                "POST /webhooks/x",
            )
        )
        head = f"{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n".encode()
        body = b'{"query": "{ tenant { name } }"}'
        whole = head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        return self.random.choice(
            (
                lambda: self.random.randbytes(self.random.randrange(1, 4_000)),
                lambda: b"\x16\x03\x01" + self.random.randbytes(300),
                lambda: whole[: self.random.randrange(len(whole))],
                lambda: self._flipped(whole),
                lambda: head + b"x: " + b"y" * self.random.randrange(60_000, 200_000) + b"\r\n\r\n",
                lambda: head + b"".join(b"h%d: v\r\n" % n for n in range(5_000)) + b"\r\n",
                lambda: (
                    head
                    + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\nGET /internal HTTP/1.1\r\n\r\n"
                ),
                lambda: head + b"transfer-encoding: chunked\r\n\r\n" + b"ffffffffffffffff\r\n" + body,
                lambda: (
                    head
                    + b"transfer-encoding: chunked\r\n\r\n"
                    + b"5;"
                    + b"e" * 70_000
                    + b"\r\nhello\r\n0\r\n\r\n"
                ),
                lambda: head + b"content-length: 99999999999999999999\r\n\r\n" + body,
                lambda: head + b"content-length: +5\r\n\r\nhello",
                lambda: head + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",
                lambda: head + b"expect: 100-continue\r\ncontent-length: 10\r\n\r\n",
                lambda: whole * 20,
                lambda: b"GET / HTTP/1.1\r\n" + b" folded: x\r\n\r\n",
                lambda: b"\r\n" * 3_000 + whole,
                lambda: head + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n",
                lambda: head + b"connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n",
                lambda: head.replace(b"/graphql", self._path().encode("latin-1", "replace")) + b"\r\n",
            )
        )()

    def value(self, depth: int) -> Any:
        kinds = 7 if depth > 0 else 4
        match self.random.randrange(kinds):
            case 0:
                return self.random.choice(TEXTS)
            case 1:
                return self.random.choice(
                    [n for n in NUMBERS if not isinstance(n, int) or -(2**63) <= n < 2**64]
                )
            case 2:
                return self.random.choice((None, True, False))
            case 3:
                return self.random.choice(([], {}))
            case 4:
                return [self.value(depth - 1) for _ in range(self.random.randrange(5))]
            case 5:
                nested: Any = 1
                for _ in range(self.random.choice((10, 63, 70, 400))):
                    nested = [nested]
                return nested if depth > 2 else [nested]
            case _:
                return {
                    self.random.choice(TEXTS): self.value(depth - 1) for _ in range(self.random.randrange(5))
                }

    def _arguments(self, root: GraphQLField) -> Mapping[str, Any]:
        return {
            name: self._value(arg.type, 3)
            for name, arg in root.args.items()
            if isinstance(arg.type, GraphQLNonNull) or self.random.random() < 0.6
        }

    def _value(self, kind: GraphQLInputType, depth: int) -> Any:
        if self.random.random() < 0.08:
            return self.value(2)
        match kind:
            case GraphQLNonNull():
                return self._value(kind.of_type, depth)
            case GraphQLList():
                return [
                    self._value(kind.of_type, depth - 1) for _ in range(self.random.choice((0, 1, 2, 30)))
                ]
            case GraphQLEnumType():
                return self.random.choice(list(kind.values))
            case GraphQLInputObjectType():
                return {
                    name: self._value(field.type, depth - 1)
                    for name, field in kind.fields.items()
                    if isinstance(field.type, GraphQLNonNull) or self.random.random() < 0.5
                }
            case _:
                pools: Mapping[str, tuple[Any, ...]] = {
                    "Int": tuple(n for n in NUMBERS if isinstance(n, int) and abs(n) < 2**31),
                    "Float": tuple(n for n in NUMBERS if isinstance(n, float)),
                    "Boolean": (True, False),
                    "DateTime": TIMES,
                }
                if kind.name == "JSON":  # type: ignore[union-attr]
                    return self.value(4)
                return self.random.choice(pools.get(kind.name, TEXTS))  # type: ignore[union-attr]

    def _spoilt(self, query: str) -> str:
        words = query.split(" ")
        for _ in range(self.random.randrange(1, 5)):
            at = self.random.randrange(len(words))
            match self.random.randrange(6):
                case 0:
                    words.pop(at) if len(words) > 1 else None
                case 1:
                    words.insert(
                        at,
                        self.random.choice(
                            ("{", "}", "...", "@skip(if: $x)", "$", "!", '"', '"""', "#", "&", "|")
                        ),
                    )
                case 2:
                    words[at] = words[at] * self.random.choice((2, 50))
                case 3:
                    words.insert(
                        at,
                        "... on "
                        + self.random.choice(("Query", "Run", "Failure", "Nothing"))
                        + " { __typename }",
                    )
                case 4:
                    words.insert(at, "{" * self.random.choice((1, 100, 1_000)))
                case _:
                    words.insert(at, "".join(self.random.choices(string.printable, k=10)))
        return " ".join(words)

    def _flipped(self, whole: bytes) -> bytes:
        changed = bytearray(whole)
        for _ in range(self.random.randrange(1, 6)):
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        return bytes(changed)

    def _path(self) -> str:
        parts = (
            "/",
            "//",
            "..",
            "%2f",
            "%00",
            ";",
            "internal",
            "claims",
            "\\",
            "%c0%af",
            "?",
            "#",
            "graphql",
        )
        return "/" + "".join(self.random.choices(parts, k=self.random.randrange(1, 9)))
