"""The command that measures a run's robustness."""

import argparse
from pathlib import Path

from resnet_cifar.runs.run_dir import RunDir, locate


def robustness(args: argparse.Namespace) -> int:
    """Test a checkpoint on corrupted test images and, if their folder is given, on CIFAR-100-C."""
    from resnet_cifar.cli.chosen import data_folder
    from resnet_cifar.cli.terminal import watch
    from resnet_cifar.inspection.robustness import measure
    from resnet_cifar.report.robustness import robustness_table
    from resnet_cifar.report.text import percent
    from resnet_cifar.system.device import choose_device

    device = choose_device(args.device)
    folder = Path(args.cifar100c).expanduser() if args.cifar100c else None
    found = watch(measure(RunDir(locate(args.robustness)), data_folder(args), device, official=folder))
    print(robustness_table(found.top1))
    print(
        f"clean top-1 {percent(found.clean)}, mean of the corruptions {percent(found.mean_top1)}, on {found.images:,} "
        "test images each; these corruptions are not those of CIFAR-100-C"
    )
    if found.cifar100c is not None and found.cifar100c_mean_top1 is not None:
        print(f"\n{robustness_table(found.cifar100c)}")
        print(f"CIFAR-100-C: mean top-1 {percent(found.cifar100c_mean_top1)} over 15 corruptions at five strengths")
    return 0
