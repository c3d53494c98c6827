"""Every way to roll back, against something real: an HTTP server, files, programs."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import http_servers
from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.executors.command import CommandExecutor
from spanward_processor.canary.executors.flagd import FlagdExecutor
from spanward_processor.canary.executors.webhook import WebhookExecutor
from spanward_processor.canary.section import key_of

ROLL_BACK = RollBack("id-1", "support", "router", "2.0", "2.1", "latency", "slower", 7)
SECRET = "0123456789abcdef"


class Hook:
    """Answers with given codes, one after the other, and keeps what it was sent.

    Args:
        answers: The codes; the last one is given again and again.
    """

    def __init__(self, answers: Sequence[int]) -> None:
        self.url = ""
        self.got: list[tuple[dict[str, str], bytes]] = []
        self._left = list(answers)

    def answer(self, headers: dict[str, str], body: bytes) -> int:
        """Keep a request and return how it is answered."""
        self.got.append((headers, body))
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


@contextmanager
def hook(*answers: int) -> Generator[Hook]:
    """Serve a hook over HTTP."""
    made = Hook(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(made.answer({name.lower(): value for name, value in self.headers.items()}, body))
            self.end_headers()

    with http_servers.served(Handler) as port:
        made.url = f"http://127.0.0.1:{port}/hook?token=hidden"
        yield made


def webhook(url: str, attempts: int = 4) -> WebhookExecutor:
    """Return an executor that posts there."""
    return WebhookExecutor(url, SECRET, attempts, rng=random.Random(1))


def test_a_webhook_is_signed_and_carries_its_id() -> None:
    """The receiver can tell by the secret that it is ours, and by the id that it has it already."""
    with hook(204) as receiver:
        done = asyncio.run(webhook(receiver.url).execute(ROLL_BACK))

    ((headers, body),) = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert done == "answered 204 at attempt 1"
    assert (headers["webhook-signature"], headers["idempotency-key"]) == (f"v1,{expected}", "id-1")
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert json.loads(body) == {
        "action": "roll_back",
        "id": "id-1",
        "service": "support",
        "model": "router",
        "stable": "2.0",
        "canary": "2.1",
        "guard": "latency",
        "reason": "slower",
        "decided_ns": 7,
    }


def test_a_secret_in_base64_is_that_of_standard_webhooks() -> None:
    """`whsec_` is followed by base64, as their libraries have it."""
    assert key_of("whsec_" + base64.b64encode(b"key").decode()) == b"key"
    assert key_of("plain-secret") == b"plain-secret"
    with pytest.raises(ValueError, match="must be base64 after whsec_"):
        key_of("whsec_not base64")


def test_a_webhook_is_tried_again_with_the_same_id() -> None:
    """A receiver that has trouble gets it again, until it takes it."""
    with hook(503, 429, 200) as receiver:
        done = asyncio.run(webhook(receiver.url).execute(ROLL_BACK))

    assert done == "answered 200 at attempt 3"
    assert {headers["idempotency-key"] for headers, _ in receiver.got} == {"id-1"}
    assert len(receiver.got) == 3


@pytest.mark.parametrize(("answer", "times", "reason"), [(500, 2, "answered 500, 2 times"), (403, 1, "answered 403")])
def test_a_webhook_that_is_refused_fails(answer: int, times: int, reason: str) -> None:
    """What cannot become better is not tried again."""
    with hook(answer) as receiver, pytest.raises(ExecutorError, match=reason):
        asyncio.run(webhook(receiver.url, attempts=2).execute(ROLL_BACK))

    assert len(receiver.got) == times


def test_a_webhook_that_nobody_takes_fails_without_its_url() -> None:
    """A query may hold a secret."""
    with hook(200) as receiver:
        url = receiver.url

    executor = webhook(url, attempts=1)
    with pytest.raises(ExecutorError) as failure:
        asyncio.run(executor.execute(ROLL_BACK))

    assert "hidden" not in f"{failure.value} {executor.name}"


FLAGS: dict[str, Any] = {
    "$schema": "https://flagd.dev/schema/v0/flags.json",
    "flags": {
        "other": {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"},
        "router": {
            "state": "ENABLED",
            "variants": {"stable": "2.0", "canary": "2.1"},
            "defaultVariant": "stable",
            "targeting": {"fractional": [["stable", 90], ["canary", 10]]},
        },
    },
}


def flag_file(folder: Path, flags: object = FLAGS) -> Path:
    """Return a file of flags."""
    file = folder / "flags.json"
    file.write_text(json.dumps(flags), encoding="utf-8")
    file.chmod(0o640)
    return file


def test_a_flag_gives_everybody_the_stable_version(tmp_path: Path) -> None:
    """Its targeting goes, the rest of the file stays, and the second time nothing is written."""
    file = flag_file(tmp_path)
    executor = FlagdExecutor(file, "router")

    done = asyncio.run(executor.execute(ROLL_BACK))

    tree = json.loads(file.read_text())
    flag = tree["flags"]["router"]
    assert done == "everybody gets variant stable"
    assert (flag["defaultVariant"], flag["targeting"], flag["metadata"]) == ("stable", {}, {"rolledBackBy": "id-1"})
    assert (tree["flags"]["other"], tree["$schema"]) == (FLAGS["flags"]["other"], FLAGS["$schema"])
    assert [path.name for path in tmp_path.iterdir()] == ["flags.json"]
    assert file.stat().st_mode & 0o777 == 0o640
    before = file.stat().st_mtime_ns
    assert "already" in asyncio.run(executor.execute(ROLL_BACK))
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"flags": {}}, "with this flag"),
        ([], "with this flag"),
        ({"flags": {"router": {"variants": {"a": 1, "b": 2}}}}, "value '2.0', or one called 'stable'; has a, b"),
    ],
)
def test_a_file_that_does_not_know_the_flag_stays_as_it_is(tmp_path: Path, flags: object, reason: str) -> None:
    """Nothing is guessed."""
    file = flag_file(tmp_path, flags)
    before = file.read_bytes()

    with pytest.raises(ExecutorError, match=reason):
        asyncio.run(FlagdExecutor(file, "router").execute(ROLL_BACK))

    assert file.read_bytes() == before


def test_a_real_provider_serves_the_stable_version_afterwards(tmp_path: Path) -> None:
    """OpenFeature's flagd provider reads the file: ten per cent before, nobody after."""
    script = """
import sys
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
api.set_provider_and_wait(FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=sys.argv[1]))
client = api.get_client()
print(sum(client.get_string_value("router", "none", EvaluationContext(f"c{n}")) == "2.1" for n in range(500)))
api.shutdown()
"""

    def canaries() -> int:
        command = [sys.executable, "-c", script, str(file)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    file = flag_file(tmp_path)
    before = canaries()
    asyncio.run(FlagdExecutor(file, "router").execute(ROLL_BACK))

    assert 20 < before < 90
    assert canaries() == 0


def program(code: str) -> CommandExecutor:
    """Return an executor that runs Python."""
    return CommandExecutor([sys.executable, "-c", code])


def test_a_command_is_told_on_standard_input_and_by_variables(tmp_path: Path) -> None:
    """A shell script and a real program both find what they need."""
    told = tmp_path / "told"
    code = f"import os, sys; open({str(told)!r}, 'w').write(os.environ['SPANWARD_STABLE'] + sys.stdin.read())"

    assert asyncio.run(program(code).execute(ROLL_BACK)) == "ended with code 0"
    assert told.read_bytes() == b"2.0" + ROLL_BACK.as_json() + b"\n"


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    """The code and the last line of standard error."""
    with pytest.raises(ExecutorError, match="ended with code 3: no such route"):
        asyncio.run(program("import sys; print('no such route', file=sys.stderr); sys.exit(3)").execute(ROLL_BACK))


def test_a_command_that_is_not_there_fails() -> None:
    """A wrong path is an answer, not a crash."""
    with pytest.raises(ExecutorError, match="cannot be started"):
        asyncio.run(CommandExecutor(["/nowhere/at/all"]).execute(ROLL_BACK))


def test_a_command_that_is_given_up_leaves_nothing_running(tmp_path: Path) -> None:
    """Its children end with it."""
    mark = tmp_path / "mark"
    child = f"import time; open({str(mark)!r}, 'w').close(); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    async def give_up() -> None:
        running = asyncio.create_task(program(code).execute(ROLL_BACK))
        await asyncio.to_thread(_until, mark.exists)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(give_up(), 30))

    assert not [line for line in _commands() if str(mark) in line]


def _until(met: Callable[[], bool]) -> None:
    while not met():
        time.sleep(0.01)


def _commands() -> list[str]:
    """Return the command line of every process."""
    found: list[str] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_text(errors="replace"))
        except OSError:
            continue
    return found
