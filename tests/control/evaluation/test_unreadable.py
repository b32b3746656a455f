"""An evaluation or a bundle that cannot be accessed is an error: it is not treated as missing."""

import errno
import shutil
from pathlib import Path

import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.evaluate import EvaluateConfig, evaluate
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.control.packaging.metrics import metrics_of_run
from opendactyl.core.errors import EnvironmentFailure, InputError

KINDS = {errno.EIO: EnvironmentFailure, errno.EACCES: InputError}


@pytest.mark.parametrize("number", KINDS)
def test_resuming_replaces_no_episodes(bundle, tmp_path, deny, content, number):
    config = EvaluateConfig(
        bundle=bundle, out=tmp_path / "out", episodes=2, seconds_per_goal=0.4, video_seconds=0,
        resume=True,
    )  # fmt: skip
    evaluate(config)
    before = content(config.out)
    with (
        deny("episodes.json", number),
        pytest.raises(KINDS[number], match=r"cannot access .*episodes\.json"),
    ):
        evaluate(config)
    assert content(config.out) == before


@pytest.mark.parametrize("number", KINDS)
def test_a_bundle_is_not_reported_as_missing(bundle, copy, deny, content, number):
    before = content(copy)
    for attempt in (
        lambda: load_bundle(copy),
        lambda: export_bundle(ExportConfig(vision=bundle, policy=bundle, out=copy)),
    ):
        with (
            deny("manifest.json", number),
            pytest.raises(KINDS[number], match=r"cannot access .*manifest\.json"),
        ):
            attempt()
    assert content(copy) == before
    assert not list(copy.parent.glob(".bundle-*"))


@pytest.mark.parametrize("number", KINDS)
def test_the_metrics_of_a_run_are_not_left_out(vision_run, tmp_path, deny, number):
    run: Path = shutil.copytree(vision_run, tmp_path / "run")
    with (
        deny("metrics.json", number),
        pytest.raises(KINDS[number], match=r"cannot access .*metrics\.json"),
    ):
        metrics_of_run(run)
