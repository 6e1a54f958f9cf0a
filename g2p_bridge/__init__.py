from . import connectors, controllers, log_filters, models, wizards

log_filters.install()
