from . import connectors, models
