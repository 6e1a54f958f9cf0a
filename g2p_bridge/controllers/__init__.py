from . import certificate, envelope_import, main, reports
