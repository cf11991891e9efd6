"""What this machine has, and how busy it is: read from the system beside the event loop, at a bounded rate."""
