"""Score the finder of label errors on CIFAR-100's test images, beside other rankings, with the verdicts of people.

    python benchmarks/label_errors.py [RUN]     # needs the run's stored predictions: python app.py --evaluate RUN

2,235 of the 10,000 images were shown to five people each; a label error is one whose label most did not confirm (585).
"""

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.pop(0)  # this folder: its profile.py would hide the standard library's, which torch imports
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.inspection.label_errors import doubted, on_corrected_labels, verdicts
from resnet_cifar.inspection.predictions import Predictions, stored
from resnet_cifar.report.text import percent, table
from resnet_cifar.runs.run_dir import RunDir, locate

FIRST = 100


def main() -> None:
    """Print a table of rankings, and the accuracy on the corrected labels."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", default=SHIPPED)
    run = RunDir(locate(parser.parse_args().run))
    predictions = stored(run, "test")
    if predictions is None or not verdicts(predictions):
        sys.exit(f"{run.name} has no stored predictions on CIFAR-100's test images; run python app.py --evaluate first")
    columns = ("ranking", "AUROC, 2,235 rated", f"first {FIRST} of the rated", f"first {FIRST} of all", "not rated")
    print(table(columns, [(name, *scored(predictions, score)) for name, score in rankings(predictions).items()]))
    found = doubted(predictions)
    print(f"\nfilter of the confident joint: {int(found.sum()):,} images, {errors(predictions)[found].sum():,} errors")
    corrected = on_corrected_labels(predictions)
    assert corrected is not None
    print(
        f"top-1 on the {corrected.images} images with a corrected label: {percent(corrected.top1)}, by the official "
        f"labels {percent(corrected.official_top1)}; on all images with these corrections: "
        f"{percent(corrected.all_top1)}, by the official labels {percent(predictions.summary()['top1'])}"
    )


def rankings(predictions: Predictions) -> dict[str, Tensor]:
    """Scores (N,) of each ranking, higher for more suspect images."""
    plain = {"highest loss": F.cross_entropy(predictions.logits, predictions.labels, reduction="none")}
    found: dict[str, Tensor] = {"random": torch.rand(len(predictions), generator=torch.Generator().manual_seed(0))}
    found |= plain
    for name, p in (("", predictions.probabilities), (", adjusted", adjusted(predictions))):
        own = p.gather(1, predictions.labels[:, None])[:, 0]
        others = p.scatter(1, predictions.labels[:, None], -1.0).amax(1)
        entropy = -torch.xlogy(p, p).sum(1)
        scores = {
            "self-confidence": -own,
            "normalized margin": others - own,
            "entropy / self-confidence": entropy / own,
        }
        scores["highest other class"] = others
        for kind, score in scores.items():
            found[kind + name] = score
            found[f"{kind}{name}, doubted first"] = first(score, doubted(predictions))
    return found


def adjusted(predictions: Predictions) -> Tensor:
    """Probabilities minus the mean self-confidence of each class, shifted to be positive and normalized."""
    p, labels = predictions.probabilities, predictions.labels
    own = p.gather(1, labels[:, None])[:, 0]
    means = torch.zeros(p.shape[1]).index_add_(0, labels, own) / torch.bincount(labels, minlength=p.shape[1])
    shifted = p - means + means.max()
    return shifted / shifted.sum(1, keepdim=True)


def first(score: Tensor, chosen: Tensor) -> Tensor:
    """Move the chosen images before all others, otherwise in the order of the score."""
    return score.argsort(stable=True).argsort() + len(score) * chosen


def errors(predictions: Predictions) -> Tensor:
    """Images whose label most raters did not confirm, (N,) bool."""
    rows = [row for row, verdict in verdicts(predictions).items() if not verdict.confirmed]
    return torch.zeros(len(predictions), dtype=torch.bool).index_fill_(0, torch.tensor(rows), True)


def scored(predictions: Predictions, score: Tensor) -> tuple[str, ...]:
    """AUROC over the rated images; errors among the first rated ones and the first of all; how many nobody rated."""
    rated, wrong = torch.tensor(list(verdicts(predictions))), errors(predictions)
    auroc = area(score[rated][wrong[rated]], score[rated][~wrong[rated]])
    of_rated = rated[score[rated].argsort(descending=True)][:FIRST]
    of_all = score.argsort(descending=True)[:FIRST]
    unknown = FIRST - int(torch.isin(of_all, rated).sum())
    return f"{auroc:.4f}", str(int(wrong[of_rated].sum())), str(int(wrong[of_all].sum())), str(unknown)


def area(positive: Tensor, negative: Tensor) -> float:
    """Share of pairs in which the positive has the higher score; a tie counts half."""
    above, equal = positive[:, None] > negative, positive[:, None] == negative
    return (above.double() + equal.double() / 2).mean().item()


if __name__ == "__main__":
    main()
