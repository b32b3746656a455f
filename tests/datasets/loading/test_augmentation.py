"""Augmentation: ranges, effects, and independence of its random numbers."""

import albumentations as A
import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.augmentation import Augmentation, with_patch
from opendactyl.datasets.loading.augmentation_config import PROBABILITIES, AugmentConfig
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.datasets.loading.datamodule import PoseDataset

DISABLED = dict.fromkeys(PROBABILITIES, 0.0)
LENS = dict(defocus=0.5, motion_blur=0.5, exposure=0.5, demosaicing=0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"noise": (0.1, 0.0)}, {"rectangles": (3.0, 1.0)}, {"blur": 1.5}, {"patch": (0.2, 2.0)},
     {"hue": float("nan")}, {"noise": 0.1}, {"jpeg_quality": (0.0, 50.0)}],
)  # fmt: skip
def test_invalid_ranges_are_refused(wrong):
    with pytest.raises(InputError, match=f"augmentation {next(iter(wrong))}"):
        AugmentConfig(**wrong)


def test_augmentation_is_reproducible_and_moves_no_pixel(dataset):
    data = PoseDataset([open_dataset(dataset, 64)], AugmentConfig(), seed=0)
    np.testing.assert_array_equal(data[0, 3]["images"], data[0, 3]["images"])
    assert not np.array_equal(data[0, 3]["images"], data[1, 3]["images"])
    # A white square on black stays where it is.
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[:, 20:40, 24:44] = 255
    augment = Augmentation(
        AugmentConfig(noise=(0.0, 0.02), occluder=0.0, contrast=0.3, stops=0.3, **LENS)
    )
    for seed in range(10):
        grey = augment(picture, np.random.default_rng(seed))[0].astype(float).mean(axis=-1)
        rows, columns = np.nonzero(grey > (grey.max() + grey.min()) / 2)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 24, 43)


@pytest.mark.parametrize(
    "only",
    [
        {"colours": 0.9, "contrast": 0.5},
        {"noisy": 0.7},
        {"colours": 0.9, "saturation": 0.5},
        {"white_balance": 1.0},
    ],
)
def test_effect_of_each_augmentation(only):
    constant = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    augment = Augmentation(AugmentConfig(**DISABLED | constant | only))
    picture = np.full((1, 64, 64, 3), 60, np.uint8)
    picture[:, :, 32:] = (140, 100, 100)
    before = picture[0].astype(float)
    results = [augment(picture, np.random.default_rng(n))[0].astype(float) for n in range(60)]
    if "contrast" in only:  # about the mean, which stays
        spread = [
            np.ptp(image.mean(axis=(0, 2))) / np.ptp(before.mean(axis=(0, 2))) for image in results
        ]
        assert 0.45 < min(spread) < 0.7 < 1.3 < max(spread) < 1.55
        assert all(abs(image.mean() - before.mean()) < 3 for image in results)
    elif "noisy" in only:  # a tenth of white at most, each pixel by itself
        left = [image[:, :32, 0] for image in results]
        assert 0.08 < max(image.std() for image in left) / 255 < 0.105
        noisy = max(left, key=np.std) - 60
        assert abs(np.mean(noisy[:, 1:] * noisy[:, :-1])) < 0.1 * noisy.var()
    elif "saturation" in only:
        ratio = [np.ptp(image[0, -1]) / np.ptp(before[0, -1]) for image in results]
        assert 0.4 < min(ratio) < 0.7 < 1.3 < max(ratio) < 1.6
        assert all(np.ptp(image[0, 0]) < 2 for image in results)
    else:  # grey takes a cast
        casts = [image[0, 0, 0] - image[0, 0, 2] for image in results]
        assert min(casts) < -3 < 3 < max(casts)


def lens(picture, **only):
    """What an effect makes of a picture (H, W, 3), with 60 random numbers (60, H, W, 3)."""
    augment = Augmentation(AugmentConfig(**DISABLED | only))
    return np.stack([augment(picture[None], np.random.default_rng(n))[0] for n in range(60)])


def test_points_become_discs_out_of_focus_and_lines_in_motion():
    point = np.zeros((33, 33, 3), np.uint8)
    point[16, 16] = 255
    discs = lens(point, defocus=1.0, defocus_radius=(3.0, 3.0)).astype(float)[..., 0]
    lines = lens(point, motion_blur=1.0, motion_blur_length=(7.0, 7.0)).astype(float)[..., 0]
    place = np.arange(33) - 16
    for image in (*discs, *lines):  # nothing is moved, and no light lost
        assert image.sum() == pytest.approx(255, rel=0.15)
        assert abs((image * place).sum() / image.sum()) < 0.15
        assert abs((image * place[:, None]).sum() / image.sum()) < 0.15
    reach = np.hypot(place, place[:, None])
    assert all(reach[image > 2].max() < 5 for image in discs)
    assert all(np.sum(image > 2) >= 21 for image in discs)
    assert all(5 <= np.sum(image > 2) <= 16 for image in lines)
    angles = [np.argwhere(image == image.max())[0] for image in lines]
    assert len({tuple(angle) for angle in angles}) > 3


def test_an_overexposed_picture_loses_what_is_brighter_than_white():
    picture = np.full((8, 8, 3), 60, np.uint8)
    picture[:, 4:] = 200
    exposed = lens(picture, exposure=1.0, stops=2.0)
    dark, bright = exposed[:, 0, 0, 0].astype(float), exposed[:, 0, -1, 0]
    light = (dark / 60) ** 2.2  # twice the light a stop
    assert 0.23 < light.min() < 0.4 and 2.5 < light.max() < 4.2
    assert (bright[dark > 60 * 255 / 200 + 1] == 255).all()
    np.testing.assert_allclose(bright[dark < 60] / dark[dark < 60], 200 / 60, rtol=0.03)


def test_a_mosaic_of_colours_changes_edges_alone():
    picture = np.full((32, 32, 3), 30, np.uint8)
    picture[:, 16:] = (200, 120, 60)
    results = lens(picture, demosaicing=1.0).astype(int)
    changed = np.abs(results - picture).max(axis=(0, 1, 3))
    assert changed[15:17].max() > 20
    assert not changed[:14].any() and not changed[18:].any()
    assert len({image.tobytes() for image in results}) == 4  # places of the first red pixel


def test_a_patch_of_another_view_covers_a_small_part():
    rng = np.random.default_rng(0)
    plain, other = np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 255, np.uint8)
    fractions = [np.mean(with_patch(plain, other, (0.05, 0.2), rng) == 255) for _ in range(200)]
    assert min(fractions) > 0 and max(fractions) <= 0.04
    assert not plain.any()
    views = np.stack([plain, other])
    disabled = Augmentation(AugmentConfig(**DISABLED))
    np.testing.assert_array_equal(disabled(views, rng), views)


def test_backgrounds_are_replaced_where_the_mask_is_zero():
    rng = np.random.default_rng(1)
    config = AugmentConfig(**DISABLED | {"background": 1.0})
    images = np.full((3, 32, 32, 3), 128, np.uint8)
    masks = np.zeros((3, 32, 32), np.uint8)
    masks[:, 8:20, 8:20] = 2
    masks[:, 20:30, 8:20] = 1
    changed = Augmentation(config)(images, rng, masks)
    np.testing.assert_array_equal(changed[masks > 0], 128)
    assert np.mean(changed[masks == 0] != 128) > 0.9
    assert not np.array_equal(changed[0], changed[1])


@pytest.fixture
def applied(monkeypatch):
    """Augments samples of three views; returns which transforms were applied (N, 3, T)."""
    views = []
    call, apply = A.Compose.__call__, A.BasicTransform.apply_with_params

    def record_view(self, **data):
        views.append(set())
        return call(self, **data)

    def record_transform(self, params, *args, **kwargs):
        views[-1].add(type(self).__name__)
        return apply(self, params, *args, **kwargs)

    monkeypatch.setattr(A.Compose, "__call__", record_view)
    monkeypatch.setattr(A.BasicTransform, "apply_with_params", record_transform)

    def augment(config, samples):
        augmentation = Augmentation(config)
        names = [type(t).__name__ for t in augmentation._pipeline.transforms]
        probabilities = [t.p for t in augmentation._pipeline.transforms]
        images = np.full((3, 16, 16, 3), 100, np.uint8)
        for sample in range(samples):
            augmentation(images, np.random.default_rng([0, 0, sample]))
        found = np.array([[name in view for name in names] for view in views])
        return found.reshape(samples, 3, -1), np.array(probabilities)

    return augment


def test_transforms_are_applied_independently_of_each_other_and_of_the_view(applied):
    found, probabilities = applied(AugmentConfig(**LENS), 1500)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), probabilities, atol=0.03)
    correlation = np.corrcoef(found.reshape(1500, -1).T)
    np.testing.assert_allclose(correlation, np.eye(len(correlation)), atol=0.12)
    untouched = ~found.any(axis=2)
    assert untouched.mean() == pytest.approx(np.prod(1 - probabilities), abs=0.006)
