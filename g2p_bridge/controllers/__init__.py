from . import certificate, envelope_import, main, monitor, reports
from . import certificate, envelope_import, main, openg2p, reports
