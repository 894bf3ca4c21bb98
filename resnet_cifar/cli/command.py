"""A command of the command line, and its parser."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never

from resnet_cifar.errors import UserError


class Parser(argparse.ArgumentParser):
    """Parser of one command; errors are raised, to be printed in one line."""

    def error(self, message: str) -> Never:
        """Raise UserError instead of printing a screen of usage."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            message = f"{self.prog} does not take {unknown}"
        raise UserError(f"{message}; see {self.prog} --help")


@dataclass(frozen=True)
class Command:
    """A command line's form."""

    flag: str | None
    """Flag that selects the command; None for the page."""
    about: str
    add_options: Callable[[Parser], None]

    def parser(self) -> Parser:
        """Build the command's parser."""
        prog = f"app.py {self.flag}" if self.flag else "app.py"
        parser = Parser(prog=prog, usage=None, description=self.about, allow_abbrev=False)
        parser.prog = "python app.py" + (f" {self.flag}" if self.flag else "")
        self.add_options(parser)
        return parser
