import dataclasses

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.datasets.loading.augmentation import Augmentation, AugmentConfig, with_patch
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.datasets.loading.datamodule import PoseDataset

NOTHING = dict(
    colours=0.0, white_balance=0.0, blur=0.0, noisy=0.0, jpeg=0.0, occluder=0.0, background=0.0
)


@pytest.mark.parametrize(
    "wrong",
    [{"noise": (0.1, 0.0)}, {"rectangles": (3.0, 1.0)}, {"blur": 1.5}, {"patch": (0.2, 2.0)},
     {"hue": float("nan")}, {"noise": 0.1}, {"jpeg_quality": (0.0, 50.0)}],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(InputError, match=f"augmentation {next(iter(wrong))}"):
        AugmentConfig(**wrong)


def test_augmentation_repeats_by_epoch_and_moves_nothing(dataset):
    data = PoseDataset([open_dataset(dataset, 64)], AugmentConfig(), seed=0)
    np.testing.assert_array_equal(data[0, 3]["images"], data[0, 3]["images"])
    assert not np.array_equal(data[0, 3]["images"], data[1, 3]["images"])
    # A white square on black keeps its place under every draw.
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[:, 20:40, 24:44] = 255
    augment = Augmentation(
        dataclasses.replace(AugmentConfig(), noise=(0.0, 0.02), occluder=0.0, contrast=0.3)
    )
    for seed in range(10):
        seen = augment(picture, np.random.default_rng(seed))[0].astype(float).mean(axis=-1)
        rows, columns = np.nonzero(seen > (seen.max() + seen.min()) / 2)
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
def test_each_augmentation_does_what_it_says(only):
    still = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    augment = Augmentation(AugmentConfig(**NOTHING | still | only))
    picture = np.full((1, 64, 64, 3), 60, np.uint8)
    picture[:, :, 32:] = (140, 100, 100)
    before = picture[0].astype(float)
    seen = [augment(picture, np.random.default_rng(n))[0].astype(float) for n in range(60)]
    if "contrast" in only:  # about the mean, which stays
        spread = [
            np.ptp(image.mean(axis=(0, 2))) / np.ptp(before.mean(axis=(0, 2))) for image in seen
        ]
        assert 0.45 < min(spread) < 0.7 < 1.3 < max(spread) < 1.55
        assert all(abs(image.mean() - before.mean()) < 3 for image in seen)
    elif "noisy" in only:  # a tenth of white at most, each pixel by itself
        left = [image[:, :32, 0] for image in seen]
        assert 0.08 < max(image.std() for image in left) / 255 < 0.105
        noisy = max(left, key=np.std) - 60
        assert abs(np.mean(noisy[:, 1:] * noisy[:, :-1])) < 0.1 * noisy.var()
    elif "saturation" in only:
        ratio = [np.ptp(image[0, -1]) / np.ptp(before[0, -1]) for image in seen]
        assert 0.4 < min(ratio) < 0.7 < 1.3 < max(ratio) < 1.6
        assert all(np.ptp(image[0, 0]) < 2 for image in seen)
    else:  # grey takes a cast
        casts = [image[0, 0, 0] - image[0, 0, 2] for image in seen]
        assert min(casts) < -3 < 3 < max(casts)


def test_a_patch_of_another_view_hides_a_small_part():
    rng = np.random.default_rng(0)
    plain, other = np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 255, np.uint8)
    shares = [np.mean(with_patch(plain, other, (0.05, 0.2), rng) == 255) for _ in range(200)]
    assert min(shares) > 0 and max(shares) <= 0.04
    assert not plain.any()
    views = np.stack([plain, other])
    nothing = Augmentation(AugmentConfig(**NOTHING))
    np.testing.assert_array_equal(nothing(views, rng), views)


def test_backgrounds_change_where_the_mask_says():
    rng = np.random.default_rng(1)
    config = AugmentConfig(**NOTHING | {"background": 1.0})
    images = np.full((3, 32, 32, 3), 128, np.uint8)
    masks = np.zeros((3, 32, 32), np.uint8)
    masks[:, 8:20, 8:20] = 2
    masks[:, 20:30, 8:20] = 1
    changed = Augmentation(config)(images, rng, masks)
    np.testing.assert_array_equal(changed[masks > 0], 128)
    assert np.mean(changed[masks == 0] != 128) > 0.9
    assert not np.array_equal(changed[0], changed[1])
