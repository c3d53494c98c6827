"""The real Triton server that tests ask, in an environment of its own: `nvidia-pytriton` wants another numpy than ours."""

import atexit
import os
import socket
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from select import select
from tempfile import TemporaryFile
from typing import Any, Final

import numpy as np

from requiring import require_peer

PYTHON: Final = os.environ.get("SPANWARD_TRITON_PYTHON", "")
HERE: Final = Path(__file__).parent
STARTS_WITHIN_S: Final = 90
_LIBRARIES: Final = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers.

    Args:
        http_port: Where it takes HTTP.
        grpc_port: Where it takes gRPC.
    """

    http_port: int
    grpc_port: int


def require_server() -> None:
    """Skip where no environment with the server is named."""
    present = bool(PYTHON) and Path(PYTHON).exists()
    require_peer(
        "a Triton server",
        present,
        "SPANWARD_TRITON_PYTHON names no interpreter that has nvidia-pytriton; tests/peers/triton.sh makes one",
    )


@cache
def server(otlp_url: str | None = None, endpoint: str = "") -> Server:
    """Return the server of this process, started when it is first asked for.

    Args:
        otlp_url: Where it sends its own spans; none are made by default.
        endpoint: Where its models send theirs then.
    """
    require_server()
    ports = _free_ports()
    # A model's stub would take another libpython than the interpreter's own, were that not found first.
    libraries = subprocess.run([PYTHON, "-c", _LIBRARIES], capture_output=True, text=True, check=True).stdout.strip()
    command = [PYTHON, str(HERE / "triton_server.py"), *map(str, ports), *([otlp_url, endpoint] if otlp_url else [])]
    ready, told = os.pipe()  # not by what it says: lines of the server's and of its models' run into each other
    with TemporaryFile("w+") as said:  # nobody would read a pipe while the server runs, and a full one would stop it
        running = subprocess.Popen(
            command,
            env={**_environment(), "LD_LIBRARY_PATH": libraries, "READY_FD": str(told)},
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            pass_fds=(told,),
            text=True,
        )
        atexit.register(_stop, running)
        os.close(told)
        with os.fdopen(ready, "rb", buffering=0) as signs:
            if not select([signs], [], [], STARTS_WITHIN_S)[0] or not signs.read(1):
                running.kill()
                said.seek(0)
                raise AssertionError("the Triton server did not start:\n" + "".join(said.readlines()[-30:]))
    return Server(*ports)


def check_there(program: str, *arguments: str) -> None:
    """Run a program of the tests in the server's environment, and fail where it does.

    Args:
        program: Its file beside this one.
        arguments: What it is given.
    """
    require_server()
    command = [PYTHON, str(HERE / program), *arguments]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def inputs(transport: str, *rows: float) -> list[Any]:
    """Return the model's input, as one row for each number."""
    module: Any = import_module(f"tritonclient.{transport}")
    features = np.array([[row, 1, 2] for row in rows], np.float32)
    tensor = module.InferInput("features", list(features.shape), "FP32")
    tensor.set_data_from_numpy(features)
    return [tensor]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def _stop(running: "subprocess.Popen[str]") -> None:
    running.communicate("", timeout=60)
