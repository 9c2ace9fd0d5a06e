"""What a file's bytes are packed in: nothing, gzip or zip. Packed ones are unpacked as they are read, never at once."""

import gzip
import io
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

from streams.errors import BadRecording

# Kraken's archive of all markets has about 1 500 members. Each open one holds a window of 32 kB and a chunk of rows.
MAX_MEMBERS: Final = 2000
# What a tar archive calls itself stands behind the name of its first file.
_MAGIC_BYTES: Final = 512
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_TAR_AT: Final = 257
_FOREIGN: Final = (
    (b"PK\x05\x06", "an empty zip archive"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"PAR1", "a Parquet table"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF", "a PDF"),
)
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_FOREIGN_MEMBERS: Final = ((".npy", "NumPy arrays"), ("[Content_Types].xml", "an Office document such as xlsx"))
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)

# Room that is left on the disk, whatever a file unpacks to.
_FREE_BYTES: Final = 1 << 30
# A file that is packed and newest first is unpacked to disk. Ten years of the busiest market have 5 GB.
MAX_SPOOLED_BYTES: Final = 16 << 30
_ON_DISK: Final = "/var/tmp"  # noqa: S108 - the file has no name there
_COPIED_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Part:
    """One stream of lines: a file, or a member of an archive.

    ``packed_bytes`` is its size on disk. ``tells`` is the name that may tell the market, without endings of packing.
    """

    path: Path
    member: str
    packing: str
    packed_bytes: int
    unpacked_bytes: int

    @property
    def label(self) -> str:
        """The name for people."""
        return f"{self.path.name}:{self.member}" if self.member else self.path.name

    @property
    def tells(self) -> PurePosixPath:
        return PurePosixPath(self.member or bare_name(self.path))

    @property
    def is_plain(self) -> bool:
        """Whether it can be read from any place in it."""
        return not self.packing


class GzipStream(gzip.GzipFile):
    """A file that is unpacked as it is read."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        super().__init__(fileobj=raw, mode="rb")

    def packed_position(self) -> int:
        """Return how many of its bytes on disk have been read."""
        return self._raw.tell()

    def close(self) -> None:
        super().close()
        self._raw.close()


class Archives:
    """Opens parts. Archives stay open until it is closed, since their directory is read once."""

    def __init__(self) -> None:
        self._zips: dict[Path, zipfile.ZipFile] = {}

    def parts(self, path: Path) -> list[Part]:
        """Return what a file holds, in the order of its names. Raises :class:`BadRecording` for what is no text."""
        with reading(path):
            status = path.stat()
            size = status.st_size
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise BadRecording(
                    f"recording {path} is a pipe or a device, which can be read once only: save it to a file first"
                )
            with path.open("rb") as file:
                head = file.read(_MAGIC_BYTES)
            if head.startswith(_ZIP):
                return self._members(path)
            packing = "gzip" if head.startswith(_GZIP) else ""
            part = Part(path, "", packing, size, 0 if packing else size)
            self.refuse_foreign(part)
            return [part]

    def open(self, part: Part) -> BinaryIO:
        """Open a part for reading from its beginning."""
        if part.member:
            # Small reads of lines are slow without a buffer.
            member = cast("io.RawIOBase", self._zip(part.path).open(part.member))
            return io.BufferedReader(member, io.DEFAULT_BUFFER_SIZE)
        if part.packing:
            return cast("BinaryIO", GzipStream(part.path.open("rb")))
        return part.path.open("rb")

    def close(self) -> None:
        """Close the archives."""
        for archive in self._zips.values():
            archive.close()
        self._zips.clear()

    def refuse_foreign(self, part: Part) -> None:
        """Raise :class:`BadRecording` for a part whose first bytes are those of no text."""
        with self.open(part) as stream:
            head = stream.read(_MAGIC_BYTES)
        found = next((name for magic, name in _FOREIGN if head.startswith(magic)), None)
        if head[_TAR_AT:].startswith(b"ustar"):
            found = "a tar archive"
        if part.packing and head.startswith((_ZIP, _GZIP)):
            found = "packed twice"
        if found is not None:
            raise BadRecording(f"recording {part.label} is {found}: give what is in it, as text, .gz or .zip")
        if head.startswith(_UTF16):
            raise BadRecording(f"recording {part.label} is UTF-16 text: save it as UTF-8")
        if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            raise BadRecording(f"recording {part.label} is a web page or XML, perhaps that of an error: fetch it again")

    def _zip(self, path: Path) -> zipfile.ZipFile:
        if path not in self._zips:
            self._zips[path] = zipfile.ZipFile(path)
        return self._zips[path]

    def _members(self, path: Path) -> list[Part]:
        infos = [info for info in self._zip(path).infolist() if not _is_litter(info.filename)]
        for ending, found in _FOREIGN_MEMBERS:
            if any(info.filename.endswith(ending) for info in infos):
                raise BadRecording(f"recording {path.name} is {found} in a zip archive: give CSV or JSON")
        if not infos:
            raise BadRecording(f"recording {path.name} is a zip archive without files")
        if len(infos) > MAX_MEMBERS:
            raise BadRecording(
                f"recording {path.name} has {len(infos)} members, and {MAX_MEMBERS} can be played in one run: "
                "unpack it and give fewer"
            )
        twice = next((name for name, count in Counter(info.filename for info in infos).items() if count > 1), None)
        if twice is not None:
            raise BadRecording(f"recording {path.name} has two members called {twice}: unpack it and give one of them")
        if any(info.flag_bits & 1 for info in infos):
            raise BadRecording(f"recording {path.name} is a zip archive with a password: unpack it first")
        parts = [
            Part(path, info.filename, "zip", info.compress_size, info.file_size)
            for info in sorted(infos, key=lambda one: one.filename)
        ]
        for part in parts:
            self.refuse_foreign(part)
        return parts


@contextmanager
def reading(path: Path | str, doing: str = "read") -> Iterator[None]:
    """Raise :class:`BadRecording` for what goes wrong inside with a file: it is away, or damaged."""
    try:
        yield
    except OSError as error:
        raise BadRecording(f"recording {path} cannot be {doing}: {error.strerror or error}") from None
    except _DAMAGED as error:
        raise BadRecording(f"recording {path} cannot be {doing}: it is damaged or cut off ({error})") from None
    except (NotImplementedError, RuntimeError) as error:
        raise BadRecording(f"recording {path} cannot be {doing}: {error}; unpack it first") from None


def bare_name(path: Path) -> str:
    """Return a file's name without the ending that says how it is packed: its identities are those of its content."""
    return path.name[:-3] if path.name.lower().endswith(".gz") and len(path.name) > len(".gz") else path.name


def unpacked(stream: BinaryIO, label: str) -> BinaryIO:
    """Return what a stream still holds as a nameless file, which can be read from its end.

    Raises :class:`BadRecording` where that is more than the disk has room for, or than any recording.
    """
    # Where TMPDIR says nothing, /tmp may be memory.
    is_disk = "TMPDIR" not in os.environ and os.access(_ON_DISK, os.W_OK)
    directory = _ON_DISK if is_disk else tempfile.gettempdir()
    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - the caller closes it
    room = min(MAX_SPOOLED_BYTES, shutil.disk_usage(directory).free - _FREE_BYTES)
    while block := stream.read(_COPIED_BYTES):
        room -= len(block)
        if room < 0:
            file.close()
            raise BadRecording(
                f"recording {label} is packed and newest first, and unpacks to more than there is room for in "
                f"{directory}: unpack it and give that file"
            )
        file.write(block)
    file.seek(0, os.SEEK_SET)
    return file


def _is_litter(name: str) -> bool:
    """Whether a member is a folder, or what systems add to archives."""
    return name.endswith("/") or name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")
