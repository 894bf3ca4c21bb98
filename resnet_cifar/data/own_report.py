"""Report on a person's own images, to be read before anything trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resnet_cifar.data.layout import Skipped
from resnet_cifar.recipe.datasets import class_weights

SPLITS = ("train", "val", "test")
FEW = 10
"""Images of a class below which the report warns."""
_BAR = 30  # characters of the longest bar
_LISTED = 20  # skipped files that are named


@dataclass(frozen=True, kw_only=True)
class Report:
    """Facts about a person's images, for people to read before anything trains."""

    shape: str
    """The layout that was found."""
    labels: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    """Images of each class, by split."""
    skipped: tuple[Skipped, ...]
    """Files that are not used: no image, damaged, or the same content as another."""
    made: tuple[str, ...]
    """Splits that were made here, because the images came without them."""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Report":
        """Build a report from what `dataclasses.asdict` and JSON made of one."""
        return cls(
            shape=fields["shape"],
            labels=tuple(fields["labels"]),
            counts={name: tuple(counts) for name, counts in fields["counts"].items()},
            skipped=tuple(Skipped(**skipped) for skipped in fields["skipped"]),
            made=tuple(fields["made"]),
        )

    @property
    def smallest(self) -> tuple[str, int]:
        """The class with the fewest train images, and their number."""
        return min(zip(self.labels, self.counts["train"], strict=True), key=lambda pair: pair[1])

    @property
    def balancing(self) -> str | None:
        """Sentence about the weights of classes in the loss; None for classes of about the same size."""
        weights = class_weights(self.counts["train"])
        if weights is None:
            return None
        pairs = sorted(zip(weights, self.labels, strict=True))
        lightest, heaviest = (f"{weight:.2g} times ({label})" for weight, label in (pairs[0], pairs[-1]))
        return f"classes are unequal, so their images count {lightest} to {heaviest} in the loss"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what will make the model worse."""
        few = [f"{label} ({total})" for label, total in zip(self.labels, self.totals, strict=True) if total < FEW]
        untested = [label for label, count in zip(self.labels, self.counts["test"], strict=True) if not count]
        found = []
        if few:
            found.append(f"Few images to learn from, under {FEW}: {', '.join(few)}.")
        if untested:
            found.append(f"No test images of: {', '.join(untested)}.")
        return tuple(found)

    @property
    def totals(self) -> tuple[int, ...]:
        """Images of each class, over all splits."""
        return tuple(map(sum, zip(*self.counts.values(), strict=True)))

    @property
    def summary(self) -> str:
        """Images, classes, layout and splits in one line."""
        parts = ", ".join(f"{sum(self.counts[name]):,} {name}" for name in SPLITS)
        return f"{sum(self.totals):,} images of {len(self.labels)} classes, as {self.shape}: {parts}"

    @property
    def remarks(self) -> Iterator[str]:
        """Sentences about the splits and the classes, without warnings."""
        if self.made:
            yield f"{' and '.join(self.made)} were cut from train, of each class, by the names of the files"
        label, count = self.smallest
        yield f"smallest class: {label}, with {count:,} train image{'' if count == 1 else 's'}"
        if self.balancing is not None:
            yield self.balancing

    def lines(self) -> Iterator[str]:
        """Yield the report as lines of text: a bar for each class, then what is not used, and why."""
        totals = self.totals
        yield self.summary
        width = max(map(len, self.labels))
        for label, total in zip(self.labels, totals, strict=True):
            yield f"  {label:<{width}}  {total:>7,}  {'#' * max(1, round(_BAR * total / max(totals)))}"
        yield from self.remarks
        yield from self.warnings
        if self.skipped:
            yield f"{self.unused}:"
            yield from (f"  {line}" for line in self.unused_files)

    @property
    def unused(self) -> str:
        """Number of files that are not used, in words."""
        return "1 file is not used" if len(self.skipped) == 1 else f"{len(self.skipped):,} files are not used"

    @property
    def unused_files(self) -> Iterator[str]:
        """Files that are not used, with the reason; the first twenty by name, the rest counted."""
        yield from (f"{skipped.name}: {skipped.reason}" for skipped in self.skipped[:_LISTED])
        if len(self.skipped) > _LISTED:
            yield f"and {len(self.skipped) - _LISTED:,} more"
