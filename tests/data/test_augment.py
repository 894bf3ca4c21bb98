import torch

from resnet_cifar.data.augment import augment, mix
from resnet_cifar.recipe.augmentation import Augmentation
from tests.builders import CPU


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator(CPU).manual_seed(seed)


def noise_images(count: int = 512) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draws(9))


def test_nothing_asked_for_changes_nothing():
    assert torch.equal(augment(noise_images(), Augmentation(), draws()), noise_images())


def test_the_same_draws_give_the_same_images_and_others_do_not():
    policy = Augmentation(crop_padding=1 / 8, flip="random", random_erasing=0.5)
    once, again, other = (augment(noise_images(), policy, draws(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_flip_mirrors_about_half_the_images_and_leaves_the_rest():
    images = noise_images()
    flipped = augment(images, Augmentation(flip="random"), draws())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert 200 < int(mirrored.sum()) < 312


def test_a_crop_is_a_window_of_the_mirror_padded_image_and_every_shift_comes_up():
    images = noise_images(2000)
    cropped = augment(images, Augmentation(crop_padding=2 / 32), draws())
    padded = torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    found = torch.zeros(len(images), dtype=torch.bool)
    for top in range(5):
        for left in range(5):
            same = (cropped == padded[:, :, top : top + 32, left : left + 32]).flatten(1).all(1)
            assert 40 < int(same.sum()) < 130  # 80 are expected of each
            found |= same
    assert bool(found.all())


def test_erasing_blanks_one_rectangle_in_as_many_images_as_asked():
    images = torch.full((4000, 3, 32, 32), 200, dtype=torch.uint8)
    blank = (augment(images, Augmentation(random_erasing=0.25), draws()) != 200).all(1)
    touched = blank.flatten(1).any(1)
    assert 900 < int(touched.sum()) < 1100
    rows, columns = blank.any(2), blank.any(1)
    assert torch.equal(blank, rows[:, :, None] & columns[:, None, :])  # a product of rows and columns
    area = blank[touched].float().mean((1, 2))
    assert float(area.max()) <= 0.4 and 0.05 < float(area.mean()) < 0.2


def mixed_whole(
    images: torch.Tensor, labels: torch.Tensor, classes: int, policy: Augmentation
) -> tuple[torch.Tensor, torch.Tensor]:
    return mix(images, images.roll(1, 0), labels, slice(0, len(images)), classes, policy, draws())


def test_mixup_blends_images_and_labels_in_the_same_shares():
    labels = torch.arange(64)
    images = torch.nn.functional.one_hot(labels, 100).float()[:, :, None, None].expand(-1, -1, 8, 8)
    mixed, targets = mixed_whole(images, labels, 100, Augmentation(mixup=1.0))
    assert torch.allclose(mixed.mean((2, 3)), targets, atol=1e-6)
    assert torch.equal(mixed[:, :, 0, 0], mixed[:, :, 7, 7])
    assert torch.allclose(targets.sum(1), torch.ones(64))
    assert len(targets.max(1).values.unique()) > 60  # each image has a share of its own


def test_cutmix_pastes_one_rectangle_and_labels_follow_its_area():
    labels = torch.arange(64)
    images = torch.nn.functional.one_hot(labels, 100).float()[:, :, None, None].expand(-1, -1, 32, 32)
    mixed, targets = mixed_whole(images, labels, 100, Augmentation(cutmix=1.0))
    assert set(mixed.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(mixed.mean((2, 3)), targets, atol=1e-6)
    pasted = mixed[torch.arange(64), labels] == 0
    assert torch.equal(pasted, pasted.any(2)[:, :, None] & pasted.any(1)[:, None, :])


def test_images_are_mixed_as_often_as_asked():
    labels = torch.zeros(4000, dtype=torch.long)
    labels[1::2] = 1
    _, targets = mixed_whole(torch.rand(4000, 3, 8, 8), labels, 2, Augmentation(mixup=0.2, cutmix=0.3))
    assert 1800 < int((targets.max(1).values < 1).sum()) < 2100  # an area of 0 now and then pastes nothing
