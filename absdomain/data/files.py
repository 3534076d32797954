"""Where the files of a data set come from: a folder of the user's, or a download that is checked and kept."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from absdomain.errors import needing

ENVIRONMENT = "ABSDOMAIN_DATA"


class DataError(ValueError):
    """A data file is missing, damaged or not what its name says; the text has the file, the finding and the remedy."""


Blob = tuple[str, bytes]  # where it came from, for messages, and the plain content


class Shelf(Protocol):
    """Where the files of one data set are looked for."""

    def find(self, file: str) -> Blob | None:
        """The content of a file of the public name, without gzip; None if there is no such file."""
        ...

    def need(self, file: str) -> Blob:
        """The same; a missing file is a DataError."""
        ...


def shelf(name: str, data_dir: str | os.PathLike[str] | None, download: bool) -> Shelf:
    """Where the files of a data set are looked for: the given folder, the environment's, else the download cache."""
    if data_dir is not None:
        return Folder(name, Path(data_dir), "data_dir")
    if os.environ.get(ENVIRONMENT):
        return Folder(name, Path(os.environ[ENVIRONMENT]), ENVIRONMENT)
    return Cache(name, download)


FOLDERS = {
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-bin",
    "svhn": "SVHN",
}


@dataclass(frozen=True)
class Folder:
    """The files below a folder of the user's, in the public download's own subfolder or directly in it."""

    name: str
    path: Path
    origin: str  # who named the folder

    def find(self, file: str) -> Blob | None:
        if not self.path.is_dir():
            raise DataError(
                f"{self.path}: not a folder; let {self.origin} name the one with the data, or unset it to download"
            )
        for place in self._places(file):
            if place.is_file():
                return str(place), _plain(str(place), place.read_bytes())
        return None

    def need(self, file: str) -> Blob:
        blob = self.find(file)
        if blob is None:
            tried = ", ".join(map(str, self._places(file)))
            raise DataError(f"{file}: none of {tried} exists; put it there, or unset {self.origin} to download it")
        return blob

    def _places(self, file: str) -> list[Path]:
        return [sub / (file + end) for sub in (self.path / FOLDERS[self.name], self.path) for end in (".gz", "")]


def _plain(origin: str, content: bytes) -> bytes:
    """The content without its gzip wrapping, if it has one."""
    if not origin.endswith(".gz"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as reason:
        raise DataError(f"{origin}: not a whole gzip file ({reason}; {len(content)} bytes); replace it") from reason


MIRRORS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/",
    "svhn": "http://ufldl.stanford.edu/housenumbers/",
}
MD5 = {
    ("mnist", "train-images-idx3-ubyte.gz"): "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ("mnist", "train-labels-idx1-ubyte.gz"): "d53e105ee54ea40749a09fcbcd1e9432",
    ("mnist", "t10k-images-idx3-ubyte.gz"): "9fb629c4189551a2d022fa330f9573f3",
    ("mnist", "t10k-labels-idx1-ubyte.gz"): "ec29112dd5afa0611ce80d1b7f02629c",
    ("fashion-mnist", "train-images-idx3-ubyte.gz"): "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ("fashion-mnist", "train-labels-idx1-ubyte.gz"): "25c81989df183df01b3e8a0aad5dffbe",
    ("fashion-mnist", "t10k-images-idx3-ubyte.gz"): "bef4ecab320f06d8554ea6380940ec79",
    ("fashion-mnist", "t10k-labels-idx1-ubyte.gz"): "bb300cfdad3c16e7a12a480ee83cd310",
    ("cifar10", "cifar-10-binary.tar.gz"): "c32a1d4ab5d03f1284b67883e8d87530",
    ("svhn", "train_32x32.mat"): "e26dedcc434d2e4c54c9b2d4a06d8373",
    ("svhn", "test_32x32.mat"): "eb5a983be6a315427106f1b164d9cef3",
}


@dataclass(frozen=True)
class Cache:
    """The public files in pooch's cache, downloaded at first use."""

    name: str
    download: bool

    def find(self, file: str) -> Blob | None:
        return self.need(file)

    def need(self, file: str) -> Blob:
        if self.name == "cifar10":
            return self._member(_retrieve(self.name, "cifar-10-binary.tar.gz", self.download), file)
        published = file if (self.name, file) in MD5 else file + ".gz"
        path = _retrieve(self.name, published, self.download)
        return str(path), _plain(str(path), path.read_bytes())

    def _member(self, archive: Path, file: str) -> Blob:
        # Read out of the archive rather than unpacked: a killed unpacking would leave short files behind.
        with tarfile.open(archive) as tar:
            try:
                member = tar.extractfile(f"cifar-10-batches-bin/{file}")
            except KeyError:
                member = None
            if member is None:
                raise DataError(f"{archive}: has no file {file}; delete it to download it again")
            return f"{archive}:{file}", member.read()


def _retrieve(name: str, file: str, download: bool) -> Path:
    """The file in the cache, put there if it is missing; one that is there and another is left as it is."""
    with needing("data", f"the data set {name}, which is not in a folder that is named,"):
        import pooch

    cache = Path(pooch.os_cache("absdomain")) / name
    path, digest = cache / file, MD5[name, file]
    if path.exists() or path.is_symlink():
        if not path.is_file() or pooch.file_hash(str(path), "md5") != digest:
            raise DataError(
                f"{path}: not the public file, whose MD5 is {digest}; move it away to download that, "
                f"or name a folder by data_dir or {ENVIRONMENT}"
            )
        return path
    if not download:
        raise DataError(
            f"{path}: missing, and download is off; allow it, or name a folder by data_dir or {ENVIRONMENT}"
        )
    bar: Any = _Bar(file)  # pooch's annotations admit only its own progress bar and downloaders
    downloader: Any = pooch.HTTPDownloader(progressbar=bar, timeout=60)
    try:
        found = pooch.retrieve(MIRRORS[name] + file, f"md5:{digest}", file, cache, downloader=downloader)
    except (OSError, ValueError) as reason:  # requests' errors are OSErrors; a wrong checksum is a ValueError
        raise DataError(
            f"{MIRRORS[name]}{file}: not downloaded ({reason}); try again, or name a folder by {ENVIRONMENT}"
        ) from reason
    finally:
        bar.close()
    return Path(found)


class _Bar:
    """What pooch asks of a progress bar (total, update, reset, close), drawn by rich on the error stream."""

    def __init__(self, file: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

        columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
        self.progress = Progress(*columns, console=Console(stderr=True))
        self.task = self.progress.add_task(file)

    @property
    def total(self) -> float | None:
        return self.progress.tasks[0].total

    @total.setter
    def total(self, size: float) -> None:
        self.progress.update(self.task, total=size)
        self.progress.start()

    def update(self, size: float) -> None:
        self.progress.update(self.task, advance=size)

    def reset(self) -> None:
        self.progress.update(self.task, completed=0)

    def close(self) -> None:
        self.progress.stop()
