"""Where the project's own folders are: the only place that goes up from a module's own path."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "app.py"
CHECKPOINTS = ROOT / "checkpoints"
DATA = ROOT / "data"
"""Where CIFAR-100 is downloaded to, unless a folder is named."""
