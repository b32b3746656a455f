"""Watches the closed loop in a browser, and disturbs it."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import viser
from numpy.typing import NDArray

from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_env,
    open_renderer,
)
from opendactyl.control.evaluation.fault_injection import Faults
from opendactyl.control.evaluation.sim_adapters import SimGoals, SimHand, SimPose
from opendactyl.control.runtime.interfaces import CameraSource, PoseSource
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.telemetry import Status
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.control.viewer.controls import Panel
from opendactyl.control.viewer.scene import ViewerScene
from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array, geodesic_angle
from opendactyl.render.base import Renderer
from opendactyl.sim.state import State

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
IDLE = 0.05
"""Seconds between two looks at the controls while paused."""


@dataclass(frozen=True, kw_only=True)
class ViewConfig(EpisodeConfig):
    """Settings of `view`."""

    pose: str = "vision"
    """Where the pose comes from at first: vision or sim."""
    fuse: bool = True
    """Fuse the estimates by sight over time by their covariance and reject jumps."""
    appearance: str = "calibrated"
    """Appearance preset or TOML file, drawn once an episode."""
    host: str = LOOPBACK
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: int = 8080
    """Port to listen on, or the next free one."""
    seconds: float = 0.0
    """Stop after so long; 0 goes on until interrupted."""

    def __post_init__(self) -> None:
        """Refuses impossible numbers."""
        super().__post_init__()
        if not 0 < self.port < 65536:
            raise InputError(f"--port is {self.port}; it must be from 1 to 65535")
        if self.seconds < 0:
            raise InputError(f"--seconds is {self.seconds}; it must not be negative")


@dataclass(frozen=True, eq=False)
class Moment:
    """What an action started from, and what the loop made of it."""

    state: State
    goal: Array
    """(4,)."""
    images: list[NDArray[np.uint8]]
    """What the cameras gave, (H, W, 3) each."""
    status: Status
    error_deg: float
    """How far the orientation was off that the policy went by."""


class Show:
    """One set-up of the loop; another task, pose source or renderer needs a new one."""

    def __init__(
        self, config: ViewConfig, bundle: Bundle, renderer: Renderer, faults: Faults, first: int
    ) -> None:
        """Starts an episode, the one numbered `first`."""
        self.config = config
        self.env = make_env(config, bundle, 1, first)
        self.hand = SimHand(self.env)
        self._cameras: CameraSource = faults.cameras(make_cameras(config, self.env, 0, renderer))
        self._sight = VisionPose(bundle, self._cameras)
        source: PoseSource = SimPose(self.env) if config.pose == "sim" else self._sight
        source = faults.source(source)
        filtered = config.fuse and config.pose == "vision"
        self.loop = RobotLoop(
            faults.bundle(bundle),
            faults.hand(self.hand),
            FilteredPose(source) if filtered else source,
            SimGoals(self.env),
        )

    def images(self) -> list[NDArray[np.uint8]]:
        """What the cameras gave, black where they gave nothing that can be shown."""
        views = self._cameras.read() if self.config.pose == "sim" else self._sight.views
        black = np.zeros((8, 8, 3), dtype=np.uint8)
        return [view if view is not None and view.dtype == np.uint8 else black for view in views]

    def step(self) -> Moment:
        """Takes one action; what it started from comes with it."""
        state, goal = self.env.state(0), self.env.goal[0].copy()
        images = self.images() if self.config.pose == "sim" else None
        status = self.loop.step()
        error = float(np.rad2deg(geodesic_angle(status.quaternion, state.quaternion)))
        return Moment(state, goal, images or self.images(), status, error)

    def next_episode(self) -> None:
        """Starts the next episode."""
        self.loop.restart()
        self.hand.restart()


class Viewer:
    """A server, its page, and the loop that it shows."""

    def __init__(self, config: ViewConfig) -> None:
        """Opens the page; nothing moves before `run`."""
        self._bundle = load_bundle(config.bundle)
        self._config = replace(config, task=config.task or self._bundle.task)
        self._faults = Faults()
        _check_address(config.host)
        self._server = viser.ViserServer(
            config.host, config.port, label="OpenDactyl", verbose=False
        )
        self._server.gui.configure_theme(control_layout="fixed", show_share_button=False)
        self._stage = ViewerScene(self._server, self._bundle.rig, self._bundle.object_name)
        self._panel = Panel(self._server, self._config, self._config.task, self._bundle.rig.names)
        self.address = f"http://{config.host}:{self._server.get_port()}"

    def run(self) -> None:
        """Shows episodes until time is up."""
        ends = time.monotonic() + (self._config.seconds or np.inf)
        first = 0
        while time.monotonic() < ends:
            with self._renderer() as renderer:
                show = Show(self._config, self._bundle, renderer, self._faults, first)
                while time.monotonic() < ends and not self._changed():
                    self._play(show)
                first = int(show.env.first_episode) + 1

    def close(self) -> None:
        """Closes the page."""
        self._server.stop()

    @contextmanager
    def _renderer(self) -> Iterator[Renderer]:
        """The renderer asked for, or the one before if that does not work here."""
        try:
            renderer = open_renderer(self._config.renderer, self._bundle)
        except InputError as error:
            log.warning("%s does not work here: %s", self._config.renderer, error)
            for client in self._server.get_clients().values():
                client.add_notification(f"{self._config.renderer} does not work here", str(error))
            self._config = replace(self._config, renderer="classic")
            self._panel.renderer_failed("classic")
            renderer = open_renderer("classic", self._bundle)
        with renderer:
            yield renderer

    def _changed(self) -> bool:
        """Whether the controls ask for another set-up; takes it over."""
        wishes = {name: getattr(self._panel.wishes, name) for name in ("task", "pose", "renderer")}
        if all(getattr(self._config, name) == wish for name, wish in wishes.items()):
            return False
        self._config = replace(self._config, **wishes)
        return True

    def _play(self, show: Show) -> None:
        """Takes one action at the control rate, or waits while paused."""
        panel, began = self._panel, time.monotonic()
        if panel.wishes.restart or show.hand.over:
            panel.wishes.restart = False
            show.next_episode()
        if panel.wishes.paused:
            time.sleep(IDLE)
            return
        self._faults.active, self._faults.view = panel.faults, panel.view
        moment = show.step()
        status = moment.status
        estimate = (status.position, status.quaternion)
        self._stage.show(moment.state, moment.goal, estimate, moment.images)
        panel.plot(moment.error_deg, show.loop.goals.reached)
        panel.tell(self._figures(show, status, moment.error_deg))
        time.sleep(max(0.0, began + self._bundle.period - time.monotonic()))

    def _figures(self, show: Show, status: Status, error: float) -> list[str]:
        said = "; ".join(map(str, status.faults)) or "none"
        return [
            f"**{show.config.task}**, pose from **{show.config.pose}**, {show.config.renderer}",
            f"episode {show.env.first_episode}, goals **{show.loop.goals.reached}**",
            f"pose error **{error:.1f}°**",
            f"the hand is **{status.state}**",
            f"faults: {said}",
            f"{status.seconds * 1000:.0f} ms an action, simulation included",
        ]


def _check_address(host: str) -> None:
    """Raises an `InputError` if this machine cannot listen there."""
    try:
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise InputError(
            f"--host is {host}, where this machine cannot listen ({error}); 127.0.0.1 is this "
            "machine alone, 0.0.0.0 all its addresses"
        ) from error


def view(config: ViewConfig) -> Iterator[str]:
    """Yields the page's address, then shows the loop until interrupted or time is up."""
    viewer = Viewer(config)
    try:
        yield viewer.address
        viewer.run()
    finally:
        viewer.close()
