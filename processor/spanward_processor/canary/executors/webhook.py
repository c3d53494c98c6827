"""A signed request to a URL, tried again while it may help.

Source: Standard Webhooks 1.0: headers `webhook-id`, `webhook-timestamp`, `webhook-signature`, the signature being the HMAC-SHA256
of `id.timestamp.body`. The id is also sent as `Idempotency-Key` (IETF draft of that name).
"""

import asyncio
import base64
import hashlib
import hmac
import random
import time
from collections.abc import Callable
from typing import Final, Self
from urllib.parse import urlsplit

from spanward_processor.canary.executors.base import ExecutorError, RollBack
from spanward_processor.canary.section import WebhookConfig, key_of

_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
_AGAIN: Final = frozenset({408, 425, 429})
_SERVER_ERRORS: Final = 500
_REFUSED: Final = 300


class WebhookExecutor:
    """Posts a roll-back to a URL.

    Args:
        url: Where to.
        secret: Key of the signature; None signs nothing.
        attempts: How often it is tried at most.
        clock_s: Returns Unix time, seconds.
        rng: Randomness of the waits between attempts.
    """

    def __init__(
        self,
        url: str,
        secret: str | None,
        attempts: int,
        *,
        clock_s: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._url = url
        self._key = None if secret is None else key_of(secret)
        self._attempts = attempts
        self._clock_s = clock_s
        self._rng = rng or random.Random()  # noqa: S311 - waits only

    @classmethod
    def of(cls, config: WebhookConfig) -> Self:
        """Return what a section asks for."""
        return cls(config.url, config.secret, config.attempts)

    @property
    def name(self) -> str:
        """The host: a path or query may hold a secret."""
        return f"webhook {urlsplit(self._url).netloc}"

    async def execute(self, roll_back: RollBack) -> str:
        """Post until it is taken; see `Executor`."""
        import aiohttp  # 6 MB that only this way needs

        body, failure = roll_back.as_json(), ""
        async with aiohttp.ClientSession() as session:
            for attempt in range(self._attempts):
                if attempt:
                    await asyncio.sleep(self._rng.uniform(0.5, 1.0) * self._wait_s(attempt))
                try:
                    headers = self.headers(roll_back.id, body)
                    async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                        status = answer.status
                except (aiohttp.ClientError, OSError) as error:
                    failure = str(error) or type(error).__name__
                    continue
                if status < _REFUSED:
                    return f"answered {status} at attempt {attempt + 1}"
                failure = f"answered {status}"
                if status < _SERVER_ERRORS and status not in _AGAIN:
                    raise ExecutorError(failure)
        raise ExecutorError(f"{failure}, {self._attempts} times")

    def _wait_s(self, attempt: int) -> float:
        return min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt - 1, 30))

    def headers(self, identity: str, body: bytes) -> dict[str, str]:
        """Return the headers of one attempt."""
        when = str(int(self._clock_s()))
        headers = {"content-type": "application/json", "idempotency-key": identity}
        if self._key is None:
            return headers
        signed = hmac.new(self._key, f"{identity}.{when}.".encode() + body, hashlib.sha256).digest()
        return headers | {
            "webhook-id": identity,
            "webhook-timestamp": when,
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
