"""The trainer: follows the event topics beside the workers, and publishes model versions."""
