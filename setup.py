"""Lets a pip as old as CentOS 7's install the project; everything stands in setup.cfg."""

from setuptools import setup

setup()
