"""Every attribute, event and metric name that Spanward reads or writes, spelled once.

Three sources, kept apart below: stable OpenTelemetry conventions, the GenAI conventions (Development status; they
moved to their own repository in 2026, so we own the strings), and Spanward's own prefix for what no convention names.
The processor imports this module and nothing else of the SDK.
"""

from typing import Final

# --- Stable OpenTelemetry conventions (semantic-conventions 1.44) --------------------------------------------------
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
ERROR_TYPE: Final = "error.type"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_EVENT: Final = "exception"
CODE_FUNCTION_NAME: Final = "code.function.name"
HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
HTTP_ROUTE: Final = "http.route"
NETWORK_PROTOCOL_VERSION: Final = "network.protocol.version"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
URL_SCHEME: Final = "url.scheme"
VCS_REF_HEAD_REVISION: Final = "vcs.ref.head.revision"

# --- GenAI conventions (Development) --------------------------------------------------------------------------------
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - of a count
GEN_AI_CLIENT_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
GEN_AI_CLIENT_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a metric

# --- Spanward: what served ------------------------------------------------------------------------------------------
MODEL_NAME: Final = "spanward.model.name"
MODEL_VERSION: Final = "spanward.model.version"
MODEL_REVISION: Final = "spanward.model.revision"
MODEL_FRAMEWORK: Final = "spanward.model.framework"
MODEL_TASK: Final = "spanward.model.task"
PROMPT_VERSION: Final = "spanward.prompt.version"  # of the template
INDEX_VERSION: Final = "spanward.index.version"  # of what is retrieved from
GUARDRAIL_VERSION: Final = "spanward.guardrail.version"
COMMIT_TIME: Final = "spanward.commit.time"  # of a resource: when what runs was committed, RFC 3339 or Unix seconds

# --- Spanward: the input, never its content -------------------------------------------------------------------------
FEATURES_HASH: Final = "spanward.features.hash"
FEATURES_KEY_ID: Final = "spanward.features.key_id"
FEATURES_SCHEMA: Final = "spanward.features.schema"
FEATURES_FINGERPRINT: Final = "spanward.features.fingerprint"
FEATURES_PREVIOUS_HASH: Final = "spanward.features.previous.hash"  # under the key before, while both are in use
FEATURES_PREVIOUS_KEY_ID: Final = "spanward.features.previous.key_id"
FEATURES_PREVIOUS_FINGERPRINT: Final = "spanward.features.previous.fingerprint"
FEATURES_COUNT: Final = "spanward.features.count"
FEATURES_SPARSITY: Final = "spanward.features.sparsity"
FEATURES_SHAPE: Final = "spanward.features.shape"
TOKENS_SOURCE: Final = "spanward.tokens.source"

# --- Spanward: batches and streams ----------------------------------------------------------------------------------
BATCH_SIZE: Final = "spanward.batch.size"
BATCH_SCORE_MEAN: Final = "spanward.batch.score.mean"
BATCH_SCORE_MIN: Final = "spanward.batch.score.min"
BATCH_SCORE_MAX: Final = "spanward.batch.score.max"
BATCH_DECISIONS: Final = "spanward.batch.decisions"
BATCH_DECISION_COUNTS: Final = "spanward.batch.decision_counts"
ITEM_EVENT: Final = "spanward.item"
ITEM_INDEX: Final = "spanward.item.index"
STREAM_ITEMS: Final = "spanward.stream.items"
STREAM_END: Final = "spanward.stream.end"
STREAM_FIRST_ITEM_S: Final = "spanward.stream.first_item_s"
STREAM_BETWEEN_ITEMS_MEAN_S: Final = "spanward.stream.between_items_mean_s"
STREAM_BETWEEN_ITEMS_MAX_S: Final = "spanward.stream.between_items_max_s"
STREAM_CONSUMER_S: Final = "spanward.stream.consumer_s"

# --- Spanward: the answer -------------------------------------------------------------------------------------------
SCORE: Final = "spanward.score"
SCORE_KIND: Final = "spanward.score.kind"
MARGIN: Final = "spanward.margin"
ENTROPY: Final = "spanward.entropy"
DECISION: Final = "spanward.decision"

# --- Spanward: where it came from -----------------------------------------------------------------------------------
CHANNEL: Final = "spanward.channel"
DIMENSION_PREFIX: Final = "spanward.dimension."
CLIENT_ID: Final = "spanward.client.id"
CLIENT_PREVIOUS_ID: Final = "spanward.client.previous.id"
CLIENT_TRUST: Final = "spanward.client.trust"

# --- Spanward: what the process did besides -------------------------------------------------------------------------
RUNTIME_CPU_S: Final = "spanward.runtime.cpu_s"
RUNTIME_GC_PAUSE_S: Final = "spanward.runtime.gc_pause_s"
RUNTIME_WAIT_S: Final = "spanward.runtime.wait_s"
RUNTIME_MODEL_LOAD_S: Final = "spanward.runtime.model_load_s"
LOADING_MODEL_NAME: Final = "spanward.loading.model.name"
LOADING_MODEL_VERSION: Final = "spanward.loading.model.version"
LOADING_MODEL_REVISION: Final = "spanward.loading.model.revision"

# --- Spanward: written by the processor only; an inbound one is removed and counted ---------------------------------
ANOMALY_PREFIX: Final = "spanward.anomaly."
ANOMALY_SCORE: Final = "spanward.anomaly.score"
ANOMALY_DETECTORS: Final = "spanward.anomaly.detectors"
ANOMALY_FINDING_ID: Final = "spanward.anomaly.finding_id"

# --- Findings: log record event and its attributes ------------------------------------------------------------------
FINDING_EVENT: Final = "spanward.finding"
FINDING_ID: Final = "spanward.finding.id"
FINDING_INCIDENT_ID: Final = "spanward.finding.incident.id"
FINDING_RECURRENCES: Final = "spanward.finding.recurrences"
FINDING_KIND: Final = "spanward.finding.kind"
FINDING_STATE: Final = "spanward.finding.state"
FINDING_SEVERITY: Final = "spanward.finding.severity"
FINDING_DETECTOR: Final = "spanward.finding.detector"
FINDING_ASPECT: Final = "spanward.finding.aspect"
FINDING_OBSERVED: Final = "spanward.finding.observed"
FINDING_BASELINE: Final = "spanward.finding.baseline"
FINDING_EVIDENCE_LOG10_E: Final = "spanward.finding.evidence.log10_e"
FINDING_EVIDENCE_P: Final = "spanward.finding.evidence.p"
FINDING_EVIDENCE_COUNT: Final = "spanward.finding.evidence.count"
FINDING_BUDGET_PER_DAY: Final = "spanward.finding.budget_per_day"
FINDING_WINDOW_START: Final = "spanward.finding.window.start"
FINDING_WINDOW_END: Final = "spanward.finding.window.end"
FINDING_SLICE: Final = "spanward.finding.slice"
FINDING_SLICES: Final = "spanward.finding.slices"
FINDING_TECHNIQUE_ID: Final = "spanward.finding.technique.id"
FINDING_TECHNIQUE_NAME: Final = "spanward.finding.technique.name"
FINDING_TECHNIQUE_MATURITY: Final = "spanward.finding.technique.maturity"
FINDING_TECHNIQUE_DATA_VERSION: Final = "spanward.finding.technique.data_version"

# --- Deployments -----------------------------------------------------------------------------------------------------
DORA_PART: Final = "spanward.dora.part"

# --- Metrics --------------------------------------------------------------------------------------------------------
METRIC_FINDING_COUNT: Final = "spanward.finding.count"
METRIC_FINDING_OPEN: Final = "spanward.finding.open"
METRIC_SLO_EVENTS: Final = "spanward.slo.events"
METRIC_SLO_OBJECTIVE: Final = "spanward.slo.objective"
METRIC_SLO_BUDGET_LEFT: Final = "spanward.slo.budget.remaining"
METRIC_SLO_BURN_RATE: Final = "spanward.slo.burn_rate"
METRIC_SLO_EXHAUSTED_IN: Final = "spanward.slo.budget.exhausted_in"
METRIC_DORA_DEPLOYMENTS: Final = "spanward.dora.deployments"
METRIC_DORA_CHANGE_FAIL_RATE: Final = "spanward.dora.change_fail_rate"
METRIC_DORA_RECOVERY_TIME: Final = "spanward.dora.recovery_time"
METRIC_DORA_REWORK_RATE: Final = "spanward.dora.rework_rate"
METRIC_DORA_LEAD_TIME: Final = "spanward.dora.lead_time"
METRIC_SERIES_READY: Final = "spanward.series.ready"
METRIC_SERIES_RATE: Final = "spanward.series.rate"
METRIC_SERIES_LATENCY: Final = "spanward.series.latency"
METRIC_SERIES_ERROR_RATIO: Final = "spanward.series.error_ratio"
