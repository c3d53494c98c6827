"""Every kernel compiled before the first real request."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from spanward_processor.kernels import jit
from spanward_processor.warmup import STAGES, compiled_mark, warm_up

WORK_AFTER_WARM_UP: Final = """
import importlib, pkgutil
from numba.core.dispatcher import Dispatcher
from otlp import encoded
from spanward import semconv
from spanward_processor import kernels
from spanward_processor.pipeline import Pipeline
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.warmup import warm_up

def compiled():
    modules = [importlib.import_module(f"{kernels.__name__}.{i.name}") for i in pkgutil.iter_modules(kernels.__path__)]
    found = {f"{m.__name__}.{n}": f for m in modules for n, f in vars(m).items() if isinstance(f, Dispatcher)}
    return {name: set(map(str, f.signatures)) for name, f in found.items()}

warm_up(lambda stage, seconds: None)
before = compiled()
now = [1_700_000_000_000_000_000]
pipeline = Pipeline(
    Detection(window_s=1.0, lateness_s=0.0, learning=Learning(windows=5, rows=50)),
    Limits(),
    clock_ns=lambda: now[0],
    monotonic_ns=lambda: now[0],
)
annotated = 0
for window in range(16):
    size = 30 if window < 12 else 3000
    spans = [{semconv.MODEL_NAME: "m", semconv.CHANNEL: "c", semconv.FEATURES_COUNT: size + n % 5} for n in range(50)]
    both = {semconv.MODEL_NAME: "two", semconv.DECISION: "yes", semconv.CHANNEL: "c", semconv.FEATURES_HASH: f"{window:032x}"}
    spans += [both | {semconv.MODEL_VERSION: version} for version in ("1", "2") for _ in range(window // 8)]
    processed = pipeline.process(encoded(*spans, {semconv.ANOMALY_SCORE: 1.0}, end_ns=now[0]))
    pipeline.acknowledge(processed)
    annotated += processed.annotated
    now[0] += 1_000_000_000
    pipeline.tick()
after = compiled()
assert annotated, "nothing was annotated"
assert pipeline.canaries.verdicts, "no versions were compared"
print(sorted((name, after[name] - before[name]) for name in after if after[name] - before[name]))
"""


COMPILED_APART: Final = """
import time
from spanward_processor.warmup import compile_apart, warm_up
compile_apart()
began = time.perf_counter()
compile_apart()
again_s = time.perf_counter() - began
warm_up(lambda stage, seconds: None)
with open("/proc/self/status") as status:
    print(again_s < 1.0, next(int(line.split()[1]) >> 10 for line in status if line.startswith("RssAnon")))
"""


LATE_TYPES: Final = """
import gc
import numpy as np
from numba.core.codegen import CPUCodeLibrary
from spanward_processor.kernels.tails import f_tails
from spanward_processor.warmup import compile_apart, warm_up
compile_apart()  # so that all come from the cache
warm_up(lambda stage, seconds: None)
libraries = [one for one in gc.get_objects() if isinstance(one, CPUCodeLibrary)]
parsed = [one for one in libraries if one._shared_module is not None]
before, told = len(f_tails.signatures), []
for numbers in (np.float64, np.float32):
    p = np.empty(2, numbers)
    f_tails(np.array([3, 5], numbers), np.array([40, 60], numbers), np.array([1.5, 4], numbers), p)
    told.append(p)
print(len(libraries) > 20, len(parsed), len(f_tails.signatures) - before, np.allclose(*told, rtol=1e-5))
"""


def run(script: str, cache: Path, timeout_s: float) -> str:
    """Return what a script prints whose kernels are kept in a folder of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=True, env=environment
    ).stdout.strip()


def test_a_second_installation_of_the_same_kernels_compiles_its_own(tmp_path: Path) -> None:
    """What says "compiled" is another file for a copy of the sources, and for the same files written anew."""
    here, copy = Path(jit.__file__).parent, tmp_path / "kernels"
    shutil.copytree(here, copy, ignore=shutil.ignore_patterns("__pycache__"))
    marks = {compiled_mark(here), compiled_mark(copy)}
    os.utime(copy / "jit.py", (1_000_000_000, 1_000_000_000))
    marks.add(compiled_mark(copy))

    assert len(marks) == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_an_empty_cache_is_filled_by_another_process(tmp_path: Path) -> None:
    """Whoever finds no kernels lets them be compiled, once, and does not keep the compiler's 350 MB."""
    second_was_quick, resident_mb = run(COMPILED_APART, tmp_path, 900).split()

    assert second_was_quick == "True"
    assert int(resident_mb) < 200


def test_without_a_place_to_keep_kernels_nothing_is_compiled_apart(tmp_path: Path) -> None:
    """What another process compiles would be lost; so none is started."""
    place = tmp_path / "file"
    place.touch()
    script = (
        "import logging, sys; from spanward_processor.warmup import compile_apart\n"
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s'); compile_apart(); print('done')"
    )

    assert run(script, place, 60) == "done"  # and no line that says what another process does


def test_stages_are_told_in_order() -> None:
    """Progress names each stage once, with the seconds it took; the total covers them."""
    told: list[tuple[str, float]] = []

    total = warm_up(lambda stage, seconds: told.append((stage, seconds)))

    assert [stage for stage, _ in told] == list(STAGES)
    assert 0 < sum(seconds for _, seconds in told) <= total


def test_nothing_is_left_to_compile() -> None:
    """After warming up, learning, findings, annotation and trials of versions compile no kernel for further types."""
    command = [sys.executable, "-c", WORK_AFTER_WARM_UP]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # where the tests' own modules are found
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_kernel_from_the_cache_still_serves_callers_of_new_types() -> None:
    """What callers would be built from is packed away, and found again for a late combination of types."""
    done = subprocess.run(
        [sys.executable, "-c", LATE_TYPES],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert done.stdout.split() == ["True", "0", "1", "True"]
