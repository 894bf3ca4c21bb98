"""`python -m resnet_cifar`, from any folder: the same as `python app.py`."""

import sys

from resnet_cifar.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
