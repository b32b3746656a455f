"""The viewer in a real browser: what it shows, clicks, and faults."""

import time
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.viewer.app import ViewConfig, Viewer
from opendactyl.core.errors import InputError

SHIPPED = Path(__file__).parents[3] / "pretrained" / "spin"
MESSAGES = {"policy": "the policy's output is not finite", "hand": "cannot read the hand"}
# Not `jump`: it is shown for a third of a second only, then the estimates are accepted.
VISION_MESSAGES = {
    "drop": "gave no image",
    "black": "is black",
    "nan": "values that are not finite",
    "size": "gave uint8 of shape",
    "occlude": "shows a single colour",
    "freeze": "is frozen",
}


def test_the_page_shows_a_moving_hand_and_responds_to_clicks(open_page):
    page = open_page(SHIPPED)
    page.wait(lambda: "pose from vision" in page.text(), "the first figures")
    page.wait(lambda: page.picture()[:, :500].std() > 15, "the scene")
    for fault, message in VISION_MESSAGES.items():
        provoke(page, fault, message)
    scenes = [page.picture()[:, :500]]

    def moved():
        scenes.append(page.picture()[:, :500])
        return np.mean(np.abs(scenes[-1] - scenes[0]) > 40) > 0.002

    page.wait(moved, "the hand to move")
    page.click("sim")
    page.wait(lambda: "pose from sim" in page.text(), "the pose source to change")
    page.wait(lambda: "pose error 0.0°" in page.text(), "an error of zero")
    page.click("Pause")
    page.wait(lambda: "Continue" in page.text(), "the button to change")
    still = wait_for_stillness(page)
    time.sleep(0.5)
    assert np.array_equal(page.picture()[:, :500], still)
    page.click("Continue")
    page.click("Next episode")
    page.wait(lambda: "episode 1" in page.text() or "episode 2" in page.text(), "another episode")
    for fault, message in MESSAGES.items():
        provoke(page, fault, message)
    assert page.errors == []


def provoke(page, fault, message):
    """Activates a fault until the page shows its message, then deactivates it."""
    page.click(fault)
    page.wait(lambda: message in page.text(), f"the message of the fault {fault}")
    page.click(fault)
    page.wait(lambda: message not in page.text(), f"the end of the fault {fault}")


def wait_for_stillness(page):
    pictures = [page.picture()[:, :500]]

    def still():
        time.sleep(0.3)
        pictures.append(page.picture()[:, :500])
        # On a busy machine the last picture may arrive late.
        return len(pictures) > 5 and all(np.array_equal(pictures[-1], p) for p in pictures[-5:])

    page.wait(still, "the picture to stand still")
    return pictures[-1]


def test_an_address_of_another_machine_is_refused(bundle):
    with pytest.raises(InputError, match="cannot listen"):
        Viewer(ViewConfig(bundle=bundle, host="no.such.host.invalid"))


def test_bad_ports_are_refused():
    with pytest.raises(InputError, match="--port is 0"):
        ViewConfig(port=0)


def test_the_default_host_is_the_loopback_address():
    assert ViewConfig().host == "127.0.0.1"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["msat", "face-cube"])
def test_bundles_of_other_policies_and_objects_are_shown(kind, open_page, request):
    if kind == "msat":
        bundle = request.getfixturevalue("msat_bundle")
    else:
        bundle = request.getfixturevalue("face_cube_folder") / "bundle"
    page = open_page(bundle)
    page.wait(lambda: "pose from vision" in page.text(), "the first figures")
    page.wait(lambda: page.picture()[:, :500].std() > 15, "the scene")
    first = page.picture()[:, :500]
    page.wait(lambda: np.mean(np.abs(page.picture()[:, :500] - first) > 40) > 0.002, "a motion")
    page.click("sim")
    page.wait(lambda: "pose error 0.0°" in page.text(), "an error of zero")
    for fault, message in MESSAGES.items():
        provoke(page, fault, message)
    assert page.errors == []
