"""The dataset card, and the commands for finished datasets."""

import io
import json
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from opendactyl.cli.main import main
from opendactyl.core.atomic_files import sha256
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.card import write_card
from opendactyl.datasets.format.manifest import iterate_samples
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
from opendactyl.datasets.loading.datamodule import PoseDataModule


def config(out, **options):
    settings = {"num_samples": 12, "seed": 0, "shard_size": 4, "image_size": 64, "workers": 1}
    settings["rig"] = "dactyl-200"
    return DatasetConfig(out=out, resume=True, **settings | options)


def test_the_card_describes_the_dataset(dataset):
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


def test_a_lost_card_is_written_again_with_equal_bytes(dataset, copy):
    for name in ("README.md", "samples.png", "statistics.png"):
        (copy / name).unlink()
    generate(config(copy), write_card=write_card)
    for name in ("README.md", "samples.png", "statistics.png"):
        assert (copy / name).read_bytes() == (dataset / name).read_bytes()


def test_preview_and_refused_options(dataset, tmp_path, capsys):
    def run(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return stop.value.code, capsys.readouterr()

    code, output = run("preview", "--data", dataset, "--out", tmp_path / "a.png", "--samples", 2)
    assert code == 0 and "a.png" in output.out
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
        code, output = run(*words)
        assert code == 2, words
        assert hint in output.err, words
        assert len(output.err.splitlines()) == 1
    assert json.loads((dataset / "config.json").read_text())["states"] == "settled"


def blinded(copy, camera, fraction):
    """Sets a camera's visible fractions in some of the samples, and the checksums."""
    manifest = json.loads((copy / "manifest.json").read_text())
    for shard in manifest["shards"]:
        path, buffer = copy / shard["name"], io.BytesIO()
        with tarfile.open(path) as source, tarfile.open(fileobj=buffer, mode="w") as target:
            for member in source:
                content = source.extractfile(member).read()
                if member.name.endswith(".json"):
                    label = json.loads(content)
                    if label["index"] < fraction * manifest["num_samples"]:
                        label["visible_fraction"][camera] = 0.0
                    content = json.dumps(label).encode()
                    member.size = len(content)
                target.addfile(member, io.BytesIO(content))
        path.write_bytes(buffer.getvalue())
        shard["sha256"] = sha256(path)
    (copy / "manifest.json").write_text(json.dumps(manifest))


def test_a_camera_that_never_sees_the_object_is_refused(copy, val_dataset):
    never = "the camera right never sees the object"
    assert "Warning" not in (copy / "README.md").read_text()
    assert verify(copy) == []
    blinded(copy, 1, 1.0)
    assert [never in line for line in verify(copy)] == [True]
    assert f"**Warning:** {never}" in write_card(copy).read_text()
    data = PoseDataModule(
        [copy], val_dataset, image_size=32, batch_size=2, workers=0, augment=AugmentConfig()
    )
    with pytest.raises(InputError, match=never):
        data.setup()


def test_the_card_warns_of_a_camera_that_rarely_sees_the_object(copy):
    blinded(copy, 2, 0.75)
    assert verify(copy) == []
    warning = r"less than 10 % of the object is visible to the camera top in (\d+)% of the samples"
    (percent,) = re.findall(warning, write_card(copy).read_text())
    assert int(percent) >= 75
