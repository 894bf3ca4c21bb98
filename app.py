"""Entry point of resnet_cifar: opens the page or runs a command; `python app.py --help` lists the commands."""

import sys

from resnet_cifar.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
