"""Controls, status and plots of the viewer. Clicks set requests, which the loop polls."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import viser
from viser import uplot

from opendactyl.control.evaluation.episodes import POSE_SOURCES, EpisodeConfig
from opendactyl.control.evaluation.fault_injection import FAULTS
from opendactyl.render.base import RENDERERS
from opendactyl.sim.timing import CONTROL_PERIOD

PLOT_ACTIONS = 375
"""Number of actions in the plots: half a minute."""


@dataclass
class Requests:
    """Settings requested by the user."""

    task: str
    pose: str
    renderer: str
    paused: bool = False
    restart: bool = False
    """Start the next episode; reset by the loop."""


class Panel:
    """The panel of controls."""

    def __init__(
        self,
        server: viser.ViserServer,
        config: EpisodeConfig,
        tasks: tuple[str, ...],
        cameras: tuple[str, ...],
    ) -> None:
        """Adds the controls to the page.

        Args:
            server: the page's server.
            config: the initial settings.
            tasks: what the object can do.
            cameras: names of the cameras, which can fail.
        """
        self._tasks, task = tasks, config.task
        self.requests = Requests(task, config.pose, config.renderer)
        self._gui = server.gui
        self._text = server.gui.add_markdown("starting")
        self._add_controls()
        self._add_faults(cameras)
        self._times: deque[float] = deque(maxlen=PLOT_ACTIONS)
        self._errors: deque[float] = deque(maxlen=PLOT_ACTIONS)
        self._goals: deque[float] = deque(maxlen=PLOT_ACTIONS)
        self._error_plot = self._add_plot("pose error (deg)", "#2a6fdb")
        self._goal_plot = self._add_plot("goals reached", "#2f9e44")

    @property
    def faults(self) -> set[str]:
        """Names of the selected faults."""
        return {name for name, box in self._boxes.items() if box.value}

    @property
    def view(self) -> int:
        """Index of the camera that fails."""
        return self._camera.options.index(self._camera.value)

    def show_status(self, lines: list[str]) -> None:
        """Shows lines of text."""
        self._text.content = "  \n".join(lines)

    def plot(self, error_deg: float, goals: int) -> None:
        """Adds the values of one action to the plots."""
        self._times.append(self._times[-1] + CONTROL_PERIOD if self._times else 0.0)
        self._errors.append(error_deg)
        self._goals.append(float(goals))
        times = np.array(self._times)
        self._error_plot.data = (times, np.array(self._errors))
        self._goal_plot.data = (times, np.array(self._goals))

    def renderer_failed(self, kind: str) -> None:
        """Selects the renderer `kind`, after the selected one failed."""
        self.requests.renderer = kind
        self._renderer.value = kind

    def _add_controls(self) -> None:
        gui, requests = self._gui, self.requests
        pause = gui.add_button("Pause")
        reset = gui.add_button("Next episode")
        task = gui.add_dropdown(
            "Task", tuple(dict.fromkeys((*self._tasks, requests.task))), initial_value=requests.task
        )
        source = gui.add_button_group("Pose from", POSE_SOURCES)
        self._renderer = gui.add_dropdown("Renderer", RENDERERS, initial_value=requests.renderer)

        @pause.on_click
        def _(_: viser.GuiEvent) -> None:
            requests.paused = not requests.paused
            pause.label = "Continue" if requests.paused else "Pause"

        @reset.on_click
        def _(_: viser.GuiEvent) -> None:
            requests.restart = True

        @task.on_update
        def _(_: viser.GuiEvent) -> None:
            requests.task = task.value

        @source.on_click
        def _(_: viser.GuiEvent) -> None:
            requests.pose = source.value

        @self._renderer.on_update
        def _(_: viser.GuiEvent) -> None:
            requests.renderer = self._renderer.value

    def _add_faults(self, cameras: tuple[str, ...]) -> None:
        with self._gui.add_folder("Faults"):
            self._camera = self._gui.add_dropdown("Camera", cameras)
            self._boxes = {
                name: self._gui.add_checkbox(name, False, hint=effect)
                for name, effect in FAULTS.items()
            }

    def _add_plot(self, label: str, colour: str) -> viser.GuiUplotHandle:
        return self._gui.add_uplot(
            data=(np.zeros(1), np.zeros(1)),
            series=(uplot.Series(label="s"), uplot.Series(label=label, stroke=colour, width=2)),
            scales={"x": uplot.Scale(time=False), "y": uplot.Scale()},
            title=label,
            aspect=2.2,
        )
