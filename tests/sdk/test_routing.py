"""Which version answers, by a flag in a file that changes while calls are made."""

import asyncio
import json
from pathlib import Path

import pytest

import spanward
from spanward.routing import Routed, share_of


def write(file: Path, canary: int) -> None:
    """Write the flag, replaced as a whole as a roll-back does it."""
    targeting = {"fractional": [["stable", 100 - canary], ["canary", canary]]}
    flag = {"state": "ENABLED", "variants": {"stable": "2.0", "canary": "2.1"}, "defaultVariant": "stable"}
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"flags": {"router": {**flag, "targeting": targeting if canary else {}}}}))
    fresh.replace(file)


def routed(file: Path) -> Routed[[str], str]:
    """Return a router of clients' names."""
    return spanward.canary(
        "router", stable=lambda _: "2.0", canary=lambda _: "2.1", flags=file, client=lambda client: client
    )


def test_a_client_stays_with_its_version_and_a_share_of_them_has_the_canary(tmp_path: Path) -> None:
    """A tenth of the clients, always the same; with a larger share they are among those that have it."""
    file = tmp_path / "flags.json"
    clients = [f"client-{number}" for number in range(2000)]
    route = routed(file)
    write(file, 10)

    first = {client for client in clients if route(client) == "2.1"}
    again = {client for client in clients if route(client) == "2.1"}
    write(file, 50)
    more = {client for client in clients if route(client) == "2.1"}

    assert 150 < len(first) < 250
    assert first == again
    assert first < more


def test_a_roll_back_holds_from_the_next_call_on(tmp_path: Path) -> None:
    """The file is looked at for each call."""
    file = tmp_path / "flags.json"
    write(file, 100)
    route = routed(file)

    assert route("anybody") == "2.1"
    write(file, 0)
    assert route("anybody") == "2.0"


def test_without_its_file_everybody_gets_the_stable_version(tmp_path: Path) -> None:
    """A service starts without it, and goes on when it is gone."""
    route = routed(tmp_path / "nowhere.json")

    assert route("anybody") == "2.0"


def test_a_file_that_makes_no_sense_means_the_stable_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is answered, whatever the file holds."""
    monkeypatch.setenv("SPANWARD_ERRORS", "log")
    for content in ("", "[]", '{"flags": {}}', '{"flags": {"router": 7}}', '{"flags": {"router": {}}}'):
        file = tmp_path / f"{len(content)}.json"
        file.write_text(content)
        assert routed(file)("anybody") == "2.0"


@pytest.mark.parametrize(
    ("flag", "share"),
    [
        ({"state": "DISABLED", "defaultVariant": "canary"}, 0.0),
        ({"defaultVariant": "canary"}, 1.0),
        ({"defaultVariant": "stable", "targeting": {}}, 0.0),
        ({"targeting": {"fractional": [["stable"], ["canary"]]}}, 0.5),
        ({"targeting": {"fractional": [{"var": "client"}, ["stable", 3], ["canary", 1]]}}, 0.25),
        ({"targeting": {"fractional": [["stable", 0], ["canary", 0]]}}, 0.0),
    ],
)
def test_a_flag_says_the_canarys_share(flag: dict[str, object], share: float) -> None:
    """As flagd has it: shares are relative, one without a number counts one."""
    assert share_of(flag) == share


def test_coroutines_are_routed_too_and_the_request_names_the_client(tmp_path: Path) -> None:
    """Where no function says whose call it is, the request context does."""
    file = tmp_path / "flags.json"
    write(file, 50)

    async def stable() -> str:
        return "2.0"

    async def canary() -> str:
        return "2.1"

    route = spanward.canary("router", stable=stable, canary=canary, flags=file)

    async def ask(client: str) -> str:
        with spanward.request_context(client=client):
            return await route()

    answers = {client: {asyncio.run(ask(client)) for _ in range(3)} for client in map(str, range(20))}

    assert all(len(versions) == 1 for versions in answers.values())
    assert {version for versions in answers.values() for version in versions} == {"2.0", "2.1"}
