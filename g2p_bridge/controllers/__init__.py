from . import certificate, main
