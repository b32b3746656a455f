"""Copies of finished shards in an object store, or any other target of an fsspec URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.core.optional_files import read_json_optional
from opendactyl.datasets.format.manifest import MANIFEST_NAME

RECORD_NAME = ".uploads.json"
"""Checksums of the copied files by URL. Sizes do not suffice: tar files come in 10 kB steps."""
_WRONG_URL = (FileNotFoundError, FileExistsError, NotADirectoryError, PermissionError)


class Uploader:
    """Copies a dataset's files to a URL, the manifest last: where it exists, all files do."""

    def __init__(self, url: str, folder: Path) -> None:
        """Opens the store.

        Raises:
            InputError: fsspec or the store's own package is missing, or the URL is invalid.
            EnvironmentFailure: the store cannot be reached.
        """
        try:
            import fsspec

            self._store, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"cannot open {url!r} ({error}); --upload takes an fsspec URL such as "
                "s3://bucket/folder and needs the extra opendactyl[cluster]"
            ) from error
        except OSError as error:
            raise EnvironmentFailure(f"cannot reach {url!r} ({error})") from error
        self._url = url
        self._folder = folder
        record = read_json_optional(folder / RECORD_NAME)
        self._record: dict[str, dict[str, str]] = record if isinstance(record, dict) else {}

    def put(self, name: str, checksum: str = "") -> None:
        """Copies one file, and records its checksum if one is given.

        Raises:
            InputError: the URL does not exist or is not permitted.
            EnvironmentFailure: the network, the store or the disk failed.
        """
        with self._store_errors(name):
            target = f"{self._root}/{name}"
            self._store.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._store.put_file(str(self._folder / name), target)
        if checksum:
            self._record.setdefault(self._url, {})[name] = checksum
            write_json(self._folder / RECORD_NAME, self._record)

    def finish(self, sums: dict[str, str], others: tuple[str, ...]) -> None:
        """Copies the shards that the store lacks, the other files, then the manifest.

        Args:
            sums: checksums of the shards, by name.
            others: names of the other files.
        """
        for name, checksum in sums.items():
            if not self._is_copied(name, checksum):
                self.put(name, checksum)
        for name in (*others, MANIFEST_NAME):
            self.put(name)

    def _is_copied(self, name: str, checksum: str) -> bool:
        target = f"{self._root}/{name}"
        if self._record.get(self._url, {}).get(name) != checksum:
            return False
        with self._store_errors(name):
            size = (self._folder / name).stat().st_size
            return self._store.exists(target) and self._store.size(target) == size

    @contextmanager
    def _store_errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store has its own exceptions
            kind = InputError if isinstance(error, _WRONG_URL) else EnvironmentFailure
            raise kind(
                f"cannot copy {name} to {self._url} ({error}); continue with --resume"
            ) from error
