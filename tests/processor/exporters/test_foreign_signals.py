"""A backend that has no use for a signal: spans wait for a mended address, the rest is given up."""

import asyncio
from http.server import BaseHTTPRequestHandler

import pytest

import http_servers
from spanward_processor.exporters.base import Refusal, Verdict
from spanward_processor.exporters.http import HttpExporter
from spanward_processor.signals import Signal


class _Nothing(BaseHTTPRequestHandler):
    """Has no path at all."""

    def do_POST(self) -> None:
        """Answer 404."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_error(404)


@pytest.mark.parametrize(
    ("signal", "verdict"),
    [
        (Signal.LOGS, Verdict.FOREIGN),
        (Signal.METRICS, Verdict.FOREIGN),
        (Signal.TRACES, Verdict.BARRED),
    ],
)
def test_a_path_that_is_not_there_is_foreign_for_all_but_traces(signal: Signal, verdict: Verdict) -> None:
    """404 for logs means a store without logs; for spans it means a wrong address, and they are kept."""

    async def refusal(endpoint: str) -> Refusal:
        exporter = HttpExporter(endpoint, [], gzip=False, tls=None)
        try:
            with pytest.raises(Refusal) as raised:
                await exporter.export(signal, [b"x"], 20)
        finally:
            await exporter.close()
        return raised.value

    with http_servers.served(_Nothing) as port:
        assert asyncio.run(refusal(f"http://127.0.0.1:{port}")).verdict is verdict
