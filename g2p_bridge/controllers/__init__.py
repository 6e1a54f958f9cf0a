from . import certificate, envelope_import, main, monitor, openg2p, reports
