from . import certificate, envelope_import, main, monitor, reports
