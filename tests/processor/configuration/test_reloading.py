"""What of a new configuration holds at once."""

from typing import Any

import pytest

from spanward_processor.configuration.config import Config
from spanward_processor.configuration.reloading import RESTART, settle

OTHER: dict[str, Any] = {
    "journal.folder": "/elsewhere",
    "state.folder": "/elsewhere",
    "detection.window_s": 3.0,
    "detection.half_life_s": 60.0,
    "detection.slices": ["team"],
    "detection.row_models": True,
    "detection.roles": {"client": ["app.tenant"]},
    "canary.window_s": 2.0,
    "limits.keys": 5,
    "limits.texts": 5000,
}


def having(**sections: dict[str, Any] | None) -> Config:
    """Return a configuration."""
    return Config.model_validate(sections)


@pytest.mark.parametrize("path", RESTART)
def test_a_key_that_needs_a_restart_keeps_its_value(path: str) -> None:
    """It is named, it stays as it runs, and the rest of its section is the new one."""
    section, key = path.split(".")
    lives: dict[str, dict[str, Any]] = {
        "journal": {"most_bytes": 1 << 20},
        "state": {"interval_s": 5.0},
        "detection": {"false_alarms_per_day": 3.0},
        "limits": {"connections": 5},
        "canary": {"cooldown_s": 5.0},
    }
    live = lives[section]
    wanted = having(**{section: live | {key: OTHER[path]}})

    assert settle(Config(), wanted) == (having(**{section: live}), (path,))


def test_what_needs_no_restart_holds_as_it_is_written() -> None:
    """Nothing is held back of a file that changes receivers, backends and the budget."""
    wanted = having(receiver={"listen": "127.0.0.1:1"}, live=None, detection={"false_alarms_per_day": 2.0})

    assert settle(Config(), wanted) == (wanted, ())


@pytest.mark.parametrize("section", ["journal", "state"])
@pytest.mark.parametrize(("before", "after"), [({}, None), (None, {})])
def test_journal_and_state_neither_come_nor_go(
    section: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    """What OK means cannot change under a sender's feet, nor what a stop does with open windows."""
    running = having(**{section: before})

    assert settle(running, having(**{section: after})) == (running, (section,))
