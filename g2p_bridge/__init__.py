from . import connectors, controllers, models, wizards
