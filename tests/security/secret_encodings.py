"""The encodings in which a secret is found, each as what it makes of a text; and a text that is costly to search."""

import base64
import html
import json
import urllib.parse
from collections.abc import Callable


def base64_at(shift: int) -> Callable[[str], str]:
    return lambda secret: base64.b64encode(b"abc"[:shift] + secret.encode() + b"xyz"[:shift]).decode()


def _escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "quote": lambda s: urllib.parse.quote(s, safe=""),
    "quote, slashes kept": urllib.parse.quote,
    "quote_plus": urllib.parse.quote_plus,
    "quote, lower case": lambda s: urllib.parse.quote(s, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
    "quoted twice": lambda s: urllib.parse.quote(urllib.parse.quote(s, safe=""), safe=""),
    "json": json.dumps,
    "json, Unicode kept": lambda s: json.dumps(s, ensure_ascii=False),
    "json, slashes escaped": lambda s: json.dumps(s).replace("/", "\\/"),
    "json in json": lambda s: json.dumps(json.dumps(s)),
    "html": html.escape,
    "html, every character by number": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "html, every character in hexadecimal": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
    "every byte in percents": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "every byte in percents, twice": lambda s: "".join(f"%25{byte:02X}" for byte in s.encode()),
    "every character escaped for JSON": _escaped,
    "every character escaped for JSON in HTML": lambda s: _escaped(s).replace("\\", "&#92;"),
    "base64 at 0": base64_at(0),
    "base64 at 1": base64_at(1),
    "base64 at 2": base64_at(2),
    "base64 of a form": lambda s: base64.b64encode(urllib.parse.quote_plus(s).encode()).decode(),
    "base64 of JSON": lambda s: base64.b64encode(json.dumps(s)[1:-1].encode()).decode(),
    "base64url of JSON, Unicode kept": lambda s: base64.urlsafe_b64encode(
        json.dumps(s, ensure_ascii=False)[1:-1].encode()
    ).decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "base64, quoted": lambda s: urllib.parse.quote(base64.b64encode(s.encode()).decode(), safe=""),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
}

# A text that is another one for each order in which it is decoded: searching it takes longer than one value may.
COSTLY = "%2541 \\\\u0041&amp;#65;\\u002541&#37;41%5cn&#x5c;n%26#65;" * 8_000
