from . import certificate, main, reports
