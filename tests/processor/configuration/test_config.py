"""The configuration file: every mistake told at once, each with its path, and no secret ever shown."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from certificates import Authority
from spanward_processor.configuration.config import Config, ConfigError, load, parse
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES

SECRET = "s3cr3t-token"
TLS_BACKEND = "backends: [{{name: b, endpoint: 'https://host:4317', {extra}}}]"


def mistakes(text: str, **environment: str) -> list[str]:
    """Return the lines a wrong configuration is answered with."""
    with pytest.raises(ConfigError) as wrong:
        parse(text, environment)
    return list(wrong.value.errors)


def test_an_empty_file_is_the_default_configuration() -> None:
    """Every key has a default."""
    assert Config() == parse("") == parse("# nothing but a comment\n")


def test_every_mistake_is_told_at_once_with_its_path() -> None:
    """One reading shows all that is wrong: types, bounds, unknown keys, section rules, list items, missing secrets."""
    text = """
receiver: {listen: "0.0.0.0:4317"}
live: {listen: nowhere}
backends:
  - {name: first, endpoint: host, timout_s: 3}
  - {name: second, endpoint: "http://host:1", headers: {authorization: "${env:TOKEN}"}}
detection: {window_s: -5, learning: {windows: many}, roles: {modle: [x]}}
limits: {keys: 0}
forwarding: 7
"""

    assert [
        "backends[1].headers.authorization: must name a set environment variable, got TOKEN",
        "receiver.listen: must be on loopback, unless tls is configured or insecure_bind is true, got '0.0.0.0:4317'",
        "live.listen: must be HOST:PORT, an IPv6 HOST in brackets, with a port of 0 to 65535, got 'nowhere'",
        "backends[0].endpoint: must be http://HOST:PORT, or https://HOST:PORT for TLS, got 'host'",
        "backends[0].timout_s: must be a known key; did you mean timeout_s?",
        "forwarding: must be a mapping, got 7",
        "detection.window_s: must be greater than or equal to 0.1, got -5",
        "detection.learning.windows: must be a valid integer, unable to parse string as an integer, got 'many'",
        f"detection.roles.modle: must be a role, which are {', '.join(TEXT_ROLES | NUMBER_ROLES)}, got 'modle'",
        "limits.keys: must be greater than or equal to 1, got 0",
    ] == mistakes(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("detecton: {}", "detecton: must be a known key; did you mean detection?"),
        ("limits: {message_byts: 1}", "limits.message_byts: must be a known key; did you mean message_bytes?"),
        ("detection: {learning: {rws: 1}}", "detection.learning.rws: must be a known key; did you mean rows?"),
        (
            "telemetry: {unlike: 1}",
            "telemetry.unlike: must be a known key; known are interval_s, insecure_bind, listen",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_a_suggestion(text: str, line: str) -> None:
    """A typing error is not a setting that silently does nothing."""
    assert [line] == mistakes(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "canary: {executors: [{kind: webhok}]}",
            (
                "canary.executors[0].kind: must be one of 'webhook', 'flagd', 'command', 'argo_rollouts', 'istio', "
                "'gateway_api', got 'webhok'"
            ),
        ),
        ("canary: {executors: [{url: 'http://h:1'}]}", "canary.executors[0].kind: must be given"),
        (
            "canary: {executors: [{kind: webhook, url: 'http://h:1', secret: short}]}",
            "canary.executors[0].secret: must have at least 16 characters, got ***",
        ),
        (
            "canary: {executors: [{kind: flagd, file: f, flag: f, flagg: x}]}",
            "canary.executors[0].flagg: must be a known key; did you mean flag?",
        ),
    ],
)
def test_what_is_wrong_with_an_executor_is_told_by_the_keys_of_the_file(text: str, line: str) -> None:
    """Of an item that has one of several forms the path names what stands in the file, and the rule is in plain words."""
    assert [line] == mistakes(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits: {}\nlimits: {}", "key 'limits' stands twice in line 2, column 1"),
        ("limits: {keys: 1, keys: 2}", "key 'keys' stands twice in line 1, column 19"),
        ("? [a, b]\n: 1", "a key that is no text in line 1, column 3"),
        ("a: [1", "expected ',' or ']', but got '<stream end>' in line 1, column 6"),
        ("a: 'b\x00'", "unacceptable character #x0000: special characters are not allowed"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
    ],
)
def test_text_that_is_no_plain_yaml_is_refused_with_its_place(text: str, problem: str) -> None:
    """Keys that stand twice, keys that are lists, broken and unsafe YAML each get one line."""
    (line,) = mistakes(text)

    assert line.startswith("configuration: must be valid YAML, got ")
    assert problem in line


@pytest.mark.parametrize(("text", "kind"), [("- 1", "list"), ("word", "str"), ("7", "int"), ("false", "bool")])
def test_a_file_that_is_no_mapping_is_refused(text: str, kind: str) -> None:
    """Valid YAML may still be no configuration."""
    assert [f"configuration: must be a mapping, got {kind}"] == mistakes(text)


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    """References may stand anywhere in a text, several of them, and a file's last newline is not part of it."""
    file = tmp_path / "token"
    file.write_text("from-file\n", encoding="utf-8")
    headers = f"headers: {{a: 'Bearer ${{env:TOKEN}}', b: '${{file:{file}}}-${{env:TOKEN}}'}}"

    config = parse(TLS_BACKEND.format(extra=headers), {"TOKEN": SECRET})

    assert {"a": f"Bearer {SECRET}", "b": f"from-file-{SECRET}"} == config.backends[0].headers


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("${env:NOPE}", "must name a set environment variable, got NOPE"),
        ("${file:/no/such/file}", "must name a readable file, got /no/such/file (No such file or directory)"),
        ("${TOKEN}", "must refer to ${env:NAME} or ${file:PATH}, got ${TOKEN}"),
        ("${env:}", "must refer to ${env:NAME} or ${file:PATH}, got ${env:}"),
        ("${env:TOKEN", "must refer to ${env:NAME} or ${file:PATH}, got ${env:TOKEN"),
    ],
)
def test_a_secret_that_cannot_be_filled_in_is_a_mistake(reference: str, line: str) -> None:
    """A reference to nothing, or in another program's form, is never sent as it stands."""
    lines = mistakes(TLS_BACKEND.format(extra=f"headers: {{a: 'x {reference}'}}"))

    assert f"backends[0].headers.a: {line}" in lines


@pytest.mark.parametrize(
    "text",
    [
        "backends: [{name: b, endpoint: '${env:TOKEN}'}]",
        "receiver: {listen: '${env:TOKEN}'}",
        "telemetry: {interval_s: '${env:TOKEN}'}",
        "telemetry: '${env:TOKEN}'",
        "detection: {slices: '${env:TOKEN}'}",
        f"backends: [{{name: b, endpoint: 'https://user:{SECRET}@host:1'}}]",
        f"backends: [{{name: b, endpoint: 'https://h:1', headers: {SECRET}}}]",
        f"backends: [{{name: b, endpoint: 'https://h:1', headers: [{SECRET}]}}]",
        f"backends: [{{name: b, endpoint: 'https://h:1', headers: {{a: [{SECRET}]}}}}]",
        f"backends: [{{name: b, endpoint: 'https://h:1', headers: {{a: {SECRET}ü}}}}]",
        f"receiver: {{tls: {{cert_file: /dev/null, key_file: {SECRET}}}}}",
    ],
)
def test_no_secret_is_shown_in_a_mistake(text: str) -> None:
    """What came from outside the file, headers, keys and passwords in URLs are masked wherever they are wrong."""
    lines = mistakes(text, TOKEN=SECRET)

    assert lines
    assert SECRET not in "\n".join(lines)


@pytest.mark.parametrize("name", ["x tenant", "x:y", "", "grpc-timeout", "token-bin", "ü"])
def test_a_header_gRPC_could_not_send_is_refused(name: str) -> None:  # noqa: N802 - gRPC's own spelling
    """A header that would make every delivery fail is found at start."""
    (line,) = mistakes(TLS_BACKEND.format(extra=f"headers: {{'{name}': v}}"))

    assert "must be a header name" in line


@pytest.mark.parametrize(
    ("section", "key"),
    [("receiver", "listen"), ("receiver", "http_listen"), ("live", "listen"), ("telemetry", "listen")],
)
@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.1.2.3:1", "127.evil.example:1", "localhost.example:1"])
def test_beyond_loopback_nothing_listens_unprotected(section: str, key: str, address: str) -> None:
    """Only an address of this machine itself is let through; a name that merely looks like one is not."""
    (line,) = mistakes(f"{section}: {{{key}: '{address}'}}")

    assert line.startswith(f"{section}.{key}: must be on loopback, unless ")
    assert line.endswith(f"got '{address}'")
    assert parse(f"{section}: {{{key}: '{address}', insecure_bind: true}}")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.3.2.1:1", "localhost:1", "[::1]:65535"])
def test_loopback_needs_no_protection(address: str) -> None:
    """Every way to write this machine is taken."""
    assert address == parse(f"receiver: {{listen: '{address}'}}").receiver.listen


@pytest.mark.parametrize(
    "address", ["", "host", ":1", "host:", "host:-1", "host:65536", "::1:1", "a b:1", "host:²", "http://h:1"]
)
def test_an_address_is_host_and_port(address: str) -> None:
    """Anything else is refused as such."""
    (line,) = mistakes(f"receiver: {{listen: '{address}'}}")

    assert line.startswith("receiver.listen: must be HOST:PORT")


@pytest.mark.parametrize(
    "endpoint", ["host:1", "https://host", "https://h:1/v1/traces", "ftp://h:1", "https://h:99999"]
)
def test_an_endpoint_is_scheme_host_and_port(endpoint: str) -> None:
    """A backend that could never be reached is found at start."""
    (line,) = mistakes(f"backends: [{{name: b, endpoint: '{endpoint}'}}]")

    assert f"backends[0].endpoint: must be http://HOST:PORT, or https://HOST:PORT for TLS, got '{endpoint}'" == line


def test_tls_lets_the_receiver_listen_beyond_loopback(tmp_path: Path) -> None:
    """With a certificate no further permission is needed."""
    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.touch()
    key.touch()

    config = parse(f"receiver: {{listen: '0.0.0.0:1', tls: {{cert_file: {cert}, key_file: {key}}}}}")

    assert config.receiver.tls is not None


def test_the_journal_lies_where_the_user_s_programs_keep_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder it is the one of the XDG specification; a folder that is named is taken as it is."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    named = parse("journal: {folder: /var/lib/spanward}").journal
    unnamed = parse("").journal

    assert named is not None
    assert unnamed is not None
    assert named.as_settings().folder == Path("/var/lib/spanward")
    assert unnamed.as_settings().folder == tmp_path / "spanward" / "journal"


def test_tls_files_must_be_complete_and_readable() -> None:
    """A certificate without its key, and files that are not there, are told at start and not at the first connection."""
    text = """
receiver: {tls: {cert_file: /no/such/cert}}
backends:
  - {name: a, endpoint: "https://h:1", tls: {cert_file: /dev/null}}
  - {name: b, endpoint: "https://h:1", tls: {key_file: /dev/null, ca_file: /no/such/ca}}
"""

    assert mistakes(text) == [
        "receiver.tls.cert_file: must be a readable file (No such file or directory), got '/no/such/cert'",
        "receiver.tls.key_file: must be given",
        "backends[0].tls.key_file: must be given together with cert_file, or neither, got ***",
        "backends[1].tls.ca_file: must be a readable file (No such file or directory), got '/no/such/ca'",
        "backends[1].tls.key_file: must be given together with cert_file, or neither, got ***",
    ]


def test_tls_over_plain_http_is_refused() -> None:
    """Certificates on an http:// endpoint would be ignored, so they are a mistake."""
    (line,) = mistakes("backends: [{name: b, endpoint: 'http://h:1', tls: {ca_file: /dev/null}}]")

    assert line.startswith(
        "backends[0].tls: must stand only with an https:// endpoint; over http:// nothing is encrypted"
    )


def test_backends_have_distinct_names() -> None:
    """Counts and logs speak of backends by name."""
    text = "backends: [{name: a, endpoint: 'http://h:1'}, {name: a, endpoint: 'http://h:2'}]"

    assert mistakes(text) == ["backends: must have distinct names, not a twice"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "roles: {model: [x], version: [x]}",
            "detection.roles: must give an attribute one role: x stands in model and in version",
        ),
        (
            "roles: {version: [gen_ai.request.model]}",
            "detection.roles: must give an attribute one role: gen_ai.request.model stands in model and in version",
        ),
        (
            "slices: [user.hash]",
            "detection.roles: must give an attribute one role: user.hash stands in client and in slices",
        ),
        (
            "roles: {score: [a, b], error: [b, a]}",
            "detection.roles: must give an attribute one role: b stands in error and in score; a stands in error and in score",
        ),
        ("slices: [a, a]", "detection.slices: must name each attribute once"),
        ("slices: [version]", "detection.slices: must name attributes, not roles as version is"),
    ],
)
def test_an_attribute_plays_one_role(text: str, line: str) -> None:
    """An attribute given twice, also against the built-in lists and as a slice, is refused by name."""
    assert [line] == mistakes(f"detection: {{{text}}}")


BOUNDS: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "detection": {
        "window_s": (0.1, 86_400),
        "lateness_s": (0, 1e9),
        "false_alarms_per_day": (None, 1e9),
        "flagged_rows_ratio": (0, None),
        "half_life_s": (None, 1e9),
    },
    "dora": {
        "settle_s": (None, 3600),
        "min_requests": (1, 10_000),
        "fails_within_s": (None, 1e9),
        "deployments": (1, 1_000_000),
    },
    "limits": {
        "message_bytes": (1, 64 << 20),
        "in_flight_bytes": (1, 1 << 40),
        "in_flight_requests": (1, 1_000_000),
        "keys": (1, 10_000_000),
        "slices_per_series": (1, 10_000_000),
        "cells_per_window": (1, 100_000_000),
        "texts": (1, 10_000_000),
        "explained_rows": (1, 100_000_000),
        "idle_keys_s": (5e-324, 366 * 86_400),
        "future_s": (0, 1e9),
        "attributes_per_span": (1, 1_000_000),
        "string_bytes": (1, 64 << 20),
        "compression_ratio": (1, 100_000),
        "header_bytes": (1024, 1 << 20),
        "connections": (1, 1_000_000),
        "requests_per_s": (None, 1_000_000),
    },
    "forwarding": {
        "max_wait_s": (None, 1e9),
        "backoff_initial_s": (None, 1e9),
        "backoff_max_s": (None, 1e9),
        "joined_bytes": (1, 64 << 20),
        "in_flight": (1, 1024),
        "drain_s": (0, 1e9),
    },
    "state": {"interval_s": (None, 1e9)},
    "journal": {"most_bytes": (1 << 16, 1 << 44), "recent_bytes": (0, 1 << 40), "fsync_interval_s": (None, 1e9)},
    "canary": {
        "window_s": (0.1, 3600),
        "lateness_s": (0, 1e9),
        "warmup_s": (0, 1e9),
        "alpha": (None, 0.5),
        "min_requests": (1, 1_000_000_000),
        "promote_requests": (1, 1_000_000_000),
        "min_clients": (1, 1_000_000_000),
        "vanished_s": (None, 1e9),
        "cooldown_s": (0, 1e9),
        "timeout_s": (None, 1e9),
    },
    "telemetry": {"interval_s": (None, 1e9)},
}
"""Smallest and largest value of every number; None where the bound itself is refused: 0 below, 1 above."""

NULLABLE = {"requests_per_s"}
"""Numbers that may be left out by `null`."""


def holds_number(annotation: Any) -> bool:
    """Return whether a type is a number, or is made of one."""
    return annotation in {int, float} or any(holds_number(inner) for inner in get_args(annotation))


def test_every_number_is_in_the_table_of_bounds() -> None:
    """A new limit without a bound, or without a test of it, is noticed."""
    numbers = {
        (section, name)
        for section, model in Config()
        if isinstance(model, BaseModel)
        for name, field in type(model).model_fields.items()
        if holds_number(field.annotation)
    }

    assert {(section, name) for section, names in BOUNDS.items() for name in names} == numbers


@pytest.mark.parametrize(
    ("section", "name", "low", "high"),
    [(section, name, *bounds) for section, names in BOUNDS.items() for name, bounds in names.items()],
)
def test_numbers_keep_to_their_bounds(section: str, name: str, low: float | None, high: float | None) -> None:
    """The bounds themselves are taken; a little beyond, infinity, NaN and booleans are refused."""
    for taken in (low, high):
        if taken is not None:
            assert parse(f"{section}: {{{name}: {taken!r}}}")
    below = 0 if low is None else low - (1 if isinstance(low, int) else 0.01)
    above = 1 if high is None else high + 1
    words = [".nan", ".inf", "-.inf", "true", "text", "[]", *([] if name in NULLABLE else ["null"])]
    for refused in (below, above, *words):
        (line,) = mistakes(f"{section}: {{{name}: {refused}}}")
        assert line.startswith(f"{section}.{name}: must be ")


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command."""
    command = [sys.executable, "-m", "spanward_processor", "processor", "--check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_tells_every_mistake_and_exits_with_2(tmp_path: Path) -> None:
    """Each mistake is a line on standard error; nothing is on standard output."""
    file = tmp_path / "wrong.yaml"
    file.write_text("limits: {keys: 0}\nunheard: 1\n", encoding="utf-8")

    result = check("--config", str(file))

    assert (result.returncode, result.stdout) == (2, "")
    assert [line.split()[0] for line in result.stderr.splitlines()] == ["limits.keys:", "unheard:"]


def test_the_command_confirms_a_valid_file(tmp_path: Path) -> None:
    """A right file is summed up in one line, without what is secret."""
    file = tmp_path / "right.yaml"
    file.write_text(TLS_BACKEND.format(extra=f"headers: {{authorization: {SECRET}}}"), encoding="utf-8")

    result = check("--config", str(file))

    assert (result.returncode, result.stderr) == (0, "")
    assert "forwarding to b (https://host:4317)" in result.stdout
    assert SECRET not in result.stdout


def test_the_command_warns_of_what_is_open_to_others(tmp_path: Path) -> None:
    """It is no mistake, since the file says so; each port and what anybody can do there is a line on standard error."""
    file = tmp_path / "open.yaml"
    file.write_text("receiver: {listen: '0.0.0.0:4317', insecure_bind: true}", encoding="utf-8")

    result = check("--config", str(file))

    assert (result.returncode, result.stdout.partition(":")[0]) == (0, "configuration valid")
    assert [line.split(": ")[:3] for line in result.stderr.splitlines()] == [
        ["warning", "receiver.listen", "nothing is encrypted"],
        ["warning", "receiver.listen", "nobody is asked for a token or a certificate"],
    ]


def test_the_command_looks_inside_the_files_that_are_named(tmp_path: Path) -> None:
    """Certificates that are none, a key of another one, an encrypted key, short tokens: each has its line, all at once."""
    folders = [tmp_path / "own", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    own, other = (Authority(folder).make() for folder in folders)
    (certificate, key), (_, foreign) = own.issue("server", "/CN=server"), other.issue("server", "/CN=server")
    locked, nonsense, tokens = (tmp_path / name for name in ("locked.key", "nonsense.pem", "tokens"))
    encrypt = ("openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked))
    subprocess.run(encrypt, check=True, capture_output=True, timeout=60)
    nonsense.write_text("nonsense")
    tokens.write_text("short-but-secret"[:9])
    file = tmp_path / "processor.yaml"
    executor = f"{{kind: istio, namespace: n, object: o, ca_file: {nonsense}}}"
    file.write_text(
        f"""
receiver: {{tls: {{cert_file: {certificate}, key_file: {foreign}, client_ca_file: {nonsense}}}, tokens_file: {tokens}}}
backends:
  - {{name: a, endpoint: "https://h:1", tls: {{ca_file: {nonsense}}}}}
  - {{name: b, endpoint: "https://h:1", tls: {{cert_file: {nonsense}, key_file: {key}}}}}
  - {{name: c, endpoint: "https://h:1", tls: {{ca_file: {own.ca}, cert_file: {certificate}, key_file: {locked}}}}}
canary: {{executors: [{executor}]}}
""",
        encoding="utf-8",
    )

    checked = check("--config", str(file))

    assert (checked.returncode, checked.stdout) == (2, "")
    assert [(line.split(": ")[0], line.rpartition("got ")[2].strip("'")) for line in checked.stderr.splitlines()] == [
        ("receiver.tls.key_file", str(foreign)),
        ("receiver.tls.client_ca_file", str(nonsense)),
        ("receiver.tokens_file", str(tokens)),
        ("backends[0].tls.ca_file", str(nonsense)),
        ("backends[1].tls.cert_file", str(nonsense)),
        ("backends[2].tls.key_file", str(locked)),
        ("canary.executors[0].ca_file", str(nonsense)),
    ]
    assert "short-but" not in checked.stderr


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """The path is named."""
    missing = tmp_path / "missing.yaml"
    with pytest.raises(ConfigError) as wrong:
        load(missing)

    assert (f"{missing}: must be a readable file, got No such file or directory",) == wrong.value.errors


def test_a_file_that_is_not_text_is_a_mistake(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 get a line, not a traceback."""
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"# gr\xfc\xdfe")
    with pytest.raises(ConfigError) as wrong:
        load(file)

    assert (f"{file}: must be UTF-8 text, got byte 0xfc at 4",) == wrong.value.errors
