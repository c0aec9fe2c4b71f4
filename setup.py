# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Packaging of mmtvface, for environments of the user's own.

The dependencies here are ranges, so that a working torch and mmcv stay as
they are. ``tools/quickstart.sh`` installs the exact tested set instead.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def version() -> str:
    """The version, read without importing the package."""
    text = (ROOT / 'mmtvface' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"__version__ = '(.+?)'", text).group(1)


def requirements(name: str) -> list[str]:
    """Requirements of one file without its comments."""
    text = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def readme() -> str:
    """The README, if it is part of this distribution."""
    path = ROOT / 'README.md'
    return path.read_text(encoding='utf-8') if path.is_file() else ''


class BuildWithConfigs(build_py):
    """Puts configs and tools where OpenMMLab's tools look for them.

    ``mmtvface/.mim`` of the installed package serves ``mim train mmtvface
    CONFIG`` and ``_base_ = 'mmtvface::FOLDER/CONFIG.py'``.
    """

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return  # the package is the checkout then
        target = Path(self.build_lib) / 'mmtvface' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        for name in ('configs', 'tools'):
            shutil.copytree(
                ROOT / name, target / name, ignore=shutil.ignore_patterns(
                    '__pycache__', 'node_modules', 'viewer_bundle',
                    'setup_steps', 'bootstrap.*', 'quickstart.*'))
        shutil.copy2(ROOT / 'model-index.yml', target)


setup(
    name='mmtvface',
    version=version(),
    description='Animatable, detailed 3D faces from video (OpenMMLab plugin)',
    long_description=readme(),
    long_description_content_type='text/markdown',
    author='mmtvface contributors',
    license='Apache-2.0',
    keywords='computer vision, 3D face reconstruction, FLAME, video',
    classifiers=[
        'Development Status :: 4 - Beta',
        'License :: OSI Approved :: Apache Software License',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Processing',
    ],
    python_requires='>=3.10,<3.13',
    entry_points={'console_scripts': ['mmtvface=mmtvface.cli.main:main']},
    cmdclass={'build_py': BuildWithConfigs},
    packages=find_packages(include=['mmtvface', 'mmtvface.*']),
    package_data={'mmtvface': ['**/*.npz', '**/*.json', 'weights/*',
                               'viewer/page/*']},
    # mediapipe, mmcv and mmagic are missing on purpose: their metadata asks
    # for packages that exclude each other (see requirements/mediapipe.txt,
    # mmagic.txt), and mmcv must be compiled for the torch that is there.
    install_requires=['torch>=2.1', *requirements('core')],
    extras_require={
        'temporal': ['torchvision>=0.16', *requirements('temporal')],
        'tests': requirements('tests'),
        'docs': requirements('docs'),
        **{re.match(r'[\w-]+', line).group(): [line]
           for line in requirements('optional')},
        'pytorch3d': ['pytorch3d @ git+https://github.com/facebookresearch/'
                      'pytorch3d.git@V0.7.8'],
    },
    zip_safe=False)
