"""Which attribute plays which role, so that spans of other instrumentations work as they are.

The processor asks for roles, not names. A role has an ordered list of attribute names; an earlier name wins over a later
one, and what a span says wins over what its resource says. Operators change the lists under `detection.roles`.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward import semconv
from spanward_processor.kernels.attributes import Names, claim_of
from spanward_processor.kernels.siphash import siphash13

TEXT_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "service": (semconv.SERVICE_NAME,),
    "model": (
        semconv.MODEL_NAME,
        semconv.GEN_AI_RESPONSE_MODEL,
        semconv.GEN_AI_REQUEST_MODEL,
        "llm.model_name",  # OpenInference
        "embedding.model_name",
        "llm.response.model",  # Traceloop, older
        "triton.model_name",
    ),
    "version": (semconv.MODEL_VERSION, "triton.model_version"),
    "decision": (semconv.DECISION,),
    "client": (semconv.CLIENT_PREVIOUS_ID, semconv.CLIENT_ID, "user.hash", "enduser.pseudo.id"),
    "error": (semconv.ERROR_TYPE,),
    "input_hash": (semconv.FEATURES_PREVIOUS_HASH, semconv.FEATURES_HASH),
    "fingerprint": (semconv.FEATURES_PREVIOUS_FINGERPRINT, semconv.FEATURES_FINGERPRINT),
    "service_version": (semconv.SERVICE_VERSION,),
    "prompt_version": (
        semconv.PROMPT_VERSION,
        "llm.prompt_template.version",  # OpenInference
        "langfuse.observation.prompt.version",
    ),
    "index_version": (semconv.INDEX_VERSION,),
    "guardrail_version": (semconv.GUARDRAIL_VERSION,),
}
"""Roles whose value is a text; each becomes a column of codes.

Where hashes come under two keys the older one counts: processes that do not have the newer one yet tell that alone, and so all
can be compared until none tells it any more."""

NUMBER_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "input_tokens": (
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        "llm.token_count.prompt",  # OpenInference
        "gen_ai.usage.prompt_tokens",  # vLLM and Traceloop, older
    ),
    "output_tokens": (
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
        "llm.token_count.completion",
        "gen_ai.usage.completion_tokens",
    ),
    "input_size": (semconv.FEATURES_COUNT,),
    "sparsity": (semconv.FEATURES_SPARSITY,),
    "score": (semconv.SCORE,),
    "batch_size": (semconv.BATCH_SIZE,),
    "gc_pause_s": (semconv.RUNTIME_GC_PAUSE_S,),
    "wait_s": (semconv.RUNTIME_WAIT_S,),
    "model_load_s": (semconv.RUNTIME_MODEL_LOAD_S,),
    "cpu_s": (semconv.RUNTIME_CPU_S,),
}
"""Roles whose value is a number; each becomes a float column."""


@dataclass(frozen=True, slots=True)
class RoleTable:
    """The roles in force, and the hash table by which the decoder finds them.

    Args:
        texts: Names of the text columns, in order.
        numbers: Names of the number columns, in order.
        slices: The attribute names whose values slice a series, each also a text column.
        names: Hash table over attribute names.
    """

    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    slices: tuple[str, ...]
    names: Names

    def text(self, role: str) -> int:
        """Return the column of a text role."""
        return self.texts.index(role)

    def number(self, role: str) -> int:
        """Return the column of a number role."""
        return self.numbers.index(role)


def role_table(
    slices: Sequence[str] = (semconv.CHANNEL,),
    overrides: Mapping[str, Sequence[str]] | None = None,
    key: bytes | None = None,
) -> RoleTable:
    """Build the table.

    Args:
        slices: Attribute names whose values slice a series.
        overrides: Role name to attribute names, in place of the built-in list.
        key: 16-byte hash key; a random one when absent.

    Raises:
        ValueError: When an override names an unknown role, one attribute is given to two roles, or a role has more than 65,536 names.
    """
    known = TEXT_ROLES | NUMBER_ROLES
    for role in overrides or {}:
        if role not in known:
            raise ValueError(f"detection.roles.{role}: must be one of {', '.join(known)}, got {role!r}")
    for name in (*slices, *(name for names in (overrides or {}).values() for name in names)):
        if name.startswith(semconv.ANOMALY_PREFIX):
            raise ValueError(
                f"detection.roles: {semconv.ANOMALY_PREFIX}* is written by the processor only, got {name!r}"
            )
    texts = {role: tuple((overrides or {}).get(role, names)) for role, names in TEXT_ROLES.items()}
    texts |= {name: (name,) for name in slices}
    numbers = {role: tuple((overrides or {}).get(role, names)) for role, names in NUMBER_ROLES.items()}
    columns = [*texts.values(), *numbers.values()]
    return RoleTable(
        texts=tuple(texts),
        numbers=tuple(numbers),
        slices=tuple(slices),
        names=_hash_names(columns, key or secrets.token_bytes(16)),
    )


def attribute_conflicts(slices: Sequence[str], overrides: Mapping[str, Sequence[str]]) -> list[str]:
    """Return, in words, every attribute that would play more than one role.

    Args:
        slices: Attribute names whose values slice a series.
        overrides: Role name to attribute names, in place of the built-in list.
    """
    roles: dict[str, Sequence[str]] = {**TEXT_ROLES, **NUMBER_ROLES, **overrides}
    parts = [(role, name) for role, names in roles.items() for name in names]
    played: dict[str, list[str]] = {}
    for part, name in [*parts, *(("slices", name) for name in slices)]:
        played.setdefault(name, []).append(part)
    return [f"{name} stands in {' and in '.join(places)}" for name, places in played.items() if len(places) > 1]


def _hash_names(columns: Sequence[Sequence[str]], key: bytes) -> Names:
    total = sum(map(len, columns))
    capacity = 1 << max(4, (4 * total).bit_length())
    words = np.frombuffer(key, np.uint64)
    names = Names(
        hashes=np.zeros(capacity, np.uint64),
        claims=np.zeros(capacity, np.int64),
        key=words.copy(),
    )
    for role, attributes in enumerate(columns):
        for rank, attribute in enumerate(attributes):
            _insert(names, attribute, role, rank)
    return names


def _insert(names: Names, attribute: str, role: int, rank: int) -> None:
    data = np.frombuffer(attribute.encode(), np.uint8)
    code = np.uint64(siphash13(data, 0, data.size, names.key[0], names.key[1]))
    place = int(code) & (names.hashes.size - 1)
    while names.hashes[place] != 0:
        if names.hashes[place] == code:
            raise ValueError(f"detection.roles: one attribute can play one role only, got {attribute!r} twice")
        place = (place + 1) % names.hashes.size
    names.hashes[place], names.claims[place] = code, claim_of(role, rank)
