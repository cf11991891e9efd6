"""What two devices say to each other: one module a conversation, one frozen struct a message."""
