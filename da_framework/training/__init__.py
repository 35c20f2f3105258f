"""From a config to a trained model: build, train, resume, restore."""
