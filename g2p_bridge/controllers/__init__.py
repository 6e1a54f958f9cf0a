from . import certificate, main, reports
from . import envelope_import, main
