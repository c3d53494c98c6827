"""How an operator writes it: the section `live` of the configuration."""

from spanward_processor.configuration.addresses import PlainAddress
from spanward_processor.configuration.sections import Section


class Live(Section):
    """Where the live page and the health endpoints are served."""

    insecure_bind: bool = False
    listen: PlainAddress = "127.0.0.1:8317"  # after what its rule looks at
