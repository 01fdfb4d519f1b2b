"""Mirror folder trees to rsync modules the moment they change: a drop-in for sersync2."""

__version__ = "1.0.0"
