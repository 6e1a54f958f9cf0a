from . import wire
