"""The wheel: what is in it, what is not, and that it works where only its dependencies are."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("sdk/spanward", "processor/spanward_processor", "integrations/spanward_integrations")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built as an installer builds it, with the backend that `pyproject.toml` names and no network."""
    folder = tmp_path_factory.mktemp("wheel")
    program = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    """Names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(folder: Path) -> set[str]:
    """Return the files of a folder that are no caches, relative to it."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".nbi", ".nbc"}
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_file_of_the_packages(contents: set[str], package: str) -> None:
    """Code, `py.typed`, the live page and the demo's texts are all in, at the top where they are imported from."""
    folder = ROOT / package

    files = {f"{folder.name}/{name}" for name in tracked(folder)}

    assert f"{folder.name}/py.typed" in files
    assert files - contents == set()


@pytest.mark.parametrize(
    "name",
    [
        "spanward_processor/live/static/index.html",
        "spanward_processor/live/static/page.js",
        "spanward_processor/live/static/page.css",
        "spanward_processor/demo/corpus.tsv",
    ],
)
def test_the_wheel_holds_what_is_no_code(contents: set[str], name: str) -> None:
    """The page and the corpus are data that the demo cannot do without."""
    assert name in contents


def test_the_wheel_holds_the_licence_and_nothing_besides(contents: set[str]) -> None:
    """Tests, caches and configuration stay out."""
    tops = {name.partition("/")[0] for name in contents}
    (information,) = (top for top in tops if top.endswith(".dist-info"))

    assert tops == {Path(package).name for package in PACKAGES} | {information}
    assert f"{information}/licenses/LICENSE" in contents
    assert not {name for name in contents if "__pycache__" in name or "/tests/" in name or "test_" in name}


def test_the_wheel_works_where_only_its_dependencies_are(wheel: Path, tmp_path: Path) -> None:
    """Installed in a fresh environment it imports from there, knows its version, and has its command."""
    venv.create(tmp_path / "fresh", with_pip=False)
    python = tmp_path / "fresh" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    paths = sysconfig.get_paths()
    (site,) = (tmp_path / "fresh" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")

    done = subprocess.run(
        [python, "-I", "-c", "import spanward; print(spanward.__version__, spanward.__file__)"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    version, file = done.stdout.split()
    assert version == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert Path(file).is_relative_to(site)
    assert (python.parent / "spanward").is_file()
