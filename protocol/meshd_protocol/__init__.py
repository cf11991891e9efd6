"""What two devices must agree on: messages, their bytes, and how the conversations go. Pure; see SPEC.md."""
