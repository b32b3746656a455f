import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_example_of_rendering_md(tmp_path):
    (code, *_) = re.findall(r"```python\n(.*?)```", (DOCS / "rendering.md").read_text(), re.S)
    code += (
        "print(images.shape, len(np.unique(classes)), depth.dtype, visible.min() > 0, len(cameras))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.split("\n")[0] == "(3, 200, 200, 3) 3 float32 True 3", done.stderr
