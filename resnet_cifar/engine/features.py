"""Features of a frozen backbone, computed once and cached."""

import dataclasses
from collections.abc import Generator

import torch

from resnet_cifar.data.augment import augment
from resnet_cifar.data.batches import Features, Images
from resnet_cifar.data.preprocess import Preprocess
from resnet_cifar.data.split import Split
from resnet_cifar.events import Progress
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.augmentation import Augmentation
from resnet_cifar.system.device import Autocast, Lead
from resnet_cifar.system.distributed import World


def compute_features(
    model: ResNet,
    split: Split,
    preprocess: Preprocess,
    policy: Augmentation,
    views: int,
    generator: torch.Generator,
    autocast: Autocast,
    world: World,
) -> Generator[Progress, None, Features]:
    """Run the split through the backbone `views` times, augmented anew each time; processes share the work.

    If `policy` flips, every second view is mirrored, so that each image is seen both ways.
    """
    source = Images(split, preprocess, model.stem)
    unflipped = dataclasses.replace(policy, flip="none")
    total = len(split)
    device = split.images.device
    features, lead = torch.zeros(views, total, model.fc.in_features, device=device), Lead(device)
    model.eval()
    for view in range(views):
        for number, start in enumerate(range(0, total, source.evaluation_batch)):
            stop = min(total, start + source.evaluation_batch)
            images = augment(split.images[start:stop], unflipped, generator)  # in every process: same draws
            if number % world.size == world.rank:
                if policy.flip != "none" and view % 2:
                    images = images.flip(-1)
                with torch.no_grad(), autocast():
                    features[view, start:stop] = model.features(preprocess(images)).float()
                lead.keep()
            yield Progress(phase="features", done=view * total + stop, total=views * total)
    model.train()
    return Features(world.all_reduce(features), split)
