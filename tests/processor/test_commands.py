"""The command line as a user meets it: real processes, one clear sentence when something is wrong, a drained stop."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import running
import spanward
import spanward_processor
from spans import encoded, eventually, span, spans_of
from spanward_processor.commands import COMMANDS
from spanward_processor.warmup import STAGES

SPANWARD = [sys.executable, "-m", "spanward_processor"]
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, *python, "-m", "spanward_processor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def processor(folder: Path, text: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run a processor as a process of its own; yield it and where it listens, once it says that it is ready."""
    file = folder / "processor.yaml"
    file.write_text(text, encoding="utf-8")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*SPANWARD, "processor", "--config", str(file)], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout
        ready = re.match(r"ready receiver=(\S+)", process.stdout.readline())
        assert ready, (folder / "log").read_text(encoding="utf-8")
        yield process, ready[1]
    finally:
        process.kill()
        process.communicate()


def test_version_is_the_distribution_s() -> None:
    """One line, nothing else."""
    result = run("version")

    assert (0, f"{version('spanward')}\n", "") == (result.returncode, result.stdout, result.stderr)


def test_help_names_every_command() -> None:
    """The help lists what there is, with a sentence each."""
    result = run("--help")

    assert result.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command.__name__}\b +\S", result.stdout)


def test_every_command_is_a_file_and_every_file_a_command() -> None:
    """A command that was forgotten in the table is noticed."""
    from spanward_processor import commands

    folder = Path(next(iter(commands.__path__)))
    assert {command.__name__ for command in COMMANDS} == {file.stem for file in folder.glob("[!_]*.py")}


def test_an_unknown_option_is_told_and_exits_with_2() -> None:
    """A typing error in an option is not ignored."""
    result = run("processor", "--confg", "x")

    assert (result.returncode, result.stdout) == (2, "")
    assert "--confg" in result.stderr


def test_names_of_objectives_are_told_whole_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two objectives of one document differ by the end of their names."""
    monkeypatch.setenv("COLUMNS", "80")
    file = Path(__file__).parents[2] / "otel-config" / "slo.yaml"
    result = run("slo", str(file))

    assert [
        name in result.stdout for name in ("support-success ", "support-latency/p99 ", "support-latency/p99.9 ")
    ] == [True] * 3


def test_warmup_says_what_it_compiled_and_where_it_is_kept() -> None:
    """An image's build log shows each stage and the folder to keep."""
    result = run("warmup")

    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(
        "".join(rf"{stage}: [\d.]+ s\n" for stage in STAGES)
        + r"kernels ready in [\d.]+ s, kept in \S+kernels-[0-9a-f]{16}\n",
        result.stdout,
    )


def test_without_the_extra_the_pip_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install spanward` alone has no processor; its command says what to install."""
    packages = (spanward_processor, spanward)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(Path(package.__path__[0]).parent) for package in packages))

    result = run("version", python=("-S",))  # -S: no installed packages at all

    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"spanward needs \w+: pip install 'spanward\[processor\]'\n", result.stderr)


@pytest.mark.parametrize("key", ["listen", "http_listen", "live"])
def test_a_port_in_use_is_one_sentence_and_exit_code_1(key: str, tmp_path: Path) -> None:
    """No traceback, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        receiver = {"listen": "127.0.0.1:0", "http_listen": None}
        config = {"receiver": receiver | {key: address}, "live": None}
        if key == "live":
            config = {"receiver": receiver, "live": {"listen": address}}
        file = tmp_path / "processor.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        result = run("processor", "--config", str(file))

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"{address} cannot be used: Address already in use\n"


@pytest.mark.parametrize("journal", ["{{folder: {folder}/journal}}", "null"], ids=["journal", "no_journal"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_drains_what_is_in_flight(number: signal.Signals, journal: str, tmp_path: Path) -> None:
    """Asked to stop with requests in flight, it delivers their spans, answers their senders, and exits with 0."""
    sent = [encoded(span({"number": each}), span({"number": each})) for each in range(4)]
    with running.backend() as (backend, port):
        text = f"""
receiver: {{listen: "127.0.0.1:0", http_listen: null}}
live: null
journal: {journal.format(folder=tmp_path)}
backends: [{{name: b, endpoint: "http://127.0.0.1:{port}", timeout_s: 60}}]
"""
        backend.answering.clear()
        with processor(tmp_path, text) as (process, address), grpc.insecure_channel(address) as channel:
            calls = [cast("Any", channel).unary_unary(METHOD).future(each, timeout=60) for each in sent]
            if journal == "null":
                assert eventually(lambda: backend.asked == len(sent))
            else:
                assert [call.result() for call in calls] == [b""] * len(sent)  # before the backend has any of it
                assert eventually(lambda: backend.asked > 0)
            process.send_signal(number)
            assert eventually(lambda: "stopping" in (tmp_path / "log").read_text(encoding="utf-8"))
            assert process.poll() is None
            backend.answering.set()
            answers = [call.result() for call in calls]
            code = process.wait(30)

    assert (answers, code) == ([b""] * len(sent), 0)
    assert _spans(*sent) == _spans(*(each.SerializeToString() for each in backend.traces))
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


def _spans(*requests: bytes) -> list[bytes]:
    """Return all spans, encoded and sorted: from the journal several requests may be forwarded as one."""
    made = [ExportTraceServiceRequest.FromString(each) for each in requests]
    return sorted(span.SerializeToString() for each in made for span in spans_of(each))


@pytest.mark.slow
def test_the_first_request_after_ready_does_not_wait_for_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty cache the kernels are compiled before it says that it is ready; senders give up after ten seconds."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    with processor(tmp_path, "receiver: {listen: '127.0.0.1:0', http_listen: null}\nlive: null\n") as (_, address):
        assert running.export(address, encoded(span()), timeout=10) == b""

    assert "kernels are compiled once" in (tmp_path / "log").read_text(encoding="utf-8")
