"""CIFAR-100's classes and superclasses; a name's index in its tuple is its label number in the official files.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009), and the data set's `meta` file.
"""

_SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}

PHRASES = {
    "aquatic_mammals": "a mammal that lives in water",
    "fish": "a fish",
    "flowers": "a flower",
    "food_containers": "something for food or drink",
    "fruit_and_vegetables": "a fruit or vegetable",
    "household_electrical_devices": "a household device",
    "household_furniture": "a piece of furniture",
    "insects": "an insect",
    "large_carnivores": "a large predator",
    "large_man-made_outdoor_things": "something large that people built",
    "large_natural_outdoor_scenes": "a landscape",
    "large_omnivores_and_herbivores": "a large animal",
    "medium_mammals": "a medium-sized mammal",
    "non-insect_invertebrates": "a small animal without a backbone",
    "people": "a person",
    "reptiles": "a reptile",
    "small_mammals": "a small mammal",
    "trees": "a tree",
    "vehicles_1": "a kind of vehicle",
    "vehicles_2": "a kind of vehicle",
}
"""Superclasses in everyday words."""

COARSE: tuple[str, ...] = tuple(_SUPERCLASSES)
"""The 20 superclasses. Both tuples are in alphabetical order, as in the official files."""

_COARSE_OF = {fine: coarse for coarse, names in enumerate(_SUPERCLASSES.values()) for fine in names.split()}

FINE: tuple[str, ...] = tuple(sorted(_COARSE_OF))
"""The 100 classes."""

FINE_TO_COARSE: tuple[int, ...] = tuple(_COARSE_OF[name] for name in FINE)
"""Index of each class's superclass: `COARSE[FINE_TO_COARSE[label]]`."""
