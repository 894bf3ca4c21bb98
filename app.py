"""Entry point of resnet_cifar: opens the page or runs a command; `python app.py --help` lists the commands."""

import sys


def run() -> int:
    """Run the command line; without the required packages, say how to install them."""
    try:
        from resnet_cifar.cli.main import main

        return main()
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("resnet_cifar"):
            raise
        print(
            f"error: the package {error.name} is not installed for {sys.executable}. Type `make page`, which installs "
            "everything into .venv and opens the page, or `pip install -r requirements.txt`.",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(run())
