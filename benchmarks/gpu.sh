#!/bin/sh
# All that wants a GPU, in about 25 minutes of an H200, with CIFAR100_DIR set:
#     sh benchmarks/gpu.sh OUT [NAME ...]     # the named measurements, or all of them
set -u
out=$1
shift
chosen=${*:-all}
mkdir -p "$out"
measure() {
    name=$1
    shift
    case " $chosen " in *" all "* | *" $name "*) ;; *) return ;; esac
    echo "== $name: python $*"
    timeout "$limit" python "$@" 2>&1 | tee "$out/$name.txt"
}
limit=150
measure throughput-32 benchmarks/throughput.py --image-size 32 --stem cifar --batch-size 512 --steps 20
measure throughput-224 benchmarks/throughput.py --image-size 128 224 --batch-size 256 --steps 6 --pairs 2
measure profile-32 benchmarks/profile.py --image-size 32 --stem cifar --batch-size 512 --steps 20
limit=240
measure levers-32 benchmarks/levers.py --image-size 32 --stem cifar --batch-size 512 --steps 20
measure memory benchmarks/memory.py
limit=330
measure sprint-12 benchmarks/time_to_accuracy.py --epochs 12 --reach 69.54
measure sprint-45 benchmarks/time_to_accuracy.py --epochs 45 --seeds 2 --reach 69.54 76.76 78.01
measure lower-first benchmarks/lower_first.py --recipe sprint --train-images 45000 --epochs 16 --seeds 2
measure scratch-100 benchmarks/time_to_accuracy.py --recipe scratch --epochs 100 --seeds 1
