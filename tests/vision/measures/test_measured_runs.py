"""What trainings may expect, from the measured ones that the documentation states."""

from pathlib import Path

from opendactyl.vision.measures.measured_runs import MEASURED, expectation

DOCS = Path(__file__).parents[3] / "docs" / "estimator.md"


def test_the_measured_trainings_are_those_of_the_documentation():
    text = DOCS.read_text(encoding="utf-8")
    for run in MEASURED:
        assert f"{run.rotation_deg:.2f}°" in text and f"{run.position_mm:.2f} mm" in text
    first, second, last = (run.samples for run in MEASURED)
    assert "800 steps of 64 samples" in text and first == 800 * 64
    assert "| 66,000 |" in text and "| 145,000 |" in text and second == 66_000 + 145_000
    assert f"{last:,} samples" in text


def test_a_training_expects_the_errors_of_the_longest_measured_one_that_it_exceeds():
    line = expectation(77.0, 277_200, trained=False)
    assert line.startswith("77 samples/s, 277,200 samples by the end; ")
    assert line.endswith("had 1.91° and 1.24 mm after 211,000")


def test_a_training_that_is_too_short_is_told_how_long_it_takes():
    line = expectation(16.0, 4_800, trained=False)
    assert "probably too few to be of use" in line
    assert line.endswith("7.39° and 3.18 mm; so many take 53 minutes here (--max-minutes)")


def test_nothing_is_said_of_trainings_from_trained_weights():
    line = expectation(16.0, 4_800, trained=True)
    assert line == "16 samples/s, 4,800 samples by the end, after those of the weights that it " \
                   "starts from"  # fmt: skip
