from . import connectors, controllers, log_filters, log_json, models, wizards

log_filters.install()
log_json.install()
