"""Files of certificates: each fault names its setting, and new files are taken without a restart."""

import logging
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from streams import tls
from streams.errors import BadSetting
from streams.secured import Files
from tests.said import said_by
from tests.secured.certificates import OPENSSL, Authority, Issued


def test_each_fault_names_its_setting(authority: Authority, client: Issued, tmp_path: Path) -> None:
    """And the file, and what is wrong with it."""
    ca, missing, empty, locked = authority.certificate, tmp_path / "missing", tmp_path / "empty", tmp_path / "locked"
    empty.touch()
    command = [OPENSSL or "", "ec", "-in", str(client.key), "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    other = authority.issue("other")
    for files, said in (
        (Files("X_SSL", missing, None, None), f"X_SSL_CAFILE: {missing} cannot be read: no such file or directory"),
        (Files("X_SSL", client.key, None, None), f"X_SSL_CAFILE: {client.key} holds no certificate in PEM form"),
        (Files("X_SSL", empty, None, None), f"X_SSL_CAFILE: {empty} holds no certificate in PEM form"),
        (Files("X_SSL", ca, missing, client.key), f"X_SSL_CERTFILE: {missing} cannot be read"),
        (Files("X_SSL", ca, client.certificate, missing), f"X_SSL_KEYFILE: {missing} cannot be read"),
        (Files("X_SSL", ca, client.certificate, None), "X_SSL_CERTFILE: no certificate with its key in PEM form"),
        (
            Files("X_SSL", ca, client.certificate, other.key),
            "X_SSL_CERTFILE and X_SSL_KEYFILE: no certificate with its k",
        ),
        (Files("X_SSL", ca, client.certificate, locked), f"X_SSL_KEYFILE: {locked} needs a password: decrypt it"),
    ):
        with pytest.raises(BadSetting) as refused:
            tls.context(files)
        assert str(refused.value).startswith(said)
        assert "\n" not in str(refused.value)
    tls.context(Files("X_SSL", ca, client.both, None))


def test_new_files_are_taken_and_missing_ones_waited_for(
    authority: Authority, stranger: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Certificates are renewed while the program runs, and a file may be away for a moment."""
    path = tmp_path / "ca.pem"
    files = Files("X_SSL", path, None, None)
    shutil.copy(authority.certificate, path)
    first = tls.context(files)
    assert tls.context(files) is first
    path.unlink()
    with caplog.at_level(logging.WARNING):
        assert tls.context(files) is first
        assert tls.context(files) is first
    assert said_by(caplog, "streams.tls") == [
        f"X_SSL_CAFILE: {path} cannot be read: no such file or directory; going on with what was read before"
    ]
    shutil.copy(stranger.certificate, path)
    os.utime(path, ns=(1, 1))
    renewed = tls.context(files)
    assert renewed is not first
    assert renewed.get_ca_certs()[0]["subject"] == ((("commonName", "other"),),)
