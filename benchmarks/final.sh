#!/bin/sh
# The model that ships, with CIFAR100_DIR set: three seeds of `scratch` on all 50,000 train pictures, nothing chosen. The
# first seed's is the one that ships, whatever the others do. Start it again after a cut: what is done is not repeated.
#     sh benchmarks/final.sh OUT [what else app.py is to be given, for instance --epochs 300]
set -eu
out=$1
shift
mkdir -p "$out"
for seed in 0 1 2; do
    run=checkpoints/final-$seed
    if [ ! -e "$run" ]; then
        python app.py --train-only --recipe scratch --val-images 0 --seed "$seed" --run "final-$seed" "$@"
    elif [ ! -e "$run/eval.json" ] || [ -e "$run/last.safetensors" ]; then
        python app.py --train-only --resume "final-$seed"
    fi
    python app.py --evaluate "final-$seed" | tee "$out/final-$seed.txt"
    python app.py --evaluate "final-$seed" --tta | tee "$out/final-$seed-tta.txt"
    [ "$seed" != 0 ] || [ -e checkpoints/resnet34-cifar100 ] || python benchmarks/ship.py final-0 resnet34-cifar100
done
python app.py --evaluate resnet34-cifar100 | tee "$out/ships.txt"
python app.py --evaluate resnet34-cifar100 --tta | tee "$out/ships-tta.txt"
cd checkpoints/resnet34-cifar100 && tar -cf - . | split -b 15M - "$out/resnet34-cifar100.tar."
