"""The report of a fit: tracks, residuals, correlations, and what was not excited."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.core.html_report import HtmlReport
from opendactyl.policy.calibration.calibrate import HORIZON, Calibration
from opendactyl.policy.calibration.fit import LEAD
from opendactyl.policy.calibration.intervals import INFLATION
from opendactyl.policy.calibration.parameters import KINDS
from opendactyl.policy.calibration.results.outputs import parameters
from opendactyl.policy.calibration.windows import BLOCK, Windows, held_out, make_windows
from opendactyl.sim.timing import TIMESTEP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRONG = 0.9
"""Correlations that the report lists."""
COLUMNS = 4


def write_report(calibration: Calibration, path: Path) -> None:
    """Writes the report as one HTML file."""
    report = HtmlReport(f"Calibration of the hand {calibration.predictor.scene.hand.name}")
    _add_summary(report, calibration)
    _add_errors(report, calibration)
    _add_tracks(report, calibration)
    report.heading("Not excited, or not determined").text(_unknown(calibration))
    _add_parameters(report, calibration)
    _add_correlations(report, calibration)
    report.write(path)


def _add_summary(report: HtmlReport, calibration: Calibration) -> None:
    predictor, log = calibration.predictor, calibration.predictor.log
    before, after = calibration.errors
    verdict = (
        f"**refused**: {calibration.refusal}"
        if calibration.refusal
        else f"**accepted**: in blocks that were held out, the error of predictions over "
        f"{HORIZON:g} s fell from {1e3 * before:.1f} to {1e3 * after:.1f} mrad"
    )
    report.text(f"The fit is {verdict}.")
    report.text(
        f"{log.where}: {log.seconds:.0f} s, a sample every {1e3 * log.interval:.1f} ms, a command "
        f"every {1e3 * predictor.commands.period:.1f} ms; {len(calibration.fit.gradient)} blocks "
        f"of {BLOCK:g} s were fitted."
    )
    if log.efforts is None:
        report.text(
            "The log has no torques. Motion alone does not tell the scale of gains, damping, "
            "friction and inertia together; they are given for the armature of the model."
        )


def _add_parameters(report: HtmlReport, calibration: Calibration) -> None:
    known = calibration.intervals
    report.heading("Parameters").text(
        "90 % intervals, from the larger of the deviations from the curvature of the residuals and "
        f"from a bootstrap over blocks, times {INFLATION:g}. What is not determined has the range "
        "of preset `dactyl` in `ranges.toml`."
    )
    rows = [
        (f"{p.kind} {p.name}", p.value, p.low, p.high, p.unit, _yes(p.determined), c, b)
        for p, c, b in zip(parameters(calibration), known.curvature, known.bootstrap, strict=True)
    ]
    headers = (
        "parameter", "value", "low", "high", "unit", "determined", "± curvature", "± bootstrap",
    )  # fmt: skip
    report.table(headers, rows)


def _add_errors(report: HtmlReport, calibration: Calibration) -> None:
    rows = zip(
        calibration.predictor.scene.hand.joints, 1e3 * calibration.before, 1e3 * calibration.after,
        1e3 * calibration.fit.noise, map(_yes, calibration.excited),
        strict=True,
    )  # fmt: skip
    report.heading("Errors and residuals").text(
        f"Root mean square errors in mrad of predictions over {HORIZON:g} s in held-out blocks, "
        "and the deviation of the residuals of the fitted blocks."
    )
    headers = ("joint", "model as it is", "fit", "residual", "moved")
    report.table(headers, list(rows))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _unknown(calibration: Calibration) -> str:
    joints = np.array(calibration.predictor.scene.hand.joints)
    still = ", ".join(joints[~calibration.excited]) or "none"
    kinds = []
    for kind in KINDS:
        of_kind = [p for p in parameters(calibration) if p.kind == kind]
        unknown = [p.name for p in of_kind if not p.determined]
        if not of_kind:
            kinds.append(f"{kind}: not fitted")
        elif unknown:
            names = "all" if len(unknown) == len(of_kind) else ", ".join(unknown)
            kinds.append(f"{kind}: {names}")
    return f"Joints that hardly move in the log: {still}. Not determined: {'; '.join(kinds)}."


def _add_tracks(report: HtmlReport, calibration: Calibration) -> None:
    predictor = calibration.predictor
    log = predictor.log
    report.heading("Tracks")
    try:
        held = make_windows(log, predictor.commands, BLOCK, LEAD, held_out(log))
    except InputError:
        report.text("No held-out block is without gaps.")
        return
    report.figure(
        _tracks(calibration, held),
        "A held-out block: measured, simulated by the fit, and by the model as it is.",
    )


def _tracks(calibration: Calibration, held: Windows) -> "Figure":
    from matplotlib.figure import Figure

    predictor = calibration.predictor
    space, log = predictor.space, predictor.log
    angles = [log.joints[held.rows[held.window == w]] for w in range(len(held))]
    liveliest = int(np.argmax([np.ptp(a, axis=0).sum() for a in angles]))
    window = held.only(np.arange(len(held)) == liveliest)
    fitted = space.values(calibration.fit.x[None])
    nominal = space.nominal_values()
    time = window.begin[0] + TIMESTEP * np.arange(window.steps + 1)
    tracks = [
        predictor.simulate(values, window).joints[0, 0] + values["offset"][0]
        for values in (nominal, fitted)
    ]
    joints = predictor.scene.hand.joints
    rows = -(-len(joints) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    inside = (log.time >= time[0]) & (log.time <= time[-1])
    for number, (ax, joint) in enumerate(zip(axes, joints, strict=False)):
        ax.plot(time, tracks[0][:, number], color="0.7", label="model")
        ax.plot(log.time[inside], log.joints[inside, number], "k", lw=0.8, label="measured")
        ax.plot(time, tracks[1][:, number], "C1", lw=1, label="fit")
        ax.set_title(joint, fontsize=9)
        ax.tick_params(labelsize=7)
    for ax in axes[len(joints) :]:
        ax.set_axis_off()
    axes[0].legend(fontsize=7)
    return figure


def _add_correlations(report: HtmlReport, calibration: Calibration) -> None:
    from matplotlib.figure import Figure

    correlation, labels = calibration.intervals.correlation, calibration.predictor.space.labels
    figure = Figure(figsize=(7, 6), layout="constrained")
    ax = figure.subplots()
    ax.figure.colorbar(ax.imshow(correlation, vmin=-1, vmax=1, cmap="RdBu_r"))  # pyright: ignore[reportAttributeAccessIssue]
    slices = calibration.predictor.space.slices
    ax.set_yticks([part.start for part in slices.values()], list(slices))
    ax.set_xticks([])
    report.heading("Correlations").figure(figure, "Of the estimates, from the curvature.")
    strong = np.argwhere(np.triu(np.abs(correlation) > STRONG, 1))
    pairs = [
        (" ".join(labels[i]), " ".join(labels[j]), float(correlation[i, j])) for i, j in strong
    ]
    if pairs:
        pairs.sort(key=lambda pair: -abs(pair[2]))
        report.text(f"Pairs that the log hardly tells apart (above {STRONG:g}):")
        report.table(("parameter", "parameter", "correlation"), pairs[:20])
