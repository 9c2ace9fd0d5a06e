"""Certificates made on the spot, by the command that every Debian with certificates has: openssl."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

OPENSSL = shutil.which("openssl")
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"
COMMAND_SECONDS = 30


class Issued(NamedTuple):
    """A certificate and its key, and both in one file (the key first, as Kafka wants it)."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """A CA in a directory of its own; whoever trusts :attr:`certificate` trusts what it issues."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate),
        )

    def issue(self, name: str, *, expired: bool = False) -> Issued:
        """Make a certificate for this machine's loopback, for servers and clients alike."""
        request, certificate, key, both = (self._directory / f"{name}{end}" for end in (".csr", ".crt", ".key", ".pem"))
        _openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        names = self._directory / "names"
        names.write_text(f"{NAMES}\n")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", "-1" if expired else "1", "-extfile", names, "-out", certificate),
        )
        both.write_text(key.read_text() + certificate.read_text())
        return Issued(certificate, key, both)


def _openssl(*arguments: str | Path) -> None:
    assert OPENSSL is not None
    command = [OPENSSL, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
