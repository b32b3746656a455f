"""Copies of finished shards in an object store, or wherever an fsspec URL leads."""

from pathlib import Path

from opendactyl.datasets.manifest import MANIFEST_NAME
from opendactyl.files.errors import InputError


class Uploader:
    """Puts files under a URL; the manifest goes last, so that where it is, all is."""

    def __init__(self, url: str) -> None:
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

    def put(self, path: Path) -> None:
        """Copies one file."""
        try:
            self._store.makedirs(self._root, exist_ok=True)
            self._store.put_file(str(path), f"{self._root}/{path.name}")
        except Exception as error:  # stores raise what they like
            raise InputError(
                f"cannot copy {path.name} to {self._url} ({error}); continue with --resume"
            ) from error

    def finish(self, folder: Path, names: list[str]) -> None:
        """Copies what the store lacks or holds in another size, then the manifest."""
        for name in [*names, "config.json", "README.md", "samples.png", "statistics.png"]:
            path, there = folder / name, f"{self._root}/{name}"
            if not self._store.exists(there) or self._store.size(there) != path.stat().st_size:
                self.put(path)
        self.put(folder / MANIFEST_NAME)
