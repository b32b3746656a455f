"""What is written beside a dataset, and copies of it elsewhere."""

import io
import json
import re

import fsspec
import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.format.manifest import iterate_samples
from opendactyl.datasets.generation.generate import DatasetConfig, generate


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    return DatasetConfig(out=out, resume=True, **settings | options)


@pytest.fixture
def store():
    """An object store in memory."""
    store = fsspec.filesystem("memory")
    yield store
    if store.exists("/bucket"):
        store.rm("/bucket", recursive=True)


def test_the_card_says_what_the_dataset_holds(dataset):
    text = (dataset / "README.md").read_text()
    labels = [sample.label for sample in iterate_samples(dataset)]
    rows = dict(re.findall(r"^\| (.+?) \| (\S+) \|", text, flags=re.MULTILINE))
    expected = {
        "position z (mm)": np.mean([1000 * label.position[2] for label in labels]),
        "visible, top (%)": np.mean([100 * label.visible_fraction[2] for label in labels]),
        "lights": np.mean([len(label.appearance["lights"]) for label in labels]),
        "ambient light": np.mean([label.appearance["ambient"] for label in labels]),
    }
    for title, value in expected.items():
        assert float(rows[title]) == pytest.approx(value, rel=1e-3)
    hidden = sum(label.visible_fraction.max() < 0.1 for label in labels)
    assert f"In {hidden} of 12 samples" in text
    for picture in re.findall(r"!\[.*\]\((.+)\)", text):
        with Image.open(io.BytesIO((dataset / picture).read_bytes())) as image:
            assert min(image.size) > 100


def test_a_card_that_was_lost_is_written_again_alike(dataset, copy):
    for name in ("README.md", "samples.png", "statistics.png"):
        (copy / name).unlink()
    generate(config(copy), write_card=write_card)
    for name in ("README.md", "samples.png", "statistics.png"):
        assert (copy / name).read_bytes() == (dataset / name).read_bytes()


def test_a_finished_dataset_is_copied_with_its_manifest_last(copy, store, monkeypatch):
    put = []
    original = type(store).put_file

    def remember(self, local, remote, **options):
        put.append(str(remote).rsplit("/", 1)[-1])
        return original(self, local, remote, **options)

    monkeypatch.setattr(type(store), "put_file", remember)
    generate(config(copy, upload="memory://bucket/data"))
    names = sorted(path.name for path in copy.iterdir() if not path.name.startswith("."))
    assert sorted(put) == names
    assert put[-1] == "manifest.json"
    for name in names:
        assert store.cat(f"/bucket/data/{name}") == (copy / name).read_bytes()
    # A second time only what may have changed; a shard that the store has lost, too.
    put.clear()
    store.rm("/bucket/data/shard-000001.tar")
    generate(config(copy, upload="memory://bucket/data"))
    assert [name for name in put if name.endswith(".tar")] == ["shard-000001.tar"]


def test_other_shards_of_the_same_size_are_replaced(copy, store):
    """Tar files come in steps of ten kilobytes, so sizes say little."""
    for path in copy.glob("*.tar"):
        store.pipe(f"/bucket/data/{path.name}", bytes(path.stat().st_size))
    generate(config(copy, upload="memory://bucket/data"))
    for path in copy.glob("*.tar"):
        assert store.cat(f"/bucket/data/{path.name}") == path.read_bytes()


def test_a_store_that_cannot_be_written_to_is_an_error(copy):
    with pytest.raises(InputError, match="fsspec URL"):
        generate(config(copy, upload="nowhere://bucket"))
    (copy / "file").write_text("")
    with pytest.raises(InputError, match="continue with --resume"):
        generate(config(copy, upload=f"file://{copy}/file/below"))


def test_the_commands(dataset, tmp_path, capsys):
    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return stop.value.code, capsys.readouterr()

    code, said = run("preview", "--data", dataset, "--out", tmp_path / "a.png", "--samples", 2)
    assert code == 0 and "a.png" in said.out
    code, _ = run(
        "preview", "--data", dataset, "--out", tmp_path / "b.png", "--samples", 2, "--augment"
    )
    assert code == 0
    plain, augmented = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "ab")
    assert plain.shape == augmented.shape == (2 * 64, 3 * 64, 3)
    assert not np.array_equal(plain, augmented)
    for words, hint in (
        (["dataset", "--out", dataset, "--num-samples", 12], "--resume"),
        (["dataset", "--verify", tmp_path], "opendactyl dataset"),
        (["dataset", "--states", "policy:" + str(tmp_path)], "bundle"),
        (["dataset", "--shard-size", 1001], "1000"),
        (["dataset", "--export-bop", dataset], "DIR OUT"),
        (["dataset", "--export-bop"], "DIR OUT"),
        (["preview", "--data", tmp_path], "manifest.json"),
    ):
        code, said = run(*words)
        assert code == 2, words
        assert hint in said.err, words
        assert len(said.err.splitlines()) == 1
    assert json.loads((dataset / "config.json").read_text())["states"] == "settled"


def test_train_and_val_are_copied_side_by_side(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "dataset --num-samples 10 --shard-size 5 --image-size 32 --workers 1 --upload"
    with pytest.raises(SystemExit) as stop:
        main([*words.split(), "memory://bucket/data"])
    assert stop.value.code == 0
    for part in ("train", "val"):
        local = json.loads((tmp_path / "data" / part / "manifest.json").read_text())
        assert json.loads(store.cat(f"/bucket/data/{part}/manifest.json")) == local
        for shard in local["shards"]:
            assert store.exists(f"/bucket/data/{part}/{shard['name']}")
