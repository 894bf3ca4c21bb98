"""Train, look into and share a ResNet-34 on CIFAR-100.

Importing the package imports nothing else: torch, gradio and plotly load where they are first needed.
"""

__version__ = "0.1.0"
