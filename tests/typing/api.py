"""A user's program, checked by mypy and pyright in strict mode; it is never run."""

from typing import assert_type

import spanward


def channel_of(text: str, source: str = "web") -> str:
    """Choose the channel by an argument."""
    return source


def tokens_of(result: str) -> spanward.Tokens:
    """Count what was generated."""
    return spanward.Tokens(output=len(result))


@spanward.inference(model="m", version="1", channel=channel_of)
def classify(text: str, source: str = "web") -> dict[str, float]:
    """Keep its signature."""
    return {text: 1.0, source: 0.0}


@spanward.inference(model="m", tokens=tokens_of)
async def generate(prompt: str) -> str:
    """Stay a coroutine function."""
    return prompt


class Model:
    """Methods keep theirs too."""

    @spanward.inference(model="m")
    def predict(self, row: list[float]) -> float:
        """Return a score."""
        return sum(row)


async def use() -> None:
    """Call everything with the right types."""
    assert_type(classify("x", source="y"), dict[str, float])
    assert_type(await generate("x"), str)
    assert_type(Model().predict([1.0]), float)
    assert_type(spanward.configure(service_name="s", hashing_key=b"0" * 16), spanward.Settings)
    spanward.shutdown()
