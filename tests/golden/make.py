"""Writes this release's golden files beside itself: one small model per cell and task, and what they give.

Run once per release, ``python tests/golden/make.py``; files of earlier releases are kept.
"""

import json
import shutil
import tempfile
from pathlib import Path

import rnnkit
from rnnkit.cells import CELLS
from rnnkit.samples import sample_path

HERE = Path(__file__).parent
FORECAST = {"horizon": 4, "season": "24", "context": 48, "hidden": 4, "members": 2}


def main():
    expected_file = HERE / "expected.json"
    expected = json.loads(expected_file.read_text(encoding="utf-8")) if expected_file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for cell in CELLS:
            for task, sample in (("forecast", "energy"), ("language", "chat")):
                name = f"{rnnkit.__version__}-{task}-{cell}"
                small = FORECAST if task == "forecast" else {"embedding": 8}
                run = Path(folder, name)
                model = rnnkit.train(sample_path(sample), run, **{"cell": cell, "hidden": 8, "steps": 40, **small})
                shutil.copy(run / "model.safetensors", HERE / f"{name}.safetensors")
                if task == "language":
                    expected[name] = "".join(model.generate("Le chat", length=60, temperature=0))
                else:
                    expected[name] = {k: v.tolist() for k, v in model.predict().columns[0].items()}
    expected_file.write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
