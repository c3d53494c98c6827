"""Who may send, and who can read along: TLS, client certificates, tokens, with official clients."""

import gzip
import socket
import ssl
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import trustme
from cryptography import x509
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError

import running
from crashing import METHOD
from http_servers import served
from spans import encoded, eventually, span
from spanward_processor.configuration.config import Config
from spanward_processor.tls import TlsError

TOKEN, OTHER = "token-of-team-one", "token-of-team-two"


class Certificates:
    """An authority, and a server's certificate in files.

    Args:
        folder: Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.authority_file = folder / "ca.pem"
        self.cert_file = folder / "server.pem"
        self.key_file = folder / "server.key"
        self.authority.cert_pem.write_to_path(str(self.authority_file))
        self.issue()

    def issue(self) -> int:
        """Write a new certificate for the server, as an operator exchanges one; return its serial number."""
        made = self.authority.issue_cert("localhost", "127.0.0.1")
        for file, pem in ((self.key_file, made.private_key_pem), (self.cert_file, made.cert_chain_pems[0])):
            fresh = file.with_suffix(".new")
            pem.write_to_path(str(fresh))
            fresh.replace(file)
        return _serial(made.cert_chain_pems[0].bytes())

    def receiver(self, **more: Any) -> dict[str, Any]:
        """Return the receiver's section of the configuration."""
        tls = {"cert_file": str(self.cert_file), "key_file": str(self.key_file)}
        return {"listen": "127.0.0.1:0", "http_listen": None, "tls": tls | more}

    def trusted(self, client: bytes | None = None, key: bytes | None = None) -> grpc.ChannelCredentials:
        """Return what a client needs to trust the server, with a certificate of its own if given."""
        return grpc.ssl_channel_credentials(self.authority_file.read_bytes(), key, client)


def _serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Certificates of an authority of this test's own."""
    return Certificates(tmp_path)


def export_once(exporter: OTLPSpanExporter) -> SpanExportResult:
    """Export one span with the official exporter."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with provider.get_tracer("t").start_as_current_span("s"):
        pass
    result = exporter.export(cast("Any", kept.get_finished_spans()))
    cast("Any", exporter).shutdown()
    provider.shutdown()
    return result


def call(
    channel: grpc.Channel, headers: Sequence[tuple[str, str]] = (), timeout: float = 20
) -> tuple[grpc.StatusCode, str]:
    """Export one span; return status and message."""
    with channel:
        try:
            cast("Any", channel).unary_unary(METHOD)(encoded(span()), timeout=timeout, metadata=headers)
        except grpc.RpcError as error:
            return cast("Any", error).code(), str(cast("Any", error).details())
    return grpc.StatusCode.OK, ""


def test_the_official_exporter_sends_over_tls(certificates: Certificates) -> None:
    """With the authority's certificate it connects, and the span goes on."""
    with running.backend() as (backend, port), running.processor(port, receiver=certificates.receiver()) as processor:
        exporter = OTLPSpanExporter(
            f"https://{processor.receiver_address}", credentials=certificates.trusted(), timeout=20
        )

        assert export_once(exporter) is SpanExportResult.SUCCESS
        assert len(backend.traces) == 1


def test_without_tls_nothing_is_taken_on_a_tls_port(certificates: Certificates) -> None:
    """A sender that forgot to encrypt gets no OK, and the next one is served."""
    with running.processor(receiver=certificates.receiver()) as processor:
        code, _ = call(grpc.insecure_channel(processor.receiver_address), timeout=5)

        assert code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert processor.counts.accepted == 0
        secure = grpc.secure_channel(processor.receiver_address, certificates.trusted())
        assert call(secure)[0] is grpc.StatusCode.OK


def test_versions_below_tls_1_2_are_refused(certificates: Certificates) -> None:
    """As RFC 8996 asks."""
    with running.processor(receiver=certificates.receiver()) as processor:
        context = ssl.create_default_context(cafile=str(certificates.authority_file))
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _handshake(processor.receiver_address, context)


def _handshake(address: str, context: ssl.SSLContext) -> bytes:
    """Connect; return the certificate that is shown."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        shown = encrypted.getpeercert(binary_form=True)
    assert shown
    return shown


def test_with_a_client_authority_only_its_clients_may_send(certificates: Certificates) -> None:
    """No certificate, or one of somebody else's authority, is refused; one of ours is let in."""
    receiver = certificates.receiver(client_ca_file=str(certificates.authority_file))
    ours = certificates.authority.issue_cert("client.example")
    foreign = trustme.CA().issue_cert("client.example")
    with running.processor(receiver=receiver) as processor:
        codes = [
            call(grpc.secure_channel(processor.receiver_address, credentials), timeout=5)[0]
            for credentials in (
                certificates.trusted(),
                certificates.trusted(foreign.cert_chain_pems[0].bytes(), foreign.private_key_pem.bytes()),
            )
        ]
        assert set(codes) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        assert processor.counts.accepted == 0
        known = certificates.trusted(ours.cert_chain_pems[0].bytes(), ours.private_key_pem.bytes())
        assert call(grpc.secure_channel(processor.receiver_address, known))[0] is grpc.StatusCode.OK


def test_a_certificate_exchanged_on_disk_is_shown_to_new_connections(certificates: Certificates) -> None:
    """Open connections go on, new ones see the new certificate, nothing is restarted."""
    journal_interval_s = 0.1  # certificates are looked at as often as the journal is forced to the medium, or every 5 s
    context = ssl.create_default_context(cafile=str(certificates.authority_file))
    with running.backend() as (_, port):
        journal = {"folder": str(certificates.cert_file.parent / "journal"), "fsync_interval_s": journal_interval_s}
        with running.processor(port, receiver=certificates.receiver(), journal=journal) as processor:
            address = processor.receiver_address
            with grpc.secure_channel(address, certificates.trusted()) as opened:
                send = cast("Any", opened).unary_unary(METHOD)
                send(encoded(span()), timeout=20)
                expected = certificates.issue()

                assert eventually(lambda: _serial_shown(address, context) == expected)
                assert send(encoded(span()), timeout=20) == b""


def _serial_shown(address: str, context: ssl.SSLContext) -> int:
    return _serial(ssl.DER_cert_to_PEM_cert(_handshake(address, context)).encode())


def test_a_certificate_that_cannot_be_used_leaves_the_old_one_in_force(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip of the operator does not take the receiver down."""
    with running.backend() as (_, port):
        journal = {"folder": str(certificates.cert_file.parent / "journal"), "fsync_interval_s": 0.1}
        with running.processor(port, receiver=certificates.receiver(), journal=journal) as processor:
            certificates.key_file.write_text("rubbish", encoding="utf-8")
            assert eventually(lambda: "certificate stays as it was" in caplog.text)

            secure = grpc.secure_channel(processor.receiver_address, certificates.trusted())
            assert call(secure)[0] is grpc.StatusCode.OK


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A file of two tokens."""
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n{OTHER}\n", encoding="utf-8")
    return file


def guarded(tokens: Path) -> dict[str, Any]:
    """Return the receiver's section of the configuration."""
    return {"listen": "127.0.0.1:0", "http_listen": None, "tokens_file": str(tokens)}


def test_the_official_exporter_shows_its_token(tokens: Path) -> None:
    """Every token of the file lets in; the token is not handed on to a backend."""
    with running.backend() as (backend, port), running.processor(port, receiver=guarded(tokens)) as processor:
        for token in (TOKEN, OTHER):
            exporter = OTLPSpanExporter(
                f"http://{processor.receiver_address}",
                insecure=True,
                headers={"authorization": f"Bearer {token}"},
                timeout=20,
            )
            assert export_once(exporter) is SpanExportResult.SUCCESS

    assert len(backend.traces) == 2
    assert all("authorization" not in headers for headers in backend.headers)


@pytest.mark.parametrize(
    "headers", [(), (("authorization", "Bearer token-of-nobody-x"),), (("authorization", f"Basic {TOKEN}"),)]
)
def test_without_a_token_of_the_file_a_sender_is_unauthenticated(
    headers: tuple[tuple[str, str], ...], tokens: Path
) -> None:
    """Missing, wrong, or in another scheme: refused with a reason that shows no token."""
    with running.processor(receiver=guarded(tokens)) as processor:
        code, message = call(grpc.insecure_channel(processor.receiver_address), headers)

        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert "bearer token" in message
        assert TOKEN not in message
        assert processor.counts.accepted == 0


def test_a_stranger_is_refused_before_its_message_is_read(tokens: Path) -> None:
    """Headers alone are answered: no byte of a body is waited for."""
    with (
        running.processor(receiver=guarded(tokens)) as processor,
        grpc.insecure_channel(processor.receiver_address) as channel,
    ):
        endless = cast("Any", channel).stream_unary(METHOD)

        def nothing_yet() -> Any:
            while not answered:
                time.sleep(0.02)
            return
            yield b""

        answered: list[bool] = []
        future = endless.future(nothing_yet(), timeout=20)
        try:
            error = future.exception(timeout=20)
        finally:
            answered.append(True)

        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


def _refused(send: Any, headers: Sequence[tuple[str, str]]) -> grpc.StatusCode | None:
    """Export one span; return the status with which it is refused."""
    try:
        send(encoded(span()), timeout=20, metadata=headers)
    except grpc.RpcError as error:
        code: grpc.StatusCode = cast("Any", error).code()
        return code
    return None


def test_tokens_changed_on_disk_come_into_force(tokens: Path) -> None:
    """A token taken out of the file is refused soon after, on an open connection too; a new one is let in."""
    with running.processor(receiver=guarded(tokens)) as processor:
        address = processor.receiver_address
        old = (("authorization", f"Bearer {TOKEN}"),)
        with grpc.insecure_channel(address) as channel:
            send = cast("Any", channel).unary_unary(METHOD)
            send(encoded(span()), timeout=20, metadata=old)
            fresh = tokens.with_suffix(".new")
            fresh.write_text("token-of-team-three\n", encoding="utf-8")
            fresh.replace(tokens)

            assert eventually(lambda: _refused(send, old) is grpc.StatusCode.UNAUTHENTICATED)
        new = (("authorization", "Bearer token-of-team-three"),)
        assert call(grpc.insecure_channel(address), new)[0] is grpc.StatusCode.OK


def test_a_peer_above_its_rate_is_told_to_come_back() -> None:
    """limits.requests_per_s holds over the wire: UNAVAILABLE, which senders retry."""
    with running.processor(limits={"requests_per_s": 0.5}) as processor:
        codes = [call(grpc.insecure_channel(processor.receiver_address))[0] for _ in range(2)]

    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE]


@pytest.mark.parametrize("key", ["listen", "http_listen"])
def test_beyond_this_machine_needs_tls_or_an_explicit_word(key: str, certificates: Certificates) -> None:
    """Bound elsewhere without TLS the configuration is refused, tokens or not; each of the two makes it valid."""
    open_to_all = {key: "0.0.0.0:0"}
    files = {"cert_file": str(certificates.cert_file), "key_file": str(certificates.key_file)}
    with pytest.raises(ValidationError, match="must be on loopback"):
        Config.model_validate({"receiver": open_to_all})

    assert Config.model_validate({"receiver": open_to_all | {"insecure_bind": True}})
    assert Config.model_validate({"receiver": open_to_all | {"tls": files}})


def test_what_is_open_beyond_this_machine_is_told_at_start(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Each port that anybody can reach has its warnings; encrypted and asked for a token it has none."""
    (certificates.folder / "tokens").write_text(f"{TOKEN}\n")
    known = certificates.receiver() | {"listen": "0.0.0.0:0", "tokens_file": str(certificates.folder / "tokens")}
    with running.processor(receiver=known, live={"listen": "0.0.0.0:0", "insecure_bind": True}):
        pass
    told = [record.args for record in caplog.records if "opens a port" in record.msg]
    caplog.clear()
    with running.processor(receiver={"listen": "0.0.0.0:0", "http_listen": None, "insecure_bind": True}):
        pass
    of_strangers = [record.args for record in caplog.records if "opens a port" in record.msg]

    assert told == [("live.listen", "0.0.0.0:0", "nobody is asked to log in: everybody who reaches it can read")]
    assert [(args[0], str(args[2]).partition(":")[0]) for args in cast("list[tuple[object, ...]]", of_strangers)] == [
        ("receiver.listen", "nothing is encrypted"),
        ("receiver.listen", "nobody is asked for a token or a certificate"),
    ]


@contextmanager
def asking_backend(certificates: Certificates, protocol: str) -> Generator[tuple[list[ExportTraceServiceRequest], int]]:
    """Run a backend that takes spans from whom its authority knows; yield what it took, and its port."""
    taken: list[ExportTraceServiceRequest] = []
    files = certificates.key_file.read_bytes(), certificates.cert_file.read_bytes()
    if protocol == "grpc":
        server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        kept = running.Backend()
        kept.traces = taken
        register: Any = getattr(trace_service_pb2_grpc, "add_TraceServiceServicer_to_server")  # noqa: B009 - its type is unknown
        register(kept, server)
        authority = certificates.authority_file.read_bytes()
        port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([files], authority, True))
        server.start()
        try:
            yield taken, port
        finally:
            server.stop(0).wait()
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.authority_file))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates.cert_file, certificates.key_file)

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            taken.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    class Encrypted(ThreadingHTTPServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            connection, address = super().get_request()
            return context.wrap_socket(connection, server_side=True), address

    with served(Taking, kind=Encrypted) as port:
        yield taken, port


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_backend_that_asks_who_we_are_is_shown_our_certificate(protocol: str, certificates: Certificates) -> None:
    """With it the span arrives, compressed and encrypted; without it, or trusting another authority, none is taken."""
    ours, folder = certificates.authority.issue_cert("processor"), certificates.folder
    shown = {"cert_file": str(folder / "ours.pem"), "key_file": str(folder / "ours.key")}
    ours.cert_chain_pems[0].write_to_path(shown["cert_file"])
    ours.private_key_pem.write_to_path(shown["key_file"])
    trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
    trusted, other = ({"ca_file": str(file)} for file in (certificates.authority_file, folder / "other.pem"))
    codes: list[grpc.StatusCode] = []
    with asking_backend(certificates, protocol) as (taken, port):
        backend = {"name": "b", "protocol": protocol, "endpoint": f"https://localhost:{port}", "compression": "gzip"}
        for tls in (trusted, other | shown, trusted | shown):
            waits = {"forwarding": {"max_wait_s": 1.0}} if tls != trusted | shown else {}
            with running.processor(backends=[backend | {"tls": tls}], **waits) as processor:
                codes.append(call(grpc.insecure_channel(processor.receiver_address))[0])

    assert codes == [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK]
    assert len(taken) == 1


def test_tls_files_that_do_not_fit_stop_the_start(certificates: Certificates) -> None:
    """A key of another certificate is told in one sentence that names both files."""
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(str(certificates.key_file))
    with (
        pytest.raises(TlsError, match="must be a certificate that"),
        running.processor(receiver=certificates.receiver()),
    ):
        pass
