#!/usr/bin/env bash
# Collects what a machine lacks that has PyTorch for CUDA, triton, numba,
# opencv, scipy, pandas and pytest, but no OpenMMLab package and no network:
#
#     bash tools/analysis_tools/gpu_bundle.sh [FOLDER [PYTHON_VERSION]]
#
# FOLDER (default work_dirs/gpu_bundle) gets wheels for Linux x86-64 and
# PYTHON_VERSION (default 3.12). Two lines are printed: the first installs
# them where they disturb nothing, the second runs gpu_check.py.
#
# mmcv comes without its operators, which would have to be compiled for that
# machine: a stand-in lets mmcv and mmagic be imported, and mmtvface takes
# torchvision's deformable convolution. Left out for their size are PyAV and
# mediapipe (36 MB each): gpu_check.py reconstructs a folder of frames then.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
folder="${1:-work_dirs/gpu_bundle}"
python_version="${2:-3.12}"
largest=58000  # KiB: below 60 MB
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3

mkdir -p "$folder"
rm -f "$folder"/*.whl
# As in requirements/, so that this is what was tested together
packages=(addict termcolor yapf platformdirs)
for name in mmcv mmengine mmagic diffusers transformers tokenizers \
            huggingface-hub lpips resize-right lmdb trimesh; do
    pin="$(grep -hoE "^$name==[0-9.]+" "$root"/requirements/*.txt | head -1)"
    if [ -z "$pin" ]; then
        echo "requirements/ pins no $name." >&2
        exit 1
    fi
    packages+=("${pin/#mmcv==/mmcv-lite==}")
done
"$python" -m pip download --quiet --disable-pip-version-check --no-deps \
    --only-binary=:all: --implementation cp \
    --python-version "$python_version" --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$folder" "${packages[@]}"
cat > "$folder/mmcv_ext.py" <<'EXT'
"""Stands in for mmcv's compiled operators: names without code."""


def get_compiling_cuda_version():
    return 'not available'


def __getattr__(name):
    def missing(*args, **kwargs):
        raise RuntimeError(f"mmcv's operator {name} is not compiled here.")
    return missing
EXT

size="$(du -sk "$folder" | cut -f1)"
if [ "$size" -gt "$largest" ]; then
    echo "The bundle has $size KiB, more than $largest." >&2
    exit 1
fi
echo "$((size * 1024 / 1000000)) MB in $folder. Take it along with the checkout, and there, from its root:"
echo
echo "python3 -m pip install --quiet --no-index --no-deps --upgrade --target /tmp/mmtvface_site $folder/*.whl && cp $folder/mmcv_ext.py /tmp/mmtvface_site/mmcv/_ext.py"
echo "PYTHONPATH=/tmp/mmtvface_site:. python3 tools/analysis_tools/gpu_check.py --out work_dirs/gpu_check"
