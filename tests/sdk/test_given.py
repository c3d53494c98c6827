"""What the decorator is given wrong is told where it stands, by name, and not at the first call."""

from typing import Any

import pytest

import spanward


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"version": 1.0}, "version must be text, got 1.0"),
        ({"schema": b"s1"}, "schema must be text, got bytes"),
        ({"channel": 3}, "channel must be text or a function, got 3"),
        ({"client": ["a"]}, "client must be text or a function, got list"),
        ({"dimensions": ["region"]}, "dimensions must be a mapping or a function, got list"),
        ({"dimensions": {"shard": 3}}, "dimensions['shard'] must be text, got 3"),
        ({"dimensions": {3: "shard"}}, "dimensions must be named by text, got 3"),
        ({"tokens": 3}, "tokens must be spanward.Tokens or a function, got 3"),
        ({"score": "score"}, "score must be a function, got str"),
        ({"input": "text"}, "input must be a function, got str"),
        (
            {"fingerprint": spanward.Windows},
            "fingerprint must be a form, as spanward.Shingles(), got the class Windows",
        ),
    ],
)
def test_wrong_arguments_are_told_by_name(given: dict[str, Any], told: str) -> None:
    """The error names argument, rule and what was given; of texts and objects the class alone, they may be content."""
    with pytest.raises(TypeError) as raised:
        spanward.inference("m", **given)

    assert str(raised.value) == f"spanward.inference: {told}"
