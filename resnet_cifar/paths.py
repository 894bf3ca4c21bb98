"""The project's folders: the only module that goes up from its own path."""

from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
"""Folder that holds the package: the checkout, or site-packages where the package was installed."""
IS_CHECKOUT = (SOURCE / "app.py").exists()
ROOT = SOURCE if IS_CHECKOUT else Path.cwd()
"""Folder of runs and data: the checkout, or for an installed package the current folder."""
CHECKPOINTS = ROOT / "checkpoints"
DATA = ROOT / "data"
"""Default folder for the download of CIFAR-100."""
