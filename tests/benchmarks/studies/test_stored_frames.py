"""The comparison of what a dataset could store, at toy size."""

from opendactyl.benchmarks.studies.stored_frames import StoredFramesConfig, compare


def test_frames_and_crops_are_compared():
    table = compare(StoredFramesConfig(frame=96, crops=(32, 40, 24), samples=2, seconds=0.1))
    frame, crops = (line.split(" | ") for line in table.splitlines()[2:])
    assert frame[0] == "| a frame of 96 pixels" and crops[0] == "| pictures of (32, 40, 24)"
    for row in (frame, crops):
        assert float(row[1]) > 0 and float(row[2].rstrip(" |")) > 0
