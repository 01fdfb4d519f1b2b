"""Gathers what the package is made of, and lets rpmbuild make it; see scripts/build-rpm."""

import configparser
import glob
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List

from pip._vendor.packaging.requirements import Requirement

CLONE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(CLONE, "build", "rpm")

OLD_LIBC = ("manylinux2014_x86_64",)
NEWER_LIBC = ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", *OLD_LIBC)
PYTHONS = {"3.6": OLD_LIBC, "3.9": NEWER_LIBC, "3.11": NEWER_LIBC, "3.12": NEWER_LIBC}
"""The Pythons that the package has libraries for, each with the wheels that its oldest system can load."""

NO_WHEEL = ("pyinotify",)
"""On PyPI as source only; it is Python alone, so any of ours makes a wheel for all."""


def requirements(python: str) -> List[Requirement]:
    """Return what setup.cfg asks for under a Python such as "3.6"."""
    config = configparser.ConfigParser(comment_prefixes="#")
    config.read(os.path.join(CLONE, "setup.cfg"), encoding="utf-8")
    lines = config["options"]["install_requires"].strip().splitlines()
    found = [Requirement(line) for line in lines]
    return [each for each in found if each.marker is None or each.marker.evaluate({"python_version": python})]


def run(*command: str) -> None:
    """Run a command; say what it said only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        sys.exit(f"{command[0]} failed with {done.returncode}")


def gathered(folder: str, wanted: List[str], *pip: str) -> List[str]:
    """Let pip put wheels into a folder unless they are there already; return their paths."""
    stamp = Path(folder, "complete")
    words = "\n".join([*pip, *wanted])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != words:
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "pip", "--disable-pip-version-check", *pip, folder, "--no-deps", *wanted)
        stamp.write_text(words, encoding="utf-8")
    return glob.glob(os.path.join(folder, "*.whl"))


def fetched(python: str) -> List[str]:
    """Return the wheels of PyPI for a Python."""
    wanted = [each.name + str(each.specifier) for each in requirements(python) if each.name not in NO_WHEEL]
    abi = "cp" + python.replace(".", "") + ("m" if python == "3.6" else "")
    return gathered(
        os.path.join(BUILD, "wheels", python), wanted, "download", "--only-binary=:all:", "--implementation=cp",
        "--python-version=" + python, "--abi=" + abi, *("--platform=" + name for name in PYTHONS[python]), "--dest")


def made() -> List[str]:
    """Return the wheels for all Pythons that PyPI does not have."""
    wanted = {each.name + str(each.specifier) for python in PYTHONS for each in requirements(python)
              if each.name in NO_WHEEL}
    return gathered(os.path.join(BUILD, "wheels", "made"), sorted(wanted), "wheel", "--wheel-dir")


def all_wheels() -> Dict[str, List[str]]:
    """Return the wheels of each Python, as paths; what is not here is fetched."""
    with ThreadPoolExecutor() as pool:
        for_all = pool.submit(made)
        found = dict(zip(PYTHONS, pool.map(fetched, PYTHONS)))
        return {python: paths + for_all.result() for python, paths in found.items()}


def write_source(version: str, found: Dict[str, List[str]]) -> None:
    """Write the tar file that the spec names; `found` are the wheels of each Python."""
    name = "sersync-py-" + version
    folder = os.path.join(BUILD, "SOURCES")
    os.makedirs(folder, exist_ok=True)
    with tarfile.open(os.path.join(folder, name + ".tar"), "w") as tar:
        readmes = [os.path.basename(path) for path in glob.glob(os.path.join(CLONE, "README*.md"))]
        for part in ["sersync_py", "scripts", "docs", "confxml.xml", *readmes]:
            tar.add(os.path.join(CLONE, part), f"{name}/{part}")
        for python, paths in found.items():
            for path in paths:
                tar.add(path, f"{name}/wheels/{python}/{os.path.basename(path)}")


def provided(found: Dict[str, List[str]]) -> str:
    """Return what the package brings with it, as its users and the scanners of their hosts look for it."""
    names = {tuple(os.path.basename(path).split("-")[:2]) for paths in found.values() for path in paths}
    return " ".join(f"bundled(python3dist({name})) = {version}" for name, version in sorted(names))


def main() -> int:
    """Build, and say where the packages are."""
    version = runpy.run_path(os.path.join(CLONE, "sersync_py", "__init__.py"))["__version__"]
    found = all_wheels()
    write_source(version, found)
    for left in glob.glob(os.path.join(BUILD, "*RPMS")):
        shutil.rmtree(left)
    run("rpmbuild", "-ba", "--target=x86_64", "--define=_topdir " + BUILD, "--define=version " + version,
        "--define=libraries " + provided(found), os.path.join(CLONE, "scripts", "rpm", "sersync-py.spec"))
    dist = os.path.join(CLONE, "dist")
    os.makedirs(dist, exist_ok=True)
    for built in glob.glob(os.path.join(BUILD, "*RPMS", "**", "*.rpm"), recursive=True):
        print(shutil.copy(built, dist))
    return 0


if __name__ == "__main__":
    sys.exit(main())
