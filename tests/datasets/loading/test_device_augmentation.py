"""The augmentation of batches: ranges, effects, and independence of its random numbers."""

import numpy as np
import pytest
import torch

from opendactyl.datasets.loading.augmentation_config import PROBABILITIES, AugmentConfig
from opendactyl.datasets.loading.device_augmentation import DeviceAugmentation

DISABLED = dict.fromkeys(PROBABILITIES, 0.0)
CONSTANT = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
TWO_COLOURS = torch.full((30, 2, 48, 48, 3), 60, dtype=torch.uint8)
TWO_COLOURS[..., 24:, :] = torch.tensor([140, 100, 100], dtype=torch.uint8)


def augment(images=TWO_COLOURS, number=0, masks=None, **only):
    return DeviceAugmentation(AugmentConfig(**DISABLED | only), seed=0)(images, number, masks)


def floats(images):
    return images.flatten(0, 1).numpy().astype(float)


def test_batches_are_reproducible_and_nothing_else_is_drawn_from():
    state = torch.get_rng_state()
    first = DeviceAugmentation(AugmentConfig(), seed=0)(TWO_COLOURS, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.dtype == torch.uint8 and first.shape == TWO_COLOURS.shape
    assert torch.equal(DeviceAugmentation(AugmentConfig(), seed=0)(TWO_COLOURS, 3), first)
    assert not torch.equal(DeviceAugmentation(AugmentConfig(), seed=0)(TWO_COLOURS, 4), first)
    assert not torch.equal(DeviceAugmentation(AugmentConfig(), seed=1)(TWO_COLOURS, 3), first)
    assert torch.equal(augment(), TWO_COLOURS)


def test_no_pixel_is_moved():
    picture = torch.zeros(10, 3, 64, 64, 3, dtype=torch.uint8)
    picture[:, :, 20:40, 24:44] = 255
    often = dict(defocus=0.5, motion_blur=0.5, exposure=0.5, demosaicing=0.5)
    config = AugmentConfig(noise=(0.0, 0.02), occluder=0.0, contrast=0.3, stops=0.3, **often)
    for image in floats(DeviceAugmentation(config, seed=0)(picture, 0)):
        grey = image.mean(axis=-1)
        rows, columns = np.nonzero(grey > (grey.max() + grey.min()) / 2)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 24, 43)


def test_contrast_is_changed_about_the_mean():
    before = floats(TWO_COLOURS)[0]
    results = floats(augment(colours=1.0, **CONSTANT | {"contrast": 0.5}))
    spread = np.ptp(results.mean(axis=(1, 3)), axis=1) / np.ptp(before.mean(axis=(0, 2)))
    assert 0.45 < min(spread) < 0.7 < 1.3 < max(spread) < 1.55
    assert all(abs(image.mean() - before.mean()) < 3 for image in results)


def test_saturation_and_white_balance_change_colours():
    before = floats(TWO_COLOURS)[0]
    results = floats(augment(colours=1.0, **CONSTANT | {"saturation": 0.5}))
    ratio = np.ptp(results[:, 0, -1], axis=-1) / np.ptp(before[0, -1])
    assert 0.4 < min(ratio) < 0.7 < 1.3 < max(ratio) < 1.6
    assert np.ptp(results[:, 0, 0], axis=-1).max() < 2
    casts = floats(augment(white_balance=1.0))[:, 0, 0]
    casts = casts[:, 0] - casts[:, 2]
    assert min(casts) < -3 < 3 < max(casts)


def test_noise_is_a_tenth_of_white_at_most_and_each_pixel_has_its_own():
    left = floats(augment(noisy=0.7))[:, :, :24, 0]
    deviations = left.std(axis=(1, 2)) / 255
    assert 0.08 < deviations.max() < 0.105
    assert 0.1 < np.mean(deviations == 0) < 0.55
    noisy = max(left, key=np.std) - 60
    assert abs(np.mean(noisy[:, 1:] * noisy[:, :-1])) < 0.1 * noisy.var()


def test_points_become_discs_out_of_focus_and_lines_in_motion():
    points = torch.zeros(20, 2, 32, 32, 3, dtype=torch.uint8)
    points[:, :, 16, 16] = 255
    discs = floats(augment(points, defocus=1.0, defocus_radius=(2.0, 3.0)))[..., 0]
    lines = floats(augment(points, motion_blur=1.0, motion_blur_length=(7.0, 7.0)))[..., 0]
    place = np.arange(32) - 16
    for image in (*discs, *lines):  # nothing is moved, and no light lost
        assert image.sum() == pytest.approx(255, rel=0.15)
        assert abs((image * place).sum() / image.sum()) < 0.2
        assert abs((image * place[:, None]).sum() / image.sum()) < 0.2
    reach = np.hypot(place, place[:, None])
    assert all(2 <= reach[image > 2].max() < 4 for image in discs)
    assert len({image.tobytes() for image in lines}) > 3


def test_exposure_and_mosaic_change_what_they_should():
    exposed = floats(augment(exposure=1.0, stops=2.0))[:, 0]
    light = (exposed[:, 0, 0] / 60) ** 2.2
    assert 0.23 < light.min() < 0.5 and 2 < light.max() < 4.3
    bright = exposed[:, -1, 0]
    assert (bright[light > 4.0] == 255).all() and bright.max() <= 255
    changed = np.abs(floats(augment(demosaicing=1.0)) - floats(TWO_COLOURS)).max(axis=(0, 1, 3))
    assert changed[23:25].max() > 8
    assert changed[3:22].max() <= 1 and changed[27:-3].max() <= 1


def test_images_of_an_odd_size_have_a_mosaic_too():
    odd = TWO_COLOURS[:2, :, :45, :47].contiguous()
    changed = augment(odd, demosaicing=1.0)
    assert changed.shape == odd.shape and not torch.equal(changed, odd)


def test_occluders_cover_little_of_some_views():
    images = torch.zeros(40, 2, 40, 60, 3, dtype=torch.uint8)
    images[:, 1] = 255
    changed = floats(augment(images, occluder=0.5)) != floats(images)
    covered = changed.any(axis=-1).mean(axis=(1, 2))
    assert 0.2 < np.mean(covered > 0) < 0.9
    assert covered.max() <= 0.2**2 + 3 * 0.12**2
    patches = floats(augment(images, occluder=1.0, rectangle=(0.001, 0.001)))[::2]
    white = [np.argwhere(image.min(axis=-1) == 255) for image in patches]
    found = [pixels for pixels in white if len(pixels) > 4]
    assert len(found) > 8  # those that took a part of the other view
    for pixels in found:
        height, width = np.ptp(pixels, axis=0) + 1
        assert len(pixels) >= 0.9 * height * width


def test_backgrounds_are_replaced_where_the_mask_is_zero():
    images = torch.full((4, 3, 32, 32, 3), 128, dtype=torch.uint8)
    masks = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    masks[:, :, 8:20, 8:20] = 2
    changed = augment(images, masks=masks, background=1.0)
    assert (changed[masks > 0] == 128).all()
    assert (changed[masks == 0] != 128).float().mean() > 0.9
    assert not torch.equal(changed[0, 0], changed[0, 1])


def test_effects_are_independent_of_each_other_and_of_the_view():
    """Blur and JPEG change structure, noise makes a flat area rough."""
    images = torch.full((400, 2, 16, 16, 3), 100, dtype=torch.uint8)
    rough = floats(augment(images, noisy=0.5, occluder=0.5)).reshape(400, 2, 16, 16, 3)
    noisy = (rough != 100).mean(axis=(2, 3, 4)) > 0.5
    covered = np.abs(rough - 100).max(axis=(2, 3, 4)) > 110
    columns = np.concatenate([noisy, covered], axis=1).T
    assert 0.4 < noisy.mean() < 0.6
    correlation = np.corrcoef(columns)
    np.testing.assert_allclose(correlation, np.eye(4), atol=0.2)


@pytest.mark.gpu
def test_batches_are_augmented_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    augmentation = DeviceAugmentation(AugmentConfig(), seed=0)
    augmented = augmentation(TWO_COLOURS.cuda(), 0)
    assert augmented.device.type == "cuda"
    assert torch.equal(augmentation(TWO_COLOURS.cuda(), 0), augmented)
