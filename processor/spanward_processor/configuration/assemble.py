"""From the checked configuration to the parts that do the work."""

import logging
import random
import time
from functools import partial
from typing import Final

from spanward_processor.configuration.config import Config
from spanward_processor.detectors import DETECTORS, FITTED
from spanward_processor.exporters.base import Exporter
from spanward_processor.exporters.grpc import GrpcExporter
from spanward_processor.features import FEATURES
from spanward_processor.forward.backends import Backend
from spanward_processor.forward.delivery import Delivery, Destination
from spanward_processor.forward.direct import Direct
from spanward_processor.forward.journalled import Journalled
from spanward_processor.forward.section import BackendConfig
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.limits import Limits
from spanward_processor.journal.log import Journal
from spanward_processor.journal.settings import Fsync
from spanward_processor.pipeline import Pipeline
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.rates import PeerRates
from spanward_processor.receive.tokens import Tokens
from spanward_processor.snapshots import SnapshotError, Snapshots
from spanward_processor.tls import client_context

_log = logging.getLogger(__name__)

_BURST_S: Final = 2  # seconds' worth of requests that a peer may send at once
MOST_PEERS: Final = 10_000


def snapshots_of(config: Config) -> Snapshots | None:
    """Return where the detectors' state is kept over a restart; None where it is not."""
    folder = config.state_folder
    if folder is None:
        return None
    detection = config.detection.model_dump(
        mode="json", include={"window_s", "half_life_s", "slices", "row_models", "roles"}
    )
    facts = {f"detection.{name}": value for name, value in detection.items()}
    facts |= {"canary.window_s": config.canary.window_s}
    facts |= {"limits.keys": config.limits.keys, "limits.texts": config.limits.texts}
    features = [feature.aspect.name for feature in FEATURES]
    return Snapshots(folder, facts | {"detectors": [detector.__name__ for detector in DETECTORS], "features": features})


def pipeline_of(config: Config, snapshots: Snapshots | None) -> Pipeline:
    """Return what judges spans: with what was learned before, if that was kept and is of use.

    Args:
        config: The configuration.
        snapshots: Where it is kept; None where it is not.
    """
    if config.detection.row_models and not FITTED:
        _log.warning(
            "detection.row_models: scikit-learn is not installed, so isolation_forest and one_class_svm judge nothing"
        )
    make = partial(
        Pipeline,
        config.judging(),
        config.limits.as_settings(),
        canary=config.canary.as_settings(),
        dora=config.dora.as_settings(),
    )
    if snapshots is None:
        return make()
    try:
        pipeline = make(kept=snapshots.read())
    except FileNotFoundError:
        return make()
    except SnapshotError as error:
        _log.warning(
            "what was learned is of no use, learning begins anew file=%s reason=%r", snapshots.path, str(error)
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:  # undamaged, yet not what we would have written
        _log.warning(
            "what was learned is of no use, learning begins anew file=%s reason=%r", snapshots.path, repr(error)
        )
    else:
        _log.info("what was learned before the restart goes on file=%s", snapshots.path)
        return pipeline
    return make()


def delivery_of(config: Config, rng: random.Random) -> Delivery:
    """Return what makes OK true; call it in the event loop.

    Args:
        config: The configuration.
        rng: Randomness of back-offs.

    Raises:
        JournalError: The journal's folder cannot be used.
        TlsError: A certificate cannot be used.
    """
    backends = [
        Backend(backend.name, exporter_of(backend), backend.timeout_s, backend.endpoint.partition("://")[2])
        for backend in config.backends
    ]
    forwarding = config.forwarding.as_settings()
    if config.journal is None or not backends:
        return Direct(backends, forwarding, rng)
    journal = Journal(config.journal.as_settings(), [backend.name for backend in backends])
    return Journalled(journal, backends, forwarding, rng, always_synced=config.journal.fsync is Fsync.ALWAYS)


def destinations_of(config: Config, running: Config) -> list[Destination]:
    """Return every configured backend, with a new way to each that is new or has changed.

    Args:
        config: The configuration.
        running: The one before it.

    Raises:
        TlsError: A certificate cannot be used.
    """
    return [
        Destination(backend.name, None if backend in running.backends else exporter_of(backend), backend.timeout_s)
        for backend in config.backends
    ]


def exporter_of(config: BackendConfig) -> Exporter:
    """Return the way to a backend."""
    scheme, _, address = config.endpoint.partition("://")
    gzip = config.compression == "gzip"
    headers = [(name.lower(), value) for name, value in config.headers.items()]
    if config.protocol == "http":
        from spanward_processor.exporters.http import HttpExporter  # 6 MB that only this protocol needs

        context = client_context(config.tls, ["http/1.1"]) if scheme == "https" else None
        return HttpExporter(config.endpoint, headers, gzip=gzip, tls=context)
    host, _, port = address.rpartition(":")
    context = client_context(config.tls, ["h2"]) if scheme == "https" else None
    return GrpcExporter(GrpcChannel(host.strip("[]"), int(port), tls=context), headers, gzip=gzip)


def gate_of(config: Config) -> Gate:
    """Return who may send.

    Raises:
        TokenFileError: The file of tokens cannot be used.
    """
    rate = config.limits.requests_per_s
    path = config.receiver.tokens_file
    return Gate(
        tokens=Tokens(path, time.monotonic) if path else None,
        rates=PeerRates(rate, max(1, int(_BURST_S * rate)), MOST_PEERS, time.monotonic) if rate else None,
    )


def limits_of(config: Config) -> Limits:
    """Return what one gRPC connection, and all together, may hold."""
    limits = config.limits
    return Limits(
        message_bytes=limits.message_bytes,
        header_bytes=limits.header_bytes,
        connections=limits.connections,
        buffered_bytes=limits.in_flight_bytes,
    )
