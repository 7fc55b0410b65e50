"""A process that asks an internal API for access tokens: a request a line in, its answer a line out.

By the standard library alone, so that twenty of them start quickly.
"""

import http.client
import json
import sys

for line in sys.stdin:
    wanted = json.loads(line)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", wanted["port"], timeout=30)
        headers = {"content-type": "application/json", "authorization": f"Bearer {wanted['session']}"}
        connection.request("POST", wanted["path"], json.dumps(wanted["body"]), headers)
        answer = connection.getresponse()
        said = [answer.status, json.loads(answer.read() or b"null")]
    except OSError:
        said = [0, None]
    print(json.dumps(said), flush=True)
