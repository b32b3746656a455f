"""Copies of finished shards in an object store, or wherever an fsspec URL leads."""

from pathlib import Path

from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.manifest import MANIFEST_NAME

RECORD_NAME = ".uploads.json"
"""Which bytes were copied where: tar files of one size need not be the same."""


class Uploader:
    """Puts a dataset's files under a URL; the manifest goes last: where it is, all is."""

    def __init__(self, url: str, folder: Path) -> None:
        """Opens the store.

        Raises:
            InputError: fsspec or the store's own package is missing, or the URL is not one.
        """
        try:
            import fsspec

            self._store, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise InputError(
                f"cannot open {url!r} ({error}); --upload takes an fsspec URL such as "
                "s3://bucket/folder and needs the extra opendactyl[cluster]"
            ) from error
        self._url = url
        self._folder = folder
        record = folder / RECORD_NAME
        self._record: dict[str, dict[str, str]] = read_json(record) if record.exists() else {}

    def put(self, name: str, checksum: str = "") -> None:
        """Copies one file, and remembers its checksum when there is one."""
        try:
            self._store.makedirs(self._root, exist_ok=True)
            self._store.put_file(str(self._folder / name), f"{self._root}/{name}")
        except Exception as error:  # stores raise what they like
            raise InputError(
                f"cannot copy {name} to {self._url} ({error}); continue with --resume"
            ) from error
        if checksum:
            self._record.setdefault(self._url, {})[name] = checksum
            write_json(self._folder / RECORD_NAME, self._record)

    def finish(self, sums: dict[str, str], others: tuple[str, ...]) -> None:
        """Copies the shards that the store lacks, the other files, then the manifest.

        Args:
            sums: checksums of the shards, by name.
            others: names of the files beside them.
        """
        for name, checksum in sums.items():
            if not self._holds(name, checksum):
                self.put(name, checksum)
        for name in (*others, MANIFEST_NAME):
            self.put(name)

    def _holds(self, name: str, checksum: str) -> bool:
        there = f"{self._root}/{name}"
        return (
            self._record.get(self._url, {}).get(name) == checksum
            and self._store.exists(there)
            and self._store.size(there) == (self._folder / name).stat().st_size
        )
