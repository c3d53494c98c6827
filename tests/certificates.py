"""A certificate authority for tests, made with the openssl command."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_ALPN = ["h2"]
_AUTHORITY = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 verifies strictly


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates for localhost.

    Args:
        folder: Where keys and certificates lie.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.pem"

    def make(self) -> "Authority":
        """Make the authority itself."""
        self._openssl("req", "-x509", *self._new("ca"), "-subj", "/CN=Test CA", *_AUTHORITY, "-out", str(self.ca))
        return self

    def issue(self, name: str, subject: str) -> tuple[Path, Path]:
        """Return certificate and key of a new pair, for localhost and 127.0.0.1."""
        request, certificate = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        self._openssl("req", *self._new(name), "-subj", subject, "-out", str(request))
        signing = ("-CA", str(self.ca), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial")
        self._openssl(
            "x509",
            "-req",
            "-in",
            str(request),
            *signing,
            "-days",
            "2",
            "-extfile",
            str(extensions),
            "-out",
            str(certificate),
        )
        return certificate, self.folder / f"{name}.key"

    def server(self, name: str = "server", *, ask: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
        """Return a server's context; `ask` tells whether clients need a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, f"/CN={name}"))
        context.load_verify_locations(self.ca)
        context.verify_mode = ask
        context.set_alpn_protocols(_ALPN)
        return context

    def client(self, name: str = "") -> ssl.SSLContext:
        """Return a client's context that trusts this authority; with a name it has a certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(_ALPN)
        if name:
            context.load_cert_chain(*self.issue(name, f"/O=Shop/CN={name}"))
        return context

    def _new(self, name: str) -> tuple[str, ...]:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return (
            (*key, "-keyout", str(self.folder / f"{name}.key"), "-days", "2")
            if name == "ca"
            else (
                *key,
                "-keyout",
                str(self.folder / f"{name}.key"),
            )
        )

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(("openssl", *arguments), check=True, capture_output=True)
