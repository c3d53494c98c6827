"""Where senders reach us: both receivers and all that stands before the intake; exchanged while they run."""

import socket
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from spanward_processor.closing import Closing
from spanward_processor.configuration.assemble import gate_of, limits_of
from spanward_processor.configuration.config import Config
from spanward_processor.configuration.reloading import Attempt
from spanward_processor.counts import Counts
from spanward_processor.forward.delivery import Delivery
from spanward_processor.h2.server import GrpcServer
from spanward_processor.pipeline import Pipeline
from spanward_processor.receive.admission import Admission
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.grpc import ENCODINGS, GrpcReceiver, answer_to
from spanward_processor.receive.http import http_app
from spanward_processor.receive.http1 import Patience
from spanward_processor.receive.intake import Intake
from spanward_processor.receive.listening import Lifecycle, Listener, WebServer
from spanward_processor.receive.pace import Pace
from spanward_processor.receive.section import ServerTls
from spanward_processor.receive.turned import BUSY_RETRY_S, Turned
from spanward_processor.status import Code
from spanward_processor.tls import ServerCertificate

GRACE_S: Final = 10.0  # how long requests in flight are waited for when a receiver stops


@dataclass(frozen=True, slots=True)
class Parts:
    """What receivers need of one configuration; making it may fail, using it does not.

    Args:
        config: The configuration.
        gate: Decides who may send.
        certificates: One for each receiver; none without TLS.
        grpc: Where a new gRPC server listens; None where the one in use stays.
        http: The same for HTTP.
    """

    config: Config
    gate: Gate
    certificates: tuple[ServerCertificate, ...]
    grpc: socket.socket | None
    http: socket.socket | None


class Receivers:
    """Both receivers.

    Args:
        pipeline: Judges spans.
        counts: Counts what happens.
        workers: Threads for large requests.
    """

    def __init__(self, pipeline: Pipeline, counts: Counts, workers: Executor) -> None:
        self._pipeline = pipeline
        self._counts = counts
        self._workers = workers
        self._pace = Pace()
        self._grpc, self._http = Listener(), Listener()
        self._server: GrpcServer | None = None
        self._web: WebServer | None = None
        self._parts: Parts | None = None

    @property
    def grpc_address(self) -> str:
        """HOST:PORT where gRPC is taken."""
        return self._grpc.address

    @property
    def http_address(self) -> str:
        """HOST:PORT where HTTP is taken; empty where it is not."""
        return self._http.address

    @property
    def certificates(self) -> Sequence[ServerCertificate]:
        """What is shown to senders."""
        return self._parts.certificates if self._parts else ()

    # --- make --------------------------------------------------------------------------------------------------------

    def prepare(self, config: Config, attempt: Attempt) -> Parts:
        """Make what a configuration asks for and what is not in use already; nothing is changed yet.

        Args:
            config: The configuration.
            attempt: Collects what cannot be made; then what is returned is of no use.
        """
        before = self._parts.config if self._parts else None
        gate = attempt.make(lambda: self._gate(config)) or Gate()
        tls = config.receiver.tls
        if before is not None and self._parts and before.receiver.tls == tls:
            certificates = self._parts.certificates
        else:
            certificates = attempt.make(lambda: _certificates(tls)) or ()
        grpc = http = None
        if before is None or _grpc_needs(before) != _grpc_needs(config):
            grpc = attempt.reserve(self._grpc, config.receiver.listen)
        if config.receiver.http_listen and (before is None or _http_needs(before) != _http_needs(config)):
            http = attempt.reserve(self._http, config.receiver.http_listen)
        return Parts(config, gate, certificates, grpc, http)

    def _gate(self, config: Config) -> Gate:
        gate = gate_of(config)
        if self._parts and self._parts.config.limits.requests_per_s == config.limits.requests_per_s:
            return replace(gate, rates=self._parts.gate.rates)  # else each peer would have its burst again
        return gate

    # --- use ---------------------------------------------------------------------------------------------------------

    async def serve(self, parts: Parts, delivery: Delivery) -> None:
        """Begin, or go on with other parts; a request that is under way ends as it began.

        Args:
            parts: As `prepare` has made them.
            delivery: Makes OK true.
        """
        self._parts = parts
        limits = parts.config.limits
        admission = Admission(limits.in_flight_bytes, limits.in_flight_requests)
        stages = (self._pipeline, delivery, admission, self._pace, self._counts, self._workers)
        await self._serve_grpc(parts, Intake(*stages, "grpc"))
        await self._serve_http(parts, Intake(*stages, "http"))

    async def _serve_grpc(self, parts: Parts, intake: Intake) -> None:
        limits = parts.config.limits
        receiver = GrpcReceiver(intake, parts.gate, limits.message_bytes, limits.compression_ratio)
        if parts.grpc is None:
            if self._server:
                self._server.exchange(receiver)
            return
        server = GrpcServer(
            receiver,
            limits_of(parts.config),
            tls=parts.certificates[0].context if parts.certificates else None,
            busy=lambda reason: answer_to(
                Turned(Code.UNAVAILABLE, f"{reason}; limits.in_flight_bytes is {limits.in_flight_bytes}", BUSY_RETRY_S)
            ),
            encodings=ENCODINGS,
        )
        self._server = server
        life = Lifecycle(server.start, partial(server.hand_over, GRACE_S), partial(server.stop, GRACE_S))
        await self._grpc.serve(parts.config.receiver.listen, parts.grpc, life)

    async def _serve_http(self, parts: Parts, intake: Intake) -> None:
        limits, wanted = parts.config.limits, parts.config.receiver.http_listen
        app = http_app(
            intake,
            parts.gate,
            self._pipeline.deployments.announce,
            most_bytes=limits.message_bytes,
            most_ratio=limits.compression_ratio,
            header_bytes=limits.header_bytes,
            buffered_bytes=limits.in_flight_bytes,
        )
        if wanted is None:
            self._web = None
            await self._http.end()
            return
        busy = app.busy(limits.connections)
        patience = Patience(header_bytes=limits.header_bytes, connections=limits.connections)
        if parts.http is None:
            if self._web:
                self._web.exchange(app, busy=busy, patience=patience)
        else:
            tls = parts.certificates[1].context if parts.certificates else None
            web = WebServer(app, busy=busy, patience=patience, tls=tls)
            self._web = web
            await self._http.serve(wanted, parts.http, Lifecycle(web.begin, web.hand_over, web.end))

    async def end(self) -> None:
        """Take no more, and answer what is in flight."""
        await Closing().add("HTTP receiver", self._http.end).add("gRPC receiver", self._grpc.end).close()


def _certificates(tls: ServerTls | None) -> tuple[ServerCertificate, ...]:
    if tls is None:
        return ()
    return ServerCertificate(tls, ["h2"]), ServerCertificate(tls, ["http/1.1"])


def _grpc_needs(config: Config) -> tuple[object, ...]:
    """Return what a gRPC connection is told once, so that a change needs new connections."""
    return config.receiver.listen, config.receiver.tls, limits_of(config)


def _http_needs(config: Config) -> tuple[object, ...]:
    """Return what an HTTP server is told once."""
    return config.receiver.http_listen, config.receiver.tls
