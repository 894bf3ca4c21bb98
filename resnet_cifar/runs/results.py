"""Results of a run on test, `eval.json`: metrics, and the accuracy on each class."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated

from resnet_cifar import decode
from resnet_cifar.decode import Bounds, Fraction, Loss
from resnet_cifar.events import without_nan
from resnet_cifar.runs.run_dir import RunDir
from resnet_cifar.system import files

_LARGEST = 8 * 10**6  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """Results of a run's best weights on the test images."""

    images: Annotated[int, Bounds(0, 10**9)]
    loss: Loss
    top1: Fraction
    top5: Fraction
    coarse_top1: Fraction | None = None
    """Superclass top-1; None for a data set without superclasses."""
    ece: Fraction | None = None
    """Expected calibration error; None in files of earlier versions."""
    per_class_top1: Mapping[str, Fraction] = field(default_factory=dict)

    def to_json(self) -> str:
        """Write the content of `eval.json`; numbers that are not finite become null."""
        return json.dumps(without_nan(asdict(self)), indent=2, allow_nan=False) + "\n"


def read_results(run: RunDir) -> Results | None:
    """Read a run's results; None if it has none yet. Raises UserError if they cannot be used."""
    try:
        text = files.read_text(run.eval_file, _LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.cannot_read(run.eval_file, error) from error
    fields = decode.parse(text, str(run.eval_file))
    return decode.build(Results, fields, str(run.eval_file), ignore_unknown=True)
