"""The front door of resnet_cifar: `python app.py --help` says what it opens to."""

import sys

from resnet_cifar.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
