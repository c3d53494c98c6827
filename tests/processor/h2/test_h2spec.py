"""The conformance tester h2spec against our server, strict tests included."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

import h2raw
from requiring import require_peer
from spanward_processor.h2 import serving

_SCRIPT = Path(__file__).parents[2] / "peers" / "h2spec.sh"

# What fails, and why it may. Keys are h2spec's section and the beginning of its description.
_EXCEPTIONS = {
    (
        "generic/2",
        "Sends a WINDOW_UPDATE frame on half-closed",
    ): "wants DATA; gRPC answers a call without message in HEADERS",
    ("generic/2", "Sends a PRIORITY frame on half-closed"): "the same",
    (
        "http2/5.1.2",
        "Sends HEADERS frames that causes",
    ): "its calls are answered before the limit is reached: test_limits.py",
    ("http2/5.3.1", "Sends HEADERS frame that depend on itself"): "RFC 9113, 5.3.2: priorities are ignored",
    ("http2/5.3.1", "Sends PRIORITY frame that depend on itself"): "RFC 9113, 5.3.2: priorities are ignored",
}


@pytest.mark.slow
def test_h2spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test passes but the exceptions, which all fail: one that passes has to leave the list."""
    require_peer("h2spec", shutil.which("go") is not None, "Go is absent, with which tests/peers/h2spec.sh builds it")
    built = subprocess.run([str(_SCRIPT)], check=True, capture_output=True, text=True, timeout=600)
    binary = built.stdout.splitlines()[-1]
    report = tmp_path / "report.xml"
    # its requests are no gRPC; answered as such at once, their streams would be closed before the tests begin
    monkeypatch.setattr(serving, "not_grpc", lambda fields: "")  # pyright: ignore[reportUnknownLambdaType]
    with h2raw.serving() as server:
        arguments = [binary, "-h", "127.0.0.1", "-p", str(server.port), "-S", "-j", str(report)]
        run = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=300)
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = {
        (case.get("package", ""), case.get("classname", ""))
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    unexplained = {case for case in failed if not any(_is(case, known) for known in _EXCEPTIONS)}
    assert len(cases) > 140
    assert unexplained == set(), run.stdout
    assert all(any(_is(case, known) for case in failed) for known in _EXCEPTIONS)


def _is(case: tuple[str, str], known: tuple[str, str]) -> bool:
    return case[0] == known[0] and case[1].startswith(known[1])
