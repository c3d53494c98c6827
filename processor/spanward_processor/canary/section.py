"""How an operator writes it: the section `canary` of the configuration."""

import base64
import binascii
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from spanward_processor.canary.settings import GUARDS, Canary, Guarded, Named
from spanward_processor.configuration.sections import Count, NotNegative, Number, Positive, ReadableFile, Section

_ENCODED: Final = "whsec_"
_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s#]*)?", value):
        raise ValueError("must be http://HOST:PORT/PATH, or https://")
    return value


def _object_name(value: str) -> str:
    if not _DNS_LABEL.fullmatch(value):
        raise ValueError("must be the name of a Kubernetes object: small letters, digits, '-' and '.'")
    return value


Url = Annotated[str, AfterValidator(_url)]
ObjectName = Annotated[str, AfterValidator(_object_name)]
Requests = Annotated[Count, Field(le=1_000_000_000)]
Text = Annotated[str, Field(min_length=1, max_length=1024)]


class NamedConfig(Section):
    """Which version of a model is stable, and which one on trial."""

    service: Text
    model: Text
    stable: Text
    canary: str = ""  # any other


class _Executor(Section):
    """Who rolls back: of which models."""

    service: str = ""  # any
    model: str = ""  # any


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for: what follows `whsec_` is base64, anything else is taken as it is.

    Raises:
        ValueError: It is no base64, though it says so.
    """
    if not secret.startswith(_ENCODED):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
    except binascii.Error as error:
        raise ValueError(f"must be base64 after {_ENCODED}") from error


def _secret(text: str) -> str:
    key_of(text)
    return text


class WebhookConfig(_Executor):
    """A signed request to a URL."""

    kind: Literal["webhook"]
    url: Url
    secret: Annotated[str, Field(min_length=16), AfterValidator(_secret)] | None = None
    attempts: Annotated[Count, Field(le=100)] = 4


class FlagdConfig(_Executor):
    """A flag in a file that flagd, or an OpenFeature provider, reads."""

    kind: Literal["flagd"]
    file: Path
    flag: Text


class CommandConfig(_Executor):
    """A program."""

    kind: Literal["command"]
    command: Annotated[tuple[Text, ...], Field(min_length=1)]


class KubernetesConfig(_Executor):
    """An object in a cluster: a Rollout that is aborted, or a route whose weights are set."""

    kind: Literal["argo_rollouts", "istio", "gateway_api"]
    namespace: ObjectName
    object: ObjectName
    stable: str = ""  # subset, host or service of the stable version; of a Rollout none
    canary: str = ""
    server: Url | None = None  # null: the cluster it runs in
    token_file: ReadableFile | None = None
    ca_file: ReadableFile | None = None


ExecutorConfig = Annotated[WebhookConfig | FlagdConfig | CommandConfig | KubernetesConfig, Field(discriminator="kind")]


class Weights(Section):
    """Each guard's part of the evidence; 0 leaves it out."""

    latency: NotNegative = GUARDS["latency"].weight
    tail: NotNegative = GUARDS["tail"].weight
    errors: NotNegative = GUARDS["errors"].weight
    score: NotNegative = GUARDS["score"].weight
    decision: NotNegative = GUARDS["decision"].weight
    input_tokens: NotNegative = GUARDS["input_tokens"].weight
    output_tokens: NotNegative = GUARDS["output_tokens"].weight


class Margins(Section):
    """How much worse nobody minds, by guard."""

    latency: NotNegative = GUARDS["latency"].margin
    tail: NotNegative = GUARDS["tail"].margin
    errors: NotNegative = GUARDS["errors"].margin
    score: NotNegative = GUARDS["score"].margin
    decision: NotNegative = GUARDS["decision"].margin
    input_tokens: NotNegative = GUARDS["input_tokens"].margin
    output_tokens: NotNegative = GUARDS["output_tokens"].margin


class Tolerances(Section):
    """How much worse a canary that is promoted surely is not, by guard."""

    latency: NotNegative = GUARDS["latency"].tolerance
    tail: NotNegative = GUARDS["tail"].tolerance
    errors: NotNegative = GUARDS["errors"].tolerance
    score: NotNegative = GUARDS["score"].tolerance
    decision: NotNegative = GUARDS["decision"].tolerance
    input_tokens: NotNegative = GUARDS["input_tokens"].tolerance
    output_tokens: NotNegative = GUARDS["output_tokens"].tolerance


class CanaryConfig(Section):
    """How two versions of one model are compared, and who rolls one back."""

    enabled: bool = True
    window_s: Annotated[Number, Field(ge=0.1, le=3600)] = 1.0
    lateness_s: NotNegative = 5.0
    warmup_s: NotNegative = 120.0
    alpha: Annotated[Number, Field(gt=0, le=0.5)] = 0.01
    min_requests: Requests = 30
    promote_requests: Requests = 1000
    min_clients: Requests = 3
    vanished_s: Positive = 60.0
    weights: Weights = Weights()
    margins: Margins = Margins()
    tolerances: Tolerances = Tolerances()
    models: tuple[NamedConfig, ...] = ()
    dry_run: bool = False
    cooldown_s: NotNegative = 300.0
    timeout_s: Positive = 10.0
    executors: tuple[ExecutorConfig, ...] = ()

    def as_settings(self) -> Canary:
        """Return what trials are told."""
        guards = {
            name: Guarded(getattr(self.weights, name), getattr(self.margins, name), getattr(self.tolerances, name))
            for name in GUARDS
        }
        models = tuple(Named(**one.model_dump()) for one in self.models)
        given = self.model_dump(include=set(Canary.__dataclass_fields__) - {"models", "guards"})
        return Canary(**given, guards=guards, models=models)
