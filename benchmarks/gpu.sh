#!/bin/sh
# All speed benchmarks for a GPU, in 25 minutes at most. Needs CIFAR100_DIR.
#     sh benchmarks/gpu.sh OUT [NAME ...]     # the named measurements, default: all
# A measurement that reaches its time limit keeps its output so far and says so. For accuracy, see final.py and tune.py.
set -u
out=$1
shift
chosen=${*:-all}
python=${PYTHON:-python3}
mkdir -p "$out"
measure() {
    limit=$1
    name=$2
    shift 2
    case " $chosen " in *" all "* | *" $name "*) ;; *) return ;; esac
    {
        echo "== $name: $*"
        timeout "$limit" "$python" "$@" 2>&1 || echo "ended with exit code $? (124: after its limit of $limit s)"
    } | tee "$out/$name.txt"
}
measure 120 throughput-32 benchmarks/throughput.py --image-size 32 --stem cifar --batch-size 512 --steps 20
measure 60 profile-32 benchmarks/profile.py --image-size 32 --stem cifar --batch-size 512 --steps 20
measure 220 levers-32 benchmarks/levers.py --image-size 32 --stem cifar --batch-size 512 --steps 20
measure 100 sprint-12 benchmarks/time_to_accuracy.py --epochs 12 --reach 69.54
measure 200 throughput-224 benchmarks/throughput.py --image-size 128 224 --batch-size 256 --steps 6 --pairs 2
measure 200 sprint-45 benchmarks/time_to_accuracy.py --epochs 45 --seeds 2 --reach 69.54 76.76 78.01
measure 150 memory benchmarks/memory.py
measure 320 scratch-60 benchmarks/time_to_accuracy.py --recipe scratch --epochs 60 --seeds 1
