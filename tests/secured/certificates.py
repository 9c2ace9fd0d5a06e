"""Certificates made on the spot, by the command that every Debian with certificates has: openssl."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

OPENSSL = shutil.which("openssl")
COMMAND_SECONDS = 30
# ``openssl ca`` gives any dates in every version; ``openssl x509`` refuses those that are over since 3.5.
CONFIGURATION = """
[ca]
default_ca = authority
[authority]
database = {directory}/index.txt
new_certs_dir = {directory}
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
default_md = sha256
policy = policy
rand_serial = yes
unique_subject = no
x509_extensions = extensions
[policy]
commonName = supplied
[extensions]
subjectAltName = DNS:localhost,IP:127.0.0.1
authorityKeyIdentifier = keyid
"""
EXPIRED = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z")


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
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            # Python 3.13 takes no CA without it.
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-subj", f"/CN={name}", "-keyout", directory / "ca.key", "-out", self.certificate),
        )
        (directory / "index.txt").touch()
        self._configuration = directory / "ca.cnf"
        self._configuration.write_text(CONFIGURATION.format(directory=directory))

    def issue(self, name: str, *, expired: bool = False) -> Issued:
        """Make a certificate for this machine's loopback, for servers and clients alike."""
        request, certificate, key, both = (self._directory / f"{name}{end}" for end in (".csr", ".crt", ".key", ".pem"))
        _openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        _openssl(
            *("ca", "-batch", "-notext", "-config", self._configuration, "-in", request, "-out", certificate),
            *(EXPIRED if expired else ("-days", "1")),
        )
        both.write_text(key.read_text() + certificate.read_text())
        return Issued(certificate, key, both)


def _openssl(*arguments: str | Path) -> None:
    assert OPENSSL is not None
    command = [OPENSSL, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
