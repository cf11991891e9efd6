"""The life of jobs: this device as the origin of its own, and as the executor of everybody's attempts."""
