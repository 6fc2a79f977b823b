"""One value in one file, which is there whole or not at all.

A file is: eight bytes that name the format, its version, the length of a header and the header's digest; the header,
JSON; the arrays one after the other, in NumPy's npy format; the digest of all that, and eight bytes at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..exceptions import CheckpointError
from .packing import pack, unpack

__all__ = ["is_archive", "read_archive", "read_header", "write_archive"]

_MAGIC, _END = b"\x93EMLEARN", b"EMLEARN\x93"
_VERSION = 1
_PREFIX = struct.Struct("<8sIQ16s")
_TRAILER = struct.Struct("<16s8s")

# of the description of one array: a hundred thousand fields
_LONGEST_DESCRIPTION = 2**22

_ADVICE = "Delete the file to begin anew, or put back a copy of it."

_FOREIGN = {
    b"PK\x03\x04": "a zip or npz archive",
    b"PK\x05\x06": "a zip archive",
    b"\x93NUMPY": "an array of NumPy's",
    b"\x80": "a pickle",
    b"\x89HDF": "an HDF5 file",
}


def write_archive(path: str | os.PathLike[str], value: Any, header: dict[str, Any]) -> None:
    """Write a value to a file, whole or not at all.

    What was there stays until the new file is complete and on the disk; it
    stays, too, where writing fails. A link is followed.

    Parameters
    ----------
    path : path-like
        Its folder must exist.
    value : object
        What :func:`~emlearn.em.packing.pack` takes.
    header : dict of str to object
        What :func:`json.dumps` takes; :func:`read_header` reads it alone.

    Raises
    ------
    TypeError
        If the value or the header has something in it that cannot be stored.
    CheckpointError
        If the path is a folder or a device.
    OSError
        If the file cannot be written.
    """
    tree, arrays = pack(value)
    text = json.dumps({"header": header, "tree": tree, "arrays": list(arrays)}).encode()
    with _replacing(path) as file:
        digest = _digest(_VERSION, text)
        file.write(_PREFIX.pack(_MAGIC, _VERSION, len(text), digest.digest()))
        file.write(text)
        body = _Hashed(file, digest)
        for array in arrays.values():
            np.lib.format.write_array(body, np.asarray(array), version=(3, 0), allow_pickle=False)
        file.write(_TRAILER.pack(digest.digest(), _END))


def read_archive(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """Read what :func:`write_archive` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    value : object
        Its arrays may be written to.
    header : dict of str to object

    Raises
    ------
    CheckpointError
        If the file is another, of a newer version, cut short or damaged.
    OSError
        If there is no file, or it cannot be read.
    """
    with _opened(path) as file:
        text, digest = _read_text(file, path)
        body = file.read()
    if len(body) < _TRAILER.size or not body.endswith(_END):
        raise _cut_short(path)
    digest.update(memoryview(body)[: -_TRAILER.size])
    if _TRAILER.unpack(body[-_TRAILER.size :])[0] != digest.digest():
        raise _damaged(path)
    stored = _parse(text, path)
    try:
        return unpack(stored["tree"], _read_arrays(stored["arrays"], body)), stored["header"]
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error
    except (ValueError, TypeError, KeyError, SyntaxError, EOFError, MemoryError) as error:
        raise CheckpointError(
            f"{os.fspath(path)} holds arrays that cannot be read: {error}. {_ADVICE}"
        ) from error


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header alone, of whatever size the file is.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to object

    Raises
    ------
    CheckpointError
        If the file is another, of a newer version, or its first part is cut short or damaged.
    OSError
        If there is no file, or it cannot be read.
    """
    with _opened(path) as file:
        text, _ = _read_text(file, path)
    return _parse(text, path)["header"]


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file is of this format, of whatever version, whole or not."""
    with _opened(path) as file:
        return file.read(len(_MAGIC)) == _MAGIC


# ----------------------------------------------------------------- write


class _Hashed:
    """A file whose digest is taken as it is written."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self.file, self.digest = file, digest

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self.file.write(data)


def _digest(version: int, text: bytes) -> Any:
    digest = hashlib.blake2b(struct.pack("<IQ", version, len(text)), digest_size=16)
    digest.update(text)
    return digest


@contextlib.contextmanager
def _replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file beside the old, which takes its place at the end, or leaves no trace."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise CheckpointError(f"{target} is a folder or a device, not a file. Choose another path.")
    temporary = target.with_name(f".emlearn-{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk, too; where a folder cannot be synced, the file is whole all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ------------------------------------------------------------------ read


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise CheckpointError(f"{os.fspath(path)} is a folder or a device, not a file.")
    return open(path, "rb")


def _read_text(file: BinaryIO, path: Any) -> tuple[bytes, Any]:
    """The JSON, checked, and the digest so far."""
    prefix = file.read(_PREFIX.size)
    if not prefix:
        raise CheckpointError(f"{os.fspath(path)} is empty. Delete it, or choose another path.")
    if not prefix.startswith(_MAGIC):
        if _MAGIC.startswith(prefix):
            raise _cut_short(path)
        kind = next(
            (k for start, k in _FOREIGN.items() if prefix.startswith(start)), "another file"
        )
        raise CheckpointError(
            f"{os.fspath(path)} is no checkpoint of emlearn but {kind}. Choose another path."
        )
    if len(prefix) < _PREFIX.size:
        raise _cut_short(path)
    _, version, length, expected = _PREFIX.unpack(prefix)
    if version > _VERSION:
        raise CheckpointError(
            f"{os.fspath(path)} was written by a newer emlearn (format {version}; this one reads up to"
            f" {_VERSION}). Upgrade emlearn to go on with it."
        )
    if length > os.fstat(file.fileno()).st_size:
        raise _cut_short(path)
    text = file.read(length)
    if len(text) < length:
        raise _cut_short(path)
    digest = _digest(version, text)
    if digest.digest() != expected:
        raise _damaged(path)
    return text, digest


def _parse(text: bytes, path: Any) -> dict[str, Any]:
    try:
        stored = json.loads(text)
        if isinstance(stored, dict) and {"header", "tree", "arrays"} <= stored.keys():
            return stored
    except (ValueError, RecursionError):
        pass
    raise _damaged(path)


def _read_arrays(names: list[str], body: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(body)
    return {
        name: np.lib.format.read_array(
            stream, allow_pickle=False, max_header_size=_LONGEST_DESCRIPTION
        )
        for name in names
    }


def _cut_short(path: Any) -> CheckpointError:
    return CheckpointError(
        f"{os.fspath(path)} is cut short: a copy of it was broken off, or the disk was full. {_ADVICE}"
    )


def _damaged(path: Any) -> CheckpointError:
    return CheckpointError(
        f"{os.fspath(path)} is damaged: it is not what was written (its checksum differs). {_ADVICE}"
    )
