"""How an operator writes it: the section `receiver` of the configuration."""

from pydantic import ValidationInfo, field_validator

from spanward_processor.configuration.addresses import Address, is_loopback
from spanward_processor.configuration.sections import ReadableFile, Section


class ServerTls(Section):
    """Certificate of the receiver; with `client_ca_file` senders must show one too."""

    cert_file: ReadableFile
    key_file: ReadableFile
    client_ca_file: ReadableFile | None = None


class Receiver(Section):
    """Where senders reach us; beyond this machine only with TLS, or with `insecure_bind`."""

    tls: ServerTls | None = None
    tokens_file: ReadableFile | None = None
    insecure_bind: bool = False
    listen: Address = "127.0.0.1:4317"  # after what its rule looks at
    http_listen: Address | None = "127.0.0.1:4318"

    @field_validator("listen", "http_listen")
    @classmethod
    def _safe(cls, listen: str | None, info: ValidationInfo) -> str | None:
        protected = info.data.get("tls", "in error") is not None or info.data.get("insecure_bind", True)
        if listen is not None and not is_loopback(listen) and not protected:
            raise ValueError("must be on loopback, unless tls is configured or insecure_bind is true")
        return listen
