"""TLS contexts from PEM files, and what a certificate that is not accepted means for whoever set them."""

import logging
import ssl
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NoReturn

from streams.errors import BadSetting
from streams.secured import Files, Servers, kafka_files, postgres_files, redis_files, web_files

log = logging.getLogger(__name__)

Checks = Literal["name", "chain", "nothing"]
"""What is looked at in a server's certificate: who signed it and whom it names; the former only; neither."""

Stamps = tuple[tuple[int, int], ...]

# OpenSSL's words for an alert by which a server turns this client's certificate, or the lack of one, down.
CLIENT_REFUSED: Final = (
    "certificate required",
    "bad certificate",
    "unknown ca",
    "certificate expired",
    "handshake fail",
)
NO_TLS: Final = "it does not speak TLS"
# OpenSSL's words where something else answers.
NOT_TLS: Final = ("wrong version number", "record layer failure", "packet length too long")

_kept: dict[tuple[Files, Checks | Literal["server"]], tuple[Stamps, ssl.SSLContext]] = {}


def context(files: Files, checks: Checks = "name") -> ssl.SSLContext:
    """Return a client's context; without a CA the system's are trusted.

    Files that have changed are read again. While they cannot be read, what was read before is used: they may be about
    to be replaced. Raises :class:`BadSetting`, which names the setting, where nothing was read before.
    """
    return _latest(files, checks)


def server_context(files: Files) -> ssl.SSLContext:
    """Return a server's context, which shows the certificate and asks clients for none. Else as :func:`context`."""
    return _latest(files._replace(ca=None), "server")


def check_client_files(settings: Servers) -> None:
    """Read what is shown to Kafka, Postgres and Redis, and whom to trust there, before anything is asked.

    Raises :class:`BadSetting`, which names the setting.
    """
    for files in (kafka_files(settings), postgres_files(settings), redis_files(settings)):
        if files.named():
            context(files)


def of_web_servers(settings: Servers) -> Callable[[], ssl.SSLContext] | None:
    """Return what gives each connection of a web server its context; None where it has no certificate.

    Raises :class:`BadSetting`, also for the CA of those that are asked: nobody would be told later.
    """
    files = web_files(settings)
    context(files._replace(certificate=None, key=None))
    if files.certificate is None:
        return None
    server_context(files)
    return lambda: server_context(files)


def _latest(files: Files, checks: Checks | Literal["server"]) -> ssl.SSLContext:
    kept = _kept.get((files, checks))
    try:
        stamps = tuple(_stamp(files, path) for path in (files.ca, files.certificate, files.key) if path is not None)
        if kept is not None and kept[0] == stamps:
            return kept[1]
        made = _made(files, checks)
    except BadSetting as error:
        if kept is None:
            raise
        _warn(str(error))
        return kept[1]
    _kept[files, checks] = stamps, made
    return made


def _stamp(files: Files, path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        _refuse(files, path, error)
    return status.st_mtime_ns, status.st_size


def _made(files: Files, checks: Checks | Literal["server"]) -> ssl.SSLContext:
    if checks == "server":
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    else:
        try:
            made = ssl.create_default_context(cafile=files.ca)
        except OSError as error:
            _refuse(files, files.ca, error)
        made.check_hostname = checks == "name"
        if checks == "nothing":
            made.verify_mode = ssl.CERT_NONE
    if files.certificate is not None:
        # Opened here, since the library's error does not say which of the two could not be.
        for path in (files.certificate, files.key or files.certificate):
            try:
                with path.open("rb"):
                    pass
            except OSError as error:
                _refuse(files, path, error)

        def no_password() -> NoReturn:
            raise BadSetting(f"{files.prefix}_KEYFILE: {files.key or files.certificate} needs a password: decrypt it")

        try:
            made.load_cert_chain(files.certificate, files.key, password=no_password)
        except ssl.SSLError as error:
            raise BadSetting(
                f"{' and '.join(files.named()[-2:] if files.key else files.named()[-1:])}: no certificate with its key "
                f"in PEM form ({_words(error)})"
            ) from None
    return made


def _refuse(files: Files, path: Path | None, error: OSError) -> NoReturn:
    """Raise :class:`BadSetting` for a file that cannot be read."""
    name = {files.key: "KEYFILE", files.certificate: "CERTFILE", files.ca: "CAFILE"}[path]
    if isinstance(error, ssl.SSLError):
        raise BadSetting(f"{files.prefix}_{name}: {path} holds no certificate in PEM form ({_words(error)})") from None
    reason = (error.strerror or str(error)).lower()
    raise BadSetting(f"{files.prefix}_{name}: {path} cannot be read: {reason}") from None


@lru_cache(maxsize=100)
def _warn(text: str) -> None:
    log.warning("%s; going on with what was read before", text)


def certificate_fault(error: BaseException, prefix: str) -> str | None:
    """Return what is wrong with a certificate, and which setting to look at; None for any other error.

    The error may be hidden in others, or only its words may be left. ``prefix`` is that of the server's settings.
    """
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            if "expired" in each.verify_message:
                return f"its certificate is not accepted ({each.verify_message}): renew it on the server"
            return f"its certificate is not accepted ({each.verify_message}): check {prefix}_CAFILE, or its address"
        text = str(each).lower().replace("_", " ")
        if "alert" in text and any(words in text for words in CLIENT_REFUSED):
            return f"it does not accept this client's certificate ({_words(each)}): check {prefix}_CERTFILE"
        if isinstance(each, ssl.SSLError) and any(words in text for words in NOT_TLS):
            return NO_TLS
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised for."""
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _words(error: BaseException) -> str:
    """Return OpenSSL's words without the numbers around them."""
    reason = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if isinstance(reason, str) else str(error)
