"""SIGHUP: a new configuration holds at once where it can, and no sender notices; a wrong one changes nothing."""

import contextlib
import http.client
import random
import socket
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
import pytest

from certificates import Authority
from crashing import MoodyBackend
from running import export
from spans import encoded, eventually, span
from strict import METHOD, Load, running

PORTS = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
TOKEN, OTHER = "a-token-that-is-long", "another-token-as-long"


def configured(folder: Path, *ports: int, **sections: Any) -> dict[str, Any]:
    """Return a configuration that delivers to backends on these ports, by the names a, b, ..."""
    return {
        "receiver": PORTS,
        "live": {"listen": "127.0.0.1:0"},
        "journal": {"folder": str(folder / "journal")},
        "backends": [
            {"name": name, "endpoint": f"http://127.0.0.1:{port}"} for name, port in zip("abc", ports, strict=False)
        ],
        "telemetry": {"interval_s": 3600},
    } | sections


@contextlib.contextmanager
def moody(count: int = 1) -> Generator[list[MoodyBackend]]:
    """Run so many backends."""
    backends = [MoodyBackend(random.Random(number)) for number in range(count)]
    try:
        yield backends
    finally:
        for backend in backends:
            backend.close()


def all_once(load: Load, *backends: MoodyBackend) -> bool:
    """Return whether everything acknowledged has arrived at the backends together, and nothing twice."""

    def arrived() -> dict[bytes, int]:
        return {key: sum(backend.arrived[key] for backend in backends) for key in load.acknowledged}

    return eventually(lambda: min(arrived().values()) >= 1) and max(arrived().values()) == 1


def test_no_request_fails_and_none_is_lost_or_doubled_while_everything_changes(tmp_path: Path) -> None:
    """Limits, TLS-less receivers, tokens, the budget, the page, the journal, the backend's way: changed under load."""
    (tmp_path / "tokens").write_text(f"{TOKEN}\n{OTHER}\n")
    with moody() as (backend,):
        base = configured(tmp_path, backend.port)
        receiver = PORTS | {"tokens_file": str(tmp_path / "tokens")}
        way = base["backends"][0]
        with running(tmp_path, base) as processor:
            load = Load(processor.address(), processor.address("http"), token=TOKEN)
            with load.sending():
                for changed in (
                    {"limits": {"message_bytes": 1 << 20, "header_bytes": 8192}},
                    {"limits": {"in_flight_bytes": 64 << 20, "requests_per_s": 10_000, "compression_ratio": 20}},
                    {"receiver": receiver, "detection": {"false_alarms_per_day": 10, "lateness_s": 1}},
                    {"live": None, "journal": base["journal"] | {"most_bytes": 1 << 28, "fsync": "always"}},
                    {"backends": [way | {"compression": "gzip", "timeout_s": 3}]},
                    {"backends": [way | {"headers": {"x": "y"}}], "forwarding": {"in_flight": 1, "joined_bytes": 4096}},
                    {"telemetry": {"interval_s": 60}},
                    {},
                ):
                    load.more()
                    processor.reload(base | changed)
                load.more()
            assert load.failures == []
            assert all_once(load, backend)
            processor.stop()
        assert "Traceback" not in processor.log


def test_a_reload_after_the_other_keeps_connections(tmp_path: Path) -> None:
    """Where nothing about a receiver changes, its connections stay: over HTTP the same socket answers all along."""
    with moody() as (backend,):
        config = configured(tmp_path, backend.port)
        with running(tmp_path, config) as processor:
            host, _, port = processor.address("http").rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=20)
            ours: set[Any] = set()
            for each in range(3):
                connection.request("POST", "/v1/traces", encoded(span()), {"content-type": "application/x-protobuf"})
                assert connection.getresponse().read() == b""
                ours.add(connection.sock and connection.sock.getsockname())
                processor.reload(config | {"detection": {"false_alarms_per_day": each + 2}})
            connection.close()

    assert len(ours) == 1


def test_a_wrong_file_is_refused_with_every_error_and_the_old_one_holds(tmp_path: Path) -> None:
    """Two mistakes in the file, both logged; spans go on being taken and delivered."""
    with moody() as (backend,):
        config = configured(tmp_path, backend.port)
        with running(tmp_path, config) as processor, Load(processor.address()).sending() as load:
            load.more()
            wrong = config | {"limits": {"keys": 0, "kyes": 1}, "telemetry": {"interval_s": -1}}
            said = processor.reload(wrong, answer="interval_s")
            assert eventually(lambda: processor.log.count("configuration refused") == 3)
            load.more()
        assert load.failures == []

    assert "limits.kyes: must be a known key" in processor.log
    assert "limits.keys: must be" in processor.log
    assert "configuration reloaded" not in said


def test_what_cannot_be_opened_is_refused_with_every_error_and_nothing_changes(tmp_path: Path) -> None:
    """A taken port, a short token and a certificate that is none: all three are told, and nothing of the file holds."""
    (tmp_path / "tokens").write_text("short\n")
    (tmp_path / "ca.pem").write_text("nonsense")
    with moody() as (backend,), socket.create_server(("127.0.0.1", 0)) as taken:
        config = configured(tmp_path, backend.port)
        port = taken.getsockname()[1]
        wrong = config | {
            "receiver": {"listen": f"127.0.0.1:{port}", "tokens_file": str(tmp_path / "tokens")},
            "backends": [
                {"name": "b", "endpoint": "https://127.0.0.1:1", "tls": {"ca_file": str(tmp_path / "ca.pem")}}
            ],
        }
        with running(tmp_path, config) as processor:
            processor.reload(wrong, answer="must be a certificate of an authority")
            assert export(processor.address(), encoded(span({}, span_id=b"12345678"))) == b""
            assert eventually(lambda: backend.arrived[b"12345678"] == 1)
        log = processor.log

    assert f"127.0.0.1:{port} cannot be used: Address already in use" in log
    assert "must hold tokens of at least" in log
    assert log.count("configuration refused") == 3


def test_what_needs_a_restart_is_named_and_the_rest_holds(tmp_path: Path) -> None:
    """The journal's folder and the window's length wait; the token file of the same change holds at once."""
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    with moody() as (backend,):
        config = configured(tmp_path, backend.port)
        changed = config | {
            "receiver": PORTS | {"tokens_file": str(tmp_path / "tokens")},
            "journal": {"folder": str(tmp_path / "elsewhere")},
            "detection": {"window_s": 5},
        }
        with running(tmp_path, config) as processor:
            said = processor.reload(changed)
            with pytest.raises(grpc.RpcError) as refused:
                export(processor.address(), encoded(span()))

    assert "needs a restart key=journal.folder" in said
    assert "needs a restart key=detection.window_s" in said
    assert said.count("needs a restart") == 2
    assert "UNAUTHENTICATED" in str(refused.value)
    assert not (tmp_path / "elsewhere").exists()


def test_a_token_taken_out_by_a_reload_holds_no_longer_on_an_open_connection(tmp_path: Path) -> None:
    """The gate is exchanged for connections that are open already."""
    (tmp_path / "old").write_text(f"{TOKEN}\n")
    (tmp_path / "new").write_text(f"{OTHER}\n")
    config = configured(tmp_path, receiver=PORTS | {"tokens_file": str(tmp_path / "old")})
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {TOKEN}"}
    with running(tmp_path, config) as processor, httpx.Client() as client:
        url = f"http://{processor.address('http')}/v1/traces"
        before = client.post(url, content=encoded(span()), headers=headers).status_code
        processor.reload(config | {"receiver": PORTS | {"tokens_file": str(tmp_path / "new")}})
        after = client.post(url, content=encoded(span()), headers=headers).status_code

    assert (before, after) == (200, 401)


def test_receivers_move_to_other_ports_while_senders_come_along(tmp_path: Path) -> None:
    """The new listeners are open before the old ones close; what was acknowledged at either place arrives once."""
    with moody() as (backend,):
        config = configured(tmp_path, backend.port)
        with running(tmp_path, config) as processor:
            first = Load(processor.address(), processor.address("http"))
            with first.sending():
                first.more()
                free = [_free_port(), _free_port()]
                moved = {"listen": f"127.0.0.1:{free[0]}", "http_listen": f"127.0.0.1:{free[1]}"}
                processor.reload(config | {"receiver": moved})
                second = Load(moved["listen"], moved["http_listen"], numbers=first.numbers)
                with second.sending():
                    second.more()
            assert second.failures == []
            second.acknowledged |= first.acknowledged
            assert all_once(second, backend)
            assert eventually(lambda: not _listens(processor.address()))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False


def test_a_backend_is_added_changed_and_taken_out_without_loss(tmp_path: Path) -> None:
    """A second one gets what comes from then on; the first, moved and taken out while down, still gets what waited."""
    with moody(3) as (first, second, elsewhere), running(tmp_path, configured(tmp_path, first.port)) as processor:
        with Load(processor.address()).sending() as load:
            load.more()
            processor.reload(configured(tmp_path, first.port, second.port))
            load.more()
            since = set(load.acknowledged)
            assert eventually(lambda: all_arrived(since, first))
            first.turn("down")
            load.more()
            processor.reload(configured(tmp_path, elsewhere.port, second.port))
            load.more()
            elsewhere.turn("down")
            load.more()
            waited = set(load.acknowledged)
            processor.reload(without_first(configured(tmp_path, 0, second.port)))
            load.more()
            elsewhere.turn("well")
            assert eventually(lambda: "backend has left backend=a undelivered_bytes=0" in processor.log)
            load.more()
        processor.stop()

        assert load.failures == []
        assert all_arrived(load.acknowledged - since, second)
        assert all(first.arrived[key] + elsewhere.arrived[key] >= 1 for key in waited)
    assert not (tmp_path / "journal" / "cursor-a").exists()


def test_what_was_forwarded_stays_so_when_a_backend_is_added(tmp_path: Path) -> None:
    """The new one has taken nothing yet; it is behind no one for what came before it, and counts from then on."""
    with moody(2) as (first, second), running(tmp_path, configured(tmp_path, first.port)) as processor:

        def forwarded() -> int:
            return int(httpx.get(f"http://{processor.address('page')}/api/snapshot").json()["counts"]["forwarded"])

        for number in range(5):
            export(processor.address(), encoded(span({}, span_id=b"before-%d" % number)))
        assert eventually(lambda: forwarded() == 5)
        processor.reload(configured(tmp_path, first.port, second.port))
        after = forwarded()
        export(processor.address(), encoded(span({}, span_id=b"12345678")))
        together = eventually(lambda: forwarded() == 6)

        assert (after, together, second.arrived[b"12345678"]) == (5, True, 1)


def without_first(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without its first backend."""
    return config | {"backends": config["backends"][1:]}


def all_arrived(keys: set[bytes], backend: MoodyBackend) -> bool:
    """Return whether a backend has all of these spans."""
    return all(backend.arrived[key] for key in keys)


def test_a_dead_backend_that_was_taken_out_gives_way_when_the_journal_is_full(tmp_path: Path) -> None:
    """Others need the room: nobody is refused for the sake of a backend that is no longer configured."""
    with moody(2) as (dead, well):
        journal = {"folder": str(tmp_path / "journal"), "most_bytes": 1 << 18}
        config = configured(tmp_path, dead.port, well.port, journal=journal)
        dead.turn("down")
        with running(tmp_path, config) as processor:
            with Load(processor.address()).sending() as load:
                load.more()
                processor.reload(without_first(config))
                assert eventually(lambda: "backend has left backend=a" in processor.log or bool(load.failures))
                load.more()
            processor.stop()

        assert load.failures == []
        assert all_arrived(load.acknowledged, well)


def test_the_first_backend_of_all_brings_the_journal_with_it(tmp_path: Path) -> None:
    """Started with no backend, spans go nowhere; after the reload they are in the journal and arrive."""
    with moody() as (backend,), running(tmp_path, configured(tmp_path)) as processor:
        with Load(processor.address()).sending() as load:
            load.more()
            processor.reload(configured(tmp_path, backend.port))
            load.more()
            before = set(load.acknowledged)
            load.more()
        processor.stop()

        assert load.failures == []
        assert all_arrived(load.acknowledged - before, backend)
        assert list((tmp_path / "journal").glob("*.segment"))


def test_tls_is_turned_on_for_both_receivers(tmp_path: Path) -> None:
    """Plain text is taken before, TLS after, at the same ports; senders who hold plain connections are told to go."""
    authority = Authority(tmp_path).make()
    certificate, key = authority.issue("server", "/CN=server")
    config = configured(tmp_path)
    tls = {"cert_file": str(certificate), "key_file": str(key)}
    with running(tmp_path, config) as processor:
        export(processor.address(), encoded(span()))
        processor.reload(config | {"receiver": PORTS | {"tls": tls}})
        credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
        with grpc.secure_channel(processor.address(), credentials) as channel:
            call = cast("Any", channel).unary_unary(METHOD)
            answered = call(encoded(span()), timeout=20)
        context = ssl.create_default_context(cafile=str(authority.ca))
        with httpx.Client(verify=context) as client:
            url = f"https://{processor.address('http')}/v1/traces"
            headers = {"content-type": "application/x-protobuf"}
            status = client.post(url, content=encoded(span()), headers=headers).status_code

    assert (answered, status) == (b"", 200)


def test_the_page_comes_and_goes(tmp_path: Path) -> None:
    """Taken out it no longer answers; put in again it answers, with the budget of the new file."""
    config = configured(tmp_path, live=None)
    with running(tmp_path, config) as processor:
        port = _free_port()
        shown = {"live": {"listen": f"127.0.0.1:{port}"}, "detection": {"false_alarms_per_day": 7}}
        processor.reload(config | shown)
        snapshot = httpx.get(f"http://127.0.0.1:{port}/api/snapshot").json()
        processor.reload(config)
        gone = eventually(lambda: not _listens(f"127.0.0.1:{port}"))

    assert snapshot["budget_per_day"] == 7
    assert gone
