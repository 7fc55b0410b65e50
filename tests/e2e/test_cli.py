"""The command as a person uses it: real processes, a deployment by `headrace dev`, the demo's storefront."""

import json
import shutil
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest
import yaml

from tests.e2e.sites import DEMO, HEADRACE, Done, Site, ended, launched, start

# A deployment starts from nothing here, and on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(300)


def verbs(done: Done) -> dict[str, str]:
    return {f"{step['kind']} {step['name']}": step["verb"] for step in done.json["steps"]}


def test_applying_again_changes_nothing(applied: Site) -> None:
    done = applied("apply", "-f", str(DEMO), "--yes", "--json")
    assert done.code == 0, done.err
    assert set(verbs(done).values()) == {"unchanged"}
    assert not done.json["applied"]


def test_a_dry_run_shows_what_would_change_and_changes_nothing(applied: Site, tmp_path: Path) -> None:
    for file in (DEMO / "apps").glob("*.yaml"):
        shutil.copy(file, tmp_path)
    shutil.copytree(DEMO / "workflows", tmp_path / "workflows")
    shop = tmp_path / "shop.yaml"
    shop.write_text(shop.read_text().replace("timeoutMs: 5000", "timeoutMs: 4000"))
    plan = applied("apply", "-f", str(tmp_path), "--dry-run", "--json")
    changed = {name: verb for name, verb in verbs(plan).items() if verb != "unchanged"}
    # The workflows pin the action's revision, so they have to be published anew.
    assert changed == {
        "Action shop/get-order": "change",
        "Workflow refund-order": "change",
        "Workflow thank-customer": "change",
    }
    (action,) = (step for step in plan.json["steps"] if step["name"] == "shop/get-order")
    assert action["differences"] == ["timeoutMs"]
    assert verbs(applied("apply", "-f", str(tmp_path), "--dry-run", "--json")) == verbs(plan)


def test_secrets_are_written_once_and_again_only_when_asked(applied: Site) -> None:
    files = ["apply", "-f", str(DEMO / "apps" / "notifications.yaml"), "--json"]
    rotated = applied(*files, "--yes", "--rotate-secrets")
    differences = {step["name"]: step["differences"] for step in rotated.json["steps"]}
    assert differences["sender-pin"] == ["value"]
    assert differences["notifications-main"] == ["secrets.X-Notify-Token"]
    assert "made-up-notify_token" not in rotated.out + rotated.err
    assert set(verbs(applied(*files, "--dry-run")).values()) == {"unchanged"}


def test_a_file_may_say_which_apps_a_secret_is_for(applied: Site, tmp_path: Path) -> None:
    def found(apps: str) -> list[list[str]]:
        text = f"kind: Secret\nname: for-some\nvalue: a long enough value\n{apps}"
        (tmp_path / "secret.yaml").write_text(text)
        done = applied("apply", "-f", str(tmp_path), "--yes", "--json")
        return [[step["verb"], *step["differences"]] for step in done.json["steps"]]

    assert found("") == [["create"]]
    assert found("apps: [shop]") == [["change", "apps"]]
    assert found("apps: [shop, shop]") == found("") == [["unchanged"]]
    assert found("apps: [notifications, shop]") == [["change", "apps"]]


def test_nothing_is_applied_unasked(applied: Site, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(
        "kind: App\nname: unwanted\nbaseUrl: https://example.test\nauth: {kind: NONE}\n"
    )
    done = applied("apply", "-f", str(tmp_path))
    assert done.code == 2
    assert "--yes" in done.err
    assert verbs(applied("apply", "-f", str(tmp_path), "--dry-run", "--json")) == {"App unwanted": "create"}


def test_a_workflow_s_problems_are_told_with_file_and_path(applied: Site, tmp_path: Path) -> None:
    document = yaml.safe_load((DEMO / "workflows" / "thank-customer.yaml").read_text())
    document["workflow"] = "broken"
    document["steps"][0]["action"] = "shop/get-ordr"
    document["steps"][1]["connection"] = "nobody"
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(document))
    done = applied("apply", "-f", str(tmp_path), "--yes", "--json")
    assert done.code == 2
    problems = done.json["error"]["problems"]
    assert {p["path"].rpartition(": ")[2] for p in problems} >= {"steps[0].action", "steps[1].connection"}
    assert all("broken.yaml" in p["path"] and p["mend"] for p in problems)


def test_a_dry_run_asks_what_the_server_would_say(applied: Site, tmp_path: Path) -> None:
    document = yaml.safe_load((DEMO / "workflows" / "thank-customer.yaml").read_text())
    document["workflow"] = "broken"
    document["steps"][0]["action"] = "shop/get-ordr"
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(document))
    done = applied("apply", "-f", str(tmp_path), "--dry-run", "--json")
    assert done.code == 2
    (problem,) = done.json["error"]["problems"]
    assert problem["path"].endswith("broken.yaml: steps[0].action")
    assert "shop/get-order" in problem["mend"]
    # What the plan itself makes can not be asked about yet.
    action = {"kind": "Action", "app": "shop", "name": "get-ordr", "method": "GET", "endpointTemplate": "/o"}
    (tmp_path / "action.yaml").write_text(yaml.safe_dump(action))
    done = applied("apply", "-f", str(tmp_path), "--dry-run", "--json")
    assert (done.code, done.json["unchecked"]) == (0, ["broken"])
    assert "Action shop/get-ordr" in done.err


def test_what_was_applied_before_a_failure_is_told(applied: Site, tmp_path: Path) -> None:
    app = {"kind": "App", "name": "half", "baseUrl": "https://half.test", "auth": {"kind": "NONE"}}
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(app))
    action = {"kind": "Action", "app": "nowhere", "name": "get", "method": "GET", "endpointTemplate": "/"}
    (tmp_path / "lost.yaml").write_text(yaml.safe_dump(action))
    steps = [{"key": "a", "type": "transform", "input": {"a": 1}}]
    (tmp_path / "late.yaml").write_text(yaml.safe_dump({"workflow": "late", "steps": steps}))
    done = applied("apply", "-f", str(tmp_path), "--yes", "--json")
    assert (done.code, done.json["error"]["code"]) == (3, "NOT_FOUND")
    assert done.json["error"]["message"].endswith("lost.yaml: Action nowhere/get: app not found")
    assert [one["name"] for one in done.json["applied"]] == ["half"]
    assert [one["name"] for one in done.json["notApplied"]] == ["nowhere/get", "late"]
    (tmp_path / "lost.yaml").unlink()
    again = applied("apply", "-f", str(tmp_path), "--yes", "--json")
    assert verbs(again) == {"App half": "unchanged", "Workflow late": "create"}


def test_a_run_is_watched_to_its_end_and_its_calls_happened_once(applied: Site) -> None:
    done = start(applied, 1002, "--watch")
    assert done.code == 0, done.err
    run = done.json
    assert run["status"] == "SUCCESS"
    steps = {step["key"]: step for step in run["steps"]}
    assert steps["check_return"]["attemptCount"] == 3
    assert steps["explain"]["status"] == "SKIPPED"
    assert [e["status"] for e in applied.journal(operation="get_return", order="1002")] == [503, 503, 200]
    assert [e["status"] for e in applied.journal(operation="create_refund", order="1002")] == [201]
    assert "refund" in done.err  # people see the steps meanwhile
    shown = applied("run", "get", run["id"])
    assert "503" in shown.out
    assert applied("run", "get", run["id"], "--json").json["result"]["condition"] == "intact"
    assert "events explain the run" in applied("run", "verify", run["id"]).out


def test_a_run_that_is_watched_without_a_terminal_tells_its_id_and_its_result(applied: Site) -> None:
    given = json.dumps({"orderId": "1016", "reason": "a test"})
    done = applied("run", "start", "refund-order", "--input", given, "--watch")
    assert done.code == 0, done.err
    run_id = done.out.split()[1]
    assert f"refund-order {run_id} SUCCESS" in done.out
    assert "notified" in done.out.partition("result")[2]
    # What is shown of a run leads to it: in the logs too.
    assert applied("run", "get", run_id, "--json").json["id"] == run_id
    deadline = time.monotonic() + 20
    while run_id not in (lines := applied("logs", "succeeded", "--run", run_id).out):
        assert time.monotonic() < deadline, lines


def test_a_run_that_fails_exits_1_and_is_found_in_the_logs(applied: Site) -> None:
    done = start(applied, 1008, "--watch")
    assert done.code == 1
    run = done.json
    assert run["error"]["code"] == "HTTP_422"
    assert "HTTP_422" in done.err
    deadline = time.monotonic() + 20
    steps: set[str] = set()
    while "refund" not in steps:
        page = applied("logs", "refund", "422", "--level", "ERROR", "--run", run["id"], "--json")
        steps = {record["step"] for record in page.json["items"]}
        assert time.monotonic() < deadline, steps
    assert applied("logs", "refund", "422", "--run", run["id"], "--until", "1d", "--json").json["items"] == []
    listed = applied("run", "list", "--status", "FAILED", "--workflow", "refund-order", "--json").json[
        "items"
    ]
    assert run["id"] in {item["id"] for item in listed}


def test_the_same_key_is_the_same_run(applied: Site) -> None:
    first, second = (start(applied, 1003, "--key", "once").json["id"] for _ in range(2))
    assert first == second
    conflict = start(applied, 1004, "--key", "once")
    assert (conflict.code, conflict.json["error"]["code"]) == (2, "CONFLICT")


def test_input_comes_from_a_file_too(applied: Site, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('\ufeff{"orderId": "1001"}', encoding="utf-8")  # with an editor's byte order mark
    done = applied("run", "start", "thank-customer", "--input", f"@{file}", "--watch", "--json")
    assert done.json["status"] == "SUCCESS", done.err


def test_watching_goes_on_where_websockets_do_not_pass_and_while_a_control_plane_is_away(
    applied: Site,
) -> None:
    asked: list[int] = []

    class Forwarder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name: self.headers[name] for name in ("authorization", "content-type")}
            answer = httpx.post(f"{applied.url}/graphql", content=body, headers=headers)
            asked.append(len(asked))
            away = 2 <= asked[-1] < 5  # after the start, and one look at the run
            self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if away else answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Forwarder) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        done = applied(
            "run",
            "start",
            "thank-customer",
            "--input",
            '{"orderId": "1011"}',
            "--watch",
            "--json",
            HEADRACE_URL=f"http://127.0.0.1:{server.server_address[1]}",
            HEADRACE_API_KEY=applied.api_key,
        )
        server.shutdown()
    assert (done.code, done.json["status"]) == (0, "SUCCESS"), done.err
    assert len(asked) > 5


def test_a_run_that_was_started_is_named_when_the_line_breaks(applied: Site) -> None:
    class Once(BaseHTTPRequestHandler):
        answers: ClassVar = iter([HTTPStatus.OK])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name: self.headers[name] for name in ("authorization", "content-type")}
            self.send_response(next(self.answers, HTTPStatus.SERVICE_UNAVAILABLE))
            self.end_headers()
            self.wfile.write(httpx.post(f"{applied.url}/graphql", content=body, headers=headers).content)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Once) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        reached = {"HEADRACE_URL": f"http://127.0.0.1:{server.server_address[1]}"}
        given = ("--input", '{"orderId": "1011"}', "--watch", "--json")
        done = applied("run", "start", "thank-customer", *given, **reached, HEADRACE_API_KEY=applied.api_key)
        server.shutdown()
    assert (done.code, done.json["error"]["code"]) == (4, "UNAVAILABLE")
    assert applied("run", "get", done.json["run"], "--json").json["workflow"]["name"] == "thank-customer"


def test_logs_are_followed(applied: Site) -> None:
    process, output = launched(
        # From well before the run begins, however long this process takes to start beside it.
        [*HEADRACE, "logs", "--follow", "--since", "5m", "--level", "INFO", "--json"],
        applied.folder,
        applied.environment,
    )
    try:
        run_id = start(applied, 1006).json["id"]
        for line in output:
            if json.loads(line)["runId"] == run_id:
                break
        else:
            pytest.fail("the follower ended without the run's record")
    finally:
        ended(process)


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "word"),
    [
        (["run", "start", "nobody-wrote-this"], {}, 3, "NOT_FOUND"),
        (["run", "get", "not-an-id"], {}, 3, "NOT_FOUND"),
        (["run", "list"], {"HEADRACE_API_KEY": "hr_wrong"}, 3, "UNAUTHENTICATED"),
        (["logs", "--follow"], {"HEADRACE_API_KEY": "hr_wrong"}, 3, "UNAUTHENTICATED"),
        (
            ["run", "list"],
            {"HEADRACE_URL": "http://127.0.0.1:1", "HEADRACE_API_KEY": "hr_any"},
            4,
            "UNAVAILABLE",
        ),
        (
            ["logs", "--follow"],
            {"HEADRACE_URL": "http://127.0.0.1:1", "HEADRACE_API_KEY": "hr_any"},
            4,
            "UNAVAILABLE",
        ),
        (["run", "start", "refund-order", "--input", "{"], {}, 2, "--input"),
        (["run", "start", "refund-order", "--input", '{"orderId": 7}'], {}, 2, "input.orderId"),
        (["logs", "--since", "yesterday"], {}, 2, "--since"),
        (["apply", "-f", "missing.yaml"], {}, 2, "missing.yaml"),
        (["run", "list", "--after", "no-cursor"], {}, 2, "after"),
        (["run", "list", "--profile", "nobody"], {}, 2, "profile"),
        (["run", "list", "--first", "0"], {}, 2, "--first"),
    ],
)
def test_what_goes_wrong_is_told_in_words_and_by_the_exit_code(
    applied: Site, arguments: list[str], environment: dict[str, str], code: int, word: str
) -> None:
    done = applied(*arguments, **environment)
    assert done.code == code, done.err
    assert word in done.err


def test_errors_are_json_for_machines(applied: Site) -> None:
    done = applied("run", "start", "refund-order", "--input", "{}", "--json")
    assert done.code == 2
    error = done.json["error"]
    assert error["code"] == "INVALID_INPUT"
    assert {p["path"] for p in error["problems"]} == {"input.orderId", "input.reason"}


def test_an_ended_run_can_not_be_canceled(applied: Site) -> None:
    run_id = start(applied, 1010, "--watch").json["id"]
    done = applied("run", "cancel", run_id, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "CONFLICT")


def test_doctor_sees_the_deployment(site: Site) -> None:
    findings = {finding["what"]: finding for finding in site("doctor", "--json").json}
    assert findings["a deployment"]["verdict"] == "OK"
    assert findings["Postgres (wheel)"]["verdict"] == "OK"
    assert all(f["mend"] for f in findings.values() if f["verdict"] != "OK")


def test_doctor_tells_of_a_key_that_the_deployment_does_not_know(site: Site) -> None:
    done = site("doctor", "--json", "--api-key", "another")
    (found,) = [finding for finding in done.json if finding["what"] == "a deployment"]
    assert (done.code, found["verdict"], "does not know the key" in found["detail"]) == (1, "WRONG", True)
