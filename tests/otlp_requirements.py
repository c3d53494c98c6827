"""What the OpenTelemetry Protocol asks of servers and clients, one by one; `tests/conformance/test_otlp.py` has a test for each.

Source: opentelemetry-proto, docs/specification.md at 03dcdb9317d1f9e93a9349117f21a13c6bf66194; in our own words.
"""

from typing import NamedTuple


class Requirement(NamedTuple):
    """One thing the specification asks for.

    Args:
        name: Of its test, without `test_`.
        level: The specification's own word; "table" for what stands in a table, "text" for what is said without such a word.
        side: Who must do it: server, client (our exporters) or both.
        section: Where it stands.
        text: What it is.
    """

    name: str
    level: str
    side: str
    section: str
    text: str


REQUIREMENTS: tuple[Requirement, ...] = tuple(
    Requirement(*row)
    for row in (
        # --- both transports
        (
            "server_takes_none_and_gzip",
            "MUST",
            "server",
            "Protocol Details",
            "take requests without compression and with gzip",
        ),
        (
            "unknown_fields_do_no_harm",
            "MUST",
            "both",
            "Future Versions and Interoperability",
            "newer fields break nothing; here they are forwarded too",
        ),
        (
            "destinations_do_not_block_each_other",
            "SHOULD",
            "client",
            "Multi-Destination Exporting",
            "queue, acknowledge and retry for each destination by itself",
        ),
        (
            "no_empty_envelopes_are_made",
            "SHOULD NOT",
            "client",
            "Empty Telemetry Envelopes",
            "send no requests, resources or scopes that were emptied on the way",
        ),
        # --- gRPC: requests
        (
            "grpc_server_limits_message_size",
            "MUST",
            "server",
            "OTLP/gRPC Request",
            "bound the size of a message; beyond it RESOURCE_EXHAUSTED",
        ),
        (
            "grpc_client_does_not_retry_too_large",
            "MUST",
            "client",
            "OTLP/gRPC Request",
            "take the refusal of a message that is too large for final",
        ),
        (
            "grpc_client_limits_request_size",
            "SHOULD",
            "client",
            "OTLP/gRPC Request",
            "bound the size of what is sent as one",
        ),
        (
            "grpc_server_serves_concurrent_requests",
            "text",
            "server",
            "OTLP/gRPC Concurrent Requests",
            "answer requests that are under way at once, each by itself",
        ),
        (
            "grpc_client_pipelines_requests",
            "SHOULD",
            "client",
            "OTLP/gRPC Concurrent Requests",
            "have several requests under way, as many as configured",
        ),
        (
            "client_waits_on_shutdown_as_configured",
            "SHOULD",
            "client",
            "OTLP/gRPC Concurrent Requests",
            "let the operator choose whether a shutdown waits for acknowledgements",
        ),
        (
            "client_records_what_was_not_delivered",
            "SHOULD",
            "client",
            "OTLP/gRPC Concurrent Requests",
            "record that data was not delivered",
        ),
        # --- gRPC: responses
        (
            "grpc_empty_request_is_success",
            "SHOULD",
            "server",
            "OTLP/gRPC Response, Full Success",
            "answer a request without telemetry with success",
        ),
        (
            "grpc_success_is_the_export_response",
            "MUST",
            "server",
            "OTLP/gRPC Response, Full Success",
            "answer success with the response message of the signal",
        ),
        (
            "grpc_success_leaves_partial_success_unset",
            "MUST",
            "server",
            "OTLP/gRPC Response, Full Success",
            "leave partial_success unset when everything was taken",
        ),
        (
            "grpc_partial_success_is_the_export_response",
            "MUST",
            "server",
            "OTLP/gRPC Response, Partial Success",
            "answer OK with the same message when a part was taken",
        ),
        (
            "grpc_partial_success_counts_what_was_rejected",
            "MUST",
            "server",
            "OTLP/gRPC Response, Partial Success",
            "set the count of rejected spans, data points or log records",
        ),
        (
            "grpc_partial_success_says_why",
            "SHOULD",
            "server",
            "OTLP/gRPC Response, Partial Success",
            "say in English why, and what can be done",
        ),
        (
            "grpc_warning_has_a_message_and_no_count",
            "MUST",
            "server",
            "OTLP/gRPC Response, Partial Success",
            "a warning to a request taken whole has count 0 and a message",
        ),
        (
            "grpc_client_does_not_retry_partial_success",
            "MUST NOT",
            "client",
            "OTLP/gRPC Response, Partial Success",
            "send nothing again that was taken in part",
        ),
        (
            "grpc_client_retries_retryable_codes",
            "SHOULD",
            "client",
            "OTLP/gRPC Response, Failures",
            "keep data refused by a code that the table calls retryable, and send it again",
        ),
        (
            "grpc_client_drops_on_permanent_codes",
            "MUST NOT",
            "client",
            "OTLP/gRPC Response, Failures",
            "drop data refused by any other code, and do not send it again",
        ),
        (
            "grpc_client_counts_what_it_drops",
            "SHOULD",
            "client",
            "OTLP/gRPC Response, Failures",
            "count data dropped so",
        ),
        (
            "grpc_server_says_unavailable_for_what_passes",
            "SHOULD",
            "server",
            "OTLP/gRPC Response, Failures",
            "tell what may be retried by UNAVAILABLE; here always with RetryInfo",
        ),
        (
            "grpc_server_says_invalid_argument_for_bad_data",
            "SHOULD",
            "server",
            "OTLP/gRPC Response, Failures",
            "tell data that cannot be processed by INVALID_ARGUMENT",
        ),
        (
            "grpc_client_backs_off_exponentially",
            "SHOULD",
            "client",
            "OTLP/gRPC Response, Failures",
            "wait longer after each failure",
        ),
        (
            "grpc_client_retries_resource_exhausted_only_with_retry_info",
            "SHOULD",
            "client",
            "OTLP/gRPC Response, Failures",
            "retry RESOURCE_EXHAUSTED only where RetryInfo says that it passes",
        ),
        (
            "grpc_server_signals_backpressure",
            "SHOULD",
            "server",
            "OTLP/gRPC Throttling",
            "tell a sender that is too fast UNAVAILABLE; here with a delay that is worth waiting for",
        ),
        (
            "grpc_client_waits_as_long_as_it_is_told",
            "MUST",
            "client",
            "OTLP/gRPC Throttling",
            "throttle itself: send nothing again before RetryInfo's delay has passed",
        ),
        ("grpc_default_port_is_4317", "text", "server", "OTLP/gRPC Default Port", "4317"),
        # --- HTTP: encodings and requests
        (
            "http_binary_has_its_content_type",
            "MUST",
            "both",
            "Binary Protobuf Encoding",
            "label binary requests and responses application/x-protobuf",
        ),
        (
            "json_ids_are_hex_of_any_case",
            "text",
            "server",
            "JSON Protobuf Encoding",
            "read trace and span ids as hexadecimal digits, not base64",
        ),
        (
            "json_enums_are_integers",
            "MUST",
            "both",
            "JSON Protobuf Encoding",
            "read enumerations as integers, and write no names",
        ),
        (
            "json_unknown_fields_are_ignored",
            "MUST",
            "server",
            "JSON Protobuf Encoding",
            "read a document as if fields of unknown names were not there",
        ),
        (
            "json_keys_are_lower_camel_case",
            "text",
            "both",
            "JSON Protobuf Encoding",
            "read and write field names in lowerCamelCase",
        ),
        (
            "json_64_bit_integers_are_strings_or_numbers",
            "text",
            "both",
            "JSON Protobuf Encoding",
            "read 64-bit integers as strings and as numbers; write strings",
        ),
        (
            "http_json_has_its_content_type",
            "MUST",
            "server",
            "JSON Protobuf Encoding",
            "label JSON responses application/json",
        ),
        ("http_takes_post", "text", "server", "OTLP/HTTP Request", "take telemetry by POST"),
        (
            "http_server_has_the_default_paths",
            "text",
            "server",
            "OTLP/HTTP Request",
            "/v1/traces, /v1/metrics and /v1/logs take their signals",
        ),
        ("http_client_uses_the_default_paths", "text", "client", "OTLP/HTTP Request", "send each signal to its path"),
        (
            "http_client_labels_gzip",
            "MUST",
            "client",
            "OTLP/HTTP Request",
            "say Content-Encoding: gzip where the body is packed",
        ),
        (
            "http_server_limits_body_size",
            "MUST",
            "server",
            "OTLP/HTTP Request",
            "bound the size of a body, also unpacked; beyond it 413",
        ),
        (
            "http_client_does_not_retry_413",
            "MUST NOT",
            "client",
            "OTLP/HTTP Request",
            "send nothing again that was too large",
        ),
        # --- HTTP: responses
        (
            "http_response_has_the_type_of_the_request",
            "MUST",
            "server",
            "OTLP/HTTP Response",
            "answer in the Content-Type of the request, errors too",
        ),
        (
            "http_empty_request_is_success",
            "SHOULD",
            "server",
            "OTLP/HTTP Response, Full Success",
            "answer a request without telemetry with success",
        ),
        (
            "http_success_is_200_with_the_export_response",
            "MUST",
            "server",
            "OTLP/HTTP Response, Full Success",
            "answer success with 200 and the response message of the signal",
        ),
        (
            "http_success_leaves_partial_success_unset",
            "MUST",
            "server",
            "OTLP/HTTP Response, Full Success",
            "leave partial_success unset when everything was taken",
        ),
        (
            "http_partial_success_is_200_with_the_export_response",
            "MUST",
            "server",
            "OTLP/HTTP Response, Partial Success",
            "answer 200 with the same message when a part was taken",
        ),
        (
            "http_partial_success_counts_what_was_rejected",
            "MUST",
            "server",
            "OTLP/HTTP Response, Partial Success",
            "set the count of rejected spans, data points or log records",
        ),
        (
            "http_partial_success_says_why",
            "SHOULD",
            "server",
            "OTLP/HTTP Response, Partial Success",
            "say in English why, and what can be done",
        ),
        (
            "http_warning_has_a_message_and_no_count",
            "MUST",
            "server",
            "OTLP/HTTP Response, Partial Success",
            "a warning to a request taken whole has count 0 and a message",
        ),
        (
            "http_client_does_not_retry_partial_success",
            "MUST NOT",
            "client",
            "OTLP/HTTP Response, Partial Success",
            "send nothing again that was taken in part",
        ),
        (
            "http_failures_are_4xx_or_5xx",
            "MUST",
            "server",
            "OTLP/HTTP Response, Failures",
            "answer what fails with a 4xx or 5xx that fits",
        ),
        (
            "http_failures_carry_a_status",
            "MUST",
            "server",
            "OTLP/HTTP Response, Failures",
            "send a google.rpc.Status that says what is wrong with every 4xx and 5xx",
        ),
        (
            "http_client_retries_429_502_503_504",
            "SHOULD",
            "client",
            "OTLP/HTTP Response, Retryable Response Codes",
            "keep data refused by these, and send it again",
        ),
        (
            "http_client_retries_no_other_code",
            "MUST NOT",
            "client",
            "OTLP/HTTP Response, Retryable Response Codes",
            "send nothing again that was refused by any other 4xx or 5xx",
        ),
        (
            "http_bad_data_is_400",
            "MUST",
            "server",
            "OTLP/HTTP Response, Bad Data",
            "answer data that cannot be decoded with 400",
        ),
        (
            "http_bad_data_is_described",
            "SHOULD",
            "server",
            "OTLP/HTTP Response, Bad Data",
            "describe it by a BadRequest in the details",
        ),
        (
            "http_client_does_not_retry_400",
            "MUST NOT",
            "client",
            "OTLP/HTTP Response, Bad Data",
            "send nothing again that was bad",
        ),
        (
            "http_server_throttles_with_retry_after",
            "SHOULD",
            "server",
            "OTLP/HTTP Throttling",
            "answer a sender that is too fast with 429 or 503; here with Retry-After",
        ),
        (
            "http_client_honours_retry_after",
            "SHOULD",
            "client",
            "OTLP/HTTP Throttling",
            "send nothing again before Retry-After has passed",
        ),
        (
            "http_client_backs_off_without_retry_after",
            "SHOULD",
            "client",
            "OTLP/HTTP Throttling",
            "wait longer after each failure where no time is named",
        ),
        (
            "http_client_retries_after_a_lost_answer",
            "SHOULD",
            "client",
            "All Other Responses",
            "send again when the connection ends without an answer",
        ),
        (
            "http_client_retries_connecting_with_jitter",
            "SHOULD",
            "client",
            "OTLP/HTTP Connection",
            "try to connect again, at growing intervals with random jitter",
        ),
        (
            "http_client_keeps_its_connection",
            "SHOULD",
            "client",
            "OTLP/HTTP Connection",
            "keep the connection between requests",
        ),
        (
            "http_server_takes_both_encodings_on_one_port",
            "SHOULD",
            "server",
            "OTLP/HTTP Connection",
            "tell binary and JSON apart by Content-Type, on one port and connection",
        ),
        (
            "http_client_connections_are_configurable",
            "SHOULD",
            "client",
            "OTLP/HTTP Concurrent Requests",
            "use as many parallel connections as configured",
        ),
        ("http_default_port_is_4318", "text", "server", "OTLP/HTTP Default Port", "4318"),
    )
)
"""In the order of the specification."""
