"""The viewer: shows the closed loop in a browser, with controls that inject faults."""

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
from opendactyl.control.bundle.manifest import articulation_of
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_env,
    open_renderer,
)
from opendactyl.control.evaluation.fault_injection import FaultInjector
from opendactyl.control.evaluation.sim_adapters import SimGoals, SimHand, SimPose
from opendactyl.control.runtime.interfaces import CameraSource, PoseSource, images_of
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.telemetry import Status
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.control.viewer.controls import Panel
from opendactyl.control.viewer.scene import ViewerScene
from opendactyl.core.errors import InputError, OpenDactylError
from opendactyl.geometry.rotation import Array
from opendactyl.policy.interface.tasks import RIGID, tasks_of
from opendactyl.render.base import Renderer
from opendactyl.sim.state import State

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
IDLE = 0.05
"""Seconds between two polls of the controls while paused."""


@dataclass(frozen=True, kw_only=True)
class ViewConfig(EpisodeConfig):
    """Settings of `view`."""

    pose: str = "vision"
    """Initial source of the pose: vision or sim."""
    fuse: bool = True
    """Filter the vision estimates by their covariance and reject jumps."""
    appearance: str = "calibrated"
    """Appearance preset or TOML file, sampled once per episode."""
    host: str = LOOPBACK
    """Address to listen on; 0.0.0.0 accepts connections from other machines."""
    port: int = 8080
    """Port to listen on, or the next free one."""
    seconds: float = 0.0
    """Stop after this many seconds; 0 runs until interrupted."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        super().__post_init__()
        if not 0 < self.port < 65536:
            raise InputError(f"--port is {self.port}; it must be from 1 to 65535")
        if self.seconds < 0:
            raise InputError(f"--seconds is {self.seconds}; it must not be negative")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One action: the state before it and its result."""

    state: State
    goal: Array
    """(4,)."""
    images: list[NDArray[np.uint8]]
    """Camera images, (H, W, 3) each."""
    status: Status
    error_deg: float
    """Orientation error of the policy's pose."""


class Session:
    """The loop with one task, pose source and renderer; a change of these needs a new session."""

    def __init__(
        self,
        config: ViewConfig,
        bundle: Bundle,
        renderer: Renderer,
        faults: FaultInjector,
        first: int,
    ) -> None:
        """Starts episode number `first`."""
        self.config = config
        self.env = make_env(config, bundle, 1, first)
        self.hand = SimHand(self.env, config.action_delay)
        self._cameras: CameraSource = faults.cameras(make_cameras(config, self.env, 0, renderer))
        self._vision = VisionPose(bundle, self._cameras, check_wiring=False)
        source: PoseSource = SimPose(self.env) if config.pose == "sim" else self._vision
        source = faults.source(source)
        filtered = config.fuse and config.pose == "vision"
        self.loop = RobotLoop(
            faults.bundle(bundle),
            faults.hand(self.hand),
            FilteredPose(source) if filtered else source,
            SimGoals(self.env),
        )

    def images(self) -> list[NDArray[np.uint8]]:
        """The last camera images, black where there is none that can be shown."""
        views = self._vision.views
        if self.config.pose == "sim":
            views = images_of(self._cameras.read())
        black = np.zeros((8, 8, 3), dtype=np.uint8)
        return [view if view is not None and view.dtype == np.uint8 else black for view in views]

    def step(self) -> Snapshot:
        """Takes one action."""
        state, goal = self.env.state(0), self.env.goal[0].copy()
        images = self.images() if self.config.pose == "sim" else None
        status = self.loop.step()
        error = np.rad2deg(self.env.scene.symmetry.angle(status.quaternion, state.quaternion))
        return Snapshot(state, goal, images or self.images(), status, float(error))

    def next_episode(self) -> None:
        """Starts the next episode."""
        self.loop.restart()
        self.hand.restart()


class Viewer:
    """A web server, its page, and the loop that it shows."""

    def __init__(self, config: ViewConfig) -> None:
        """Starts the server; `run` starts the loop."""
        self._bundle = load_bundle(config.bundle)
        self._config = replace(config, task=config.task or self._bundle.task)
        self._faults = FaultInjector()
        _check_address(config.host)
        self._server = viser.ViserServer(
            config.host, config.port, label="OpenDactyl", verbose=False
        )
        self._server.gui.configure_theme(control_layout="fixed", show_share_button=False)
        self._scene = ViewerScene(
            self._server, self._bundle.rig, self._bundle.object, self._bundle.hand_reference
        )
        articulation = articulation_of(self._bundle.manifest) or RIGID
        tasks = tasks_of(articulation.hinges, self._bundle.symmetry)
        self._panel = Panel(self._server, self._config, tasks, self._bundle.rig.names)
        self.address = f"http://{config.host}:{self._server.get_port()}"

    def run(self) -> None:
        """Runs episodes until `seconds` have passed."""
        ends = time.monotonic() + (self._config.seconds or np.inf)
        first = 0
        while time.monotonic() < ends:
            with self._renderer() as renderer:
                session = Session(self._config, self._bundle, renderer, self._faults, first)
                while time.monotonic() < ends and not self._changed():
                    self._play(session)
                first = int(session.env.first_episode) + 1

    def close(self) -> None:
        """Stops the server."""
        self._server.stop()

    @contextmanager
    def _renderer(self) -> Iterator[Renderer]:
        """Opens the requested renderer, or `classic` if that one does not work on this machine."""
        try:
            renderer = open_renderer(self._config.renderer, self._bundle)
        except OpenDactylError as error:
            log.warning("%s does not work here: %s", self._config.renderer, error)
            for client in self._server.get_clients().values():
                client.add_notification(f"{self._config.renderer} does not work here", str(error))
            self._config = replace(self._config, renderer="classic")
            self._panel.renderer_failed("classic")
            renderer = open_renderer("classic", self._bundle)
        with renderer:
            yield renderer

    def _changed(self) -> bool:
        """Applies the controls to the settings; returns whether they need a new session."""
        names = ("task", "pose", "renderer")
        requested = {name: getattr(self._panel.requests, name) for name in names}
        if all(getattr(self._config, name) == value for name, value in requested.items()):
            return False
        self._config = replace(self._config, **requested)
        return True

    def _play(self, session: Session) -> None:
        """Takes one action at the control rate, or waits while paused."""
        panel, began = self._panel, time.monotonic()
        if panel.requests.restart or session.hand.done:
            panel.requests.restart = False
            session.next_episode()
        if panel.requests.paused:
            time.sleep(IDLE)
            return
        self._faults.active, self._faults.view = panel.faults, panel.view
        snapshot = session.step()
        status = snapshot.status
        estimate = (status.position, status.quaternion)
        self._scene.show(snapshot.state, snapshot.goal, estimate, snapshot.images)
        panel.plot(snapshot.error_deg, session.loop.goals.reached)
        panel.show_status(self._status_lines(session, status, snapshot.error_deg))
        time.sleep(max(0.0, began + self._bundle.period - time.monotonic()))

    def _status_lines(self, session: Session, status: Status, error: float) -> list[str]:
        config = session.config
        faults = "; ".join(map(str, status.faults)) or "none"
        return [
            f"**{config.task}**, pose from **{config.pose}**, {config.renderer}",
            f"episode {session.env.first_episode}, goals **{session.loop.goals.reached}**",
            f"pose error **{error:.1f}°**",
            f"the hand is **{status.state}**",
            f"faults: {faults}",
            f"{status.seconds * 1000:.0f} ms per action, including the simulation",
        ]


def _check_address(host: str) -> None:
    """Raises an `InputError` if this machine cannot listen there."""
    try:
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise InputError(
            f"cannot listen on --host {host} ({error}); use 127.0.0.1 for this machine only, or "
            "0.0.0.0 for all its addresses"
        ) from error


def view(config: ViewConfig) -> Iterator[str]:
    """Yields the page's address, then runs the loop until interrupted or `seconds` have passed."""
    viewer = Viewer(config)
    try:
        yield viewer.address
        viewer.run()
    finally:
        viewer.close()
